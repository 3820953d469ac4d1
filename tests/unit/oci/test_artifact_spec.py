"""The specification of the artifact: example, schema and limits are the program's."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from glassclave.clients.registry import MAX_PAGES
from glassclave.flows.find_image import MAX_COMPANION
from glassclave.flows.publish import MAX_MEASUREMENTS
from glassclave.oci.artifact import BlobInfo, Titles, plan_artifact, read_artifact
from glassclave.oci.manifest import MAX_ENTRIES, MAX_MANIFEST, compact_json, parse_manifest
from glassclave.oci.referrers import MAX_BUNDLE, MAX_REFERRER_MANIFEST, MAX_REFERRERS
from glassclave.provenance.cosign import MAX_LAYERS, MAX_PAYLOAD
from glassclave.provenance.predicate import MAX_SIZE

SPEC = Path(__file__).resolve().parents[3] / "docs" / "spec"
TEXT = (SPEC / "artifact.md").read_text(encoding="utf-8")
SCHEMA = json.loads((SPEC / "artifact.schema.json").read_text(encoding="utf-8"))
EXAMPLE = json.loads(re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)[0])
MIB = 1 << 20


def errors(document: object) -> list[str]:
    Draft202012Validator.check_schema(SCHEMA)
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)]


def test_the_example_has_the_digest_and_size_that_are_written_beside_it() -> None:
    data = compact_json(EXAMPLE)
    assert f"({len(data):,} bytes, `sha256:{hashlib.sha256(data).hexdigest()}`)" in " ".join(TEXT.split())


def test_the_example_is_an_artifact_and_follows_the_schema() -> None:
    assert errors(EXAMPLE) == []
    layers = read_artifact(parse_manifest(compact_json(EXAMPLE), source="example"))
    assert layers.eif.size == 3_197_827
    assert layers.pcr_hints == {number: EXAMPLE["annotations"][f"PCR{number}"] for number in range(3)}


def test_what_is_planned_has_the_examples_bytes() -> None:
    eif, measurements, described = EXAMPLE["layers"]
    pcrs = {number: bytes.fromhex(EXAMPLE["annotations"][f"PCR{number}"]) for number in range(3)}
    plan = plan_artifact(BlobInfo(eif["digest"], eif["size"]), b"m", b"d", {**pcrs, 8: bytes(48)}, Titles())
    planned = json.loads(plan.manifest)
    assert errors(planned) == []
    for layer, original in zip(planned["layers"][1:], (measurements, described), strict=True):
        layer |= {"digest": original["digest"], "size": original["size"]}
    assert compact_json(planned) == compact_json(EXAMPLE)


def without_layer(document: dict[str, object]) -> None:
    document["layers"].pop()  # type: ignore[attr-defined]


def other_order(document: dict[str, object]) -> None:
    document["layers"].reverse()  # type: ignore[attr-defined]


def large(document: dict[str, object]) -> None:
    document["layers"][1]["size"] = MAX_SIZE + 1  # type: ignore[index]


@pytest.mark.parametrize(
    "bend",
    [
        without_layer,
        other_order,
        large,
        lambda document: document.update(created="2026"),
        lambda document: document.update(artifactType="a/b"),
        lambda document: document["annotations"].update(PCR3="0" * 96),
        lambda document: document["annotations"].update(PCR0="A" * 96),
        lambda document: document["layers"][0].pop("annotations"),
        lambda document: document["config"].update(size=3),
        lambda document: document.pop("annotations"),
    ],
)
def test_the_schema_refuses_another_manifest(bend: Callable[[dict[str, object]], None]) -> None:
    document = json.loads(json.dumps(EXAMPLE))
    bend(document)
    assert errors(document)


def test_the_limits_are_the_programs() -> None:
    limits = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", TEXT.partition("## Limits")[2], re.MULTILINE))
    assert limits["a manifest or an index"] == f"{MAX_MANIFEST // MIB} MiB, {MAX_ENTRIES:,} layers or entries"
    assert limits["pages of a list of referrers"] == str(MAX_PAGES)
    assert limits["referrers of one artifact, API and fallback tag together"] == str(MAX_REFERRERS)
    assert limits["the manifest of a referrer"] == f"{MAX_REFERRER_MANIFEST // MIB} MiB"
    assert limits["a bundle"] == f"{MAX_BUNDLE // MIB} MiB"
    assert limits["signatures behind the `.sig` tag"] == str(MAX_LAYERS)
    assert limits["a simple-signing document"] == f"{MAX_PAYLOAD // MIB} MiB"
    assert MAX_MEASUREMENTS == MAX_SIZE
    statement = "a statement"
    assert limits[statement].startswith(f"{2 * MAX_SIZE // MIB} MiB")
    assert limits[statement].endswith(f"{MAX_SIZE // MIB} MiB")
    assert limits["the two files beside the image, as `verify` reads them"].startswith(
        f"{MAX_COMPANION // MIB} MiB"
    )
