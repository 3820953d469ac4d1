"""``publish`` with a Sigstore and a registry on loopback: it writes and prints what is specified."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from glassclave.provenance.claims import Claims
from glassclave_sandbox.services import Services
from tests.unit.sandbox.loopback import ask

SPEC = Path(__file__).resolve().parents[3] / "docs" / "spec"


def errors(schema: str, value: object) -> list[str]:
    document = json.loads((SPEC / schema).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(document)
    return [error.message for error in Draft202012Validator(document).iter_errors(value)]


@dataclass(frozen=True)
class Run:
    services: Services
    answer: dict[str, object]
    measurements: bytes

    @property
    def digest(self) -> str:
        return str(self.answer["digest"])

    def fetch(self, path: str) -> bytes:
        return ask("GET", f"http://{self.services.registry}/v2/o/r/{path}").body

    def manifest(self, target: str) -> dict[str, object]:
        value = json.loads(self.fetch(f"manifests/{target}"))
        assert isinstance(value, dict)
        return value

    def layer(self, manifest: dict[str, object], index: int) -> bytes:
        return self.fetch(f"blobs/{manifest['layers'][index]['digest']}")  # type: ignore[index]

    def writes(self) -> list[str]:
        """What was put, in order: ``blob``, ``digest``, or the tag."""
        puts = [
            path for method, path, status in self.services.requests() if method == "PUT" and status == 201
        ]
        names = [path.rpartition("/")[2] for path in puts]
        return [
            "blob" if "/blobs/" in path else "digest" if ":" in name else name
            for path, name in zip(puts, names, strict=True)
        ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("publish")
    root, image = folder / "root", folder / "app.eif"
    root.mkdir()
    (root / "app").write_bytes(b"x")
    with Services(folder / "state", referrers_api=False) as services:

        def glassclave(*words: str | Path) -> str:
            done = subprocess.run(
                [sys.executable, "-m", "glassclave", *map(str, words)],
                capture_output=True,
                text=True,
                timeout=120,
                env=os.environ | services.environment(),
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        glassclave("build", f"dir:{root}", "-o", image, "--cmd", "/app")
        reference = f"{services.registry}/o/r:1.0"
        printed = glassclave("publish", image, reference, "--trust-config", services.trust_config, "--json")
        yield Run(services, json.loads(printed), image.with_suffix(".measurements.json").read_bytes())


def test_the_answer_follows_its_schema(run: Run) -> None:
    assert errors("publish.schema.json", run.answer) == []
    changes: list[dict[str, object]] = [{"extra": 1}, {"claims": {}}, {"reference": "o/r"}, {"logIndex": -1}]
    for change in changes:
        assert errors("publish.schema.json", run.answer | change)


def test_the_schema_knows_every_claim_and_no_other() -> None:
    schema = json.loads((SPEC / "publish.schema.json").read_text(encoding="utf-8"))
    assert list(schema["properties"]["claims"]["properties"]) == [one.name for one in fields(Claims)]


def test_the_manifest_and_the_files_in_it_follow_theirs(run: Run) -> None:
    manifest = run.manifest("1.0")
    assert errors("artifact.schema.json", manifest) == []
    assert run.layer(manifest, 1) == run.measurements
    assert errors("measurement-v1.schema.json", json.loads(run.measurements)) == []
    described = json.loads(run.layer(manifest, 2))
    assert errors("describe.schema.json", described) == []
    assert {f"PCR{number}": described["Measurements"][f"PCR{number}"] for number in range(3)} == manifest[
        "annotations"
    ]


def test_two_bundles_refer_to_the_manifest_and_the_fallback_index_lists_them(run: Run) -> None:
    index = run.manifest(run.digest.replace(":", "-"))
    kinds = []
    for entry in index["manifests"]:  # type: ignore[attr-defined]
        referrer = run.manifest(entry["digest"])
        assert referrer["subject"]["digest"] == run.digest  # type: ignore[index]
        assert referrer["annotations"] == entry["annotations"]
        envelope = json.loads(run.layer(referrer, 0))["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        assert envelope["payloadType"] == "application/vnd.in-toto+json"
        assert statement["subject"][0]["digest"] == {"sha256": run.digest.removeprefix("sha256:")}
        assert statement["predicateType"] == entry["annotations"]["dev.sigstore.bundle.predicateType"]
        kinds.append(statement)
    signed, stated = kinds
    assert signed["predicate"] == {}
    assert errors("measurement-v1.schema.json", stated["predicate"]) == []
    claims = run.answer["claims"]
    assert isinstance(claims, dict)
    assert stated["predicate"]["claimed"]["source"]["commit"] == claims["source_repository_digest"]


def test_the_older_layout_holds_what_was_signed(run: Run) -> None:
    manifest = run.manifest(run.digest.replace(":", "-") + ".sig")
    payload = json.loads(run.layer(manifest, 0))
    assert payload["critical"]["image"]["docker-manifest-digest"] == run.digest
    assert payload["critical"]["identity"]["docker-reference"] == f"{run.services.registry}/o/r"
    (layer,) = manifest["layers"]  # type: ignore[misc]
    assert sorted(layer["annotations"]) == [  # type: ignore[has-type]
        "dev.cosignproject.cosign/signature",
        "dev.sigstore.cosign/bundle",
        "dev.sigstore.cosign/certificate",
        "dev.sigstore.cosign/chain",
        "dev.sigstore.cosign/rfc3161timestamp",
    ]


def test_things_are_written_in_the_order_that_is_specified(run: Run) -> None:
    fallback = run.digest.replace(":", "-")
    assert run.writes() == [
        *["blob"] * 4,  # image, measurements, description, {}
        "digest",
        *["blob", "digest", fallback] * 2,
        *["blob"] * 2,
        f"{fallback}.sig",
        "1.0",
    ]
