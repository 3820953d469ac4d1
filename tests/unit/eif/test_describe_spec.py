"""The specification of ``describe --json``: its schema holds for every image, sound or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from glassclave.eif.describe import describe
from glassclave.eif.format import Architecture
from glassclave.eif.inspection import inspect_image
from glassclave.eif.metadata import Metadata, build_metadata
from glassclave.results import Severity
from glassclave.streams import BytesSource
from tests.unit.eif.images import VECTOR, by_hand, patched, write
from tests.unit.eif.signed_images import SIGNED

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "docs" / "spec" / "describe.schema.json").read_text(encoding="utf-8"))
NITRO_CLI = sorted((ROOT / "tests" / "vectors" / "nitro-cli").glob("*/nitro-cli.eif"))
CUSTOM = Metadata(
    image_name="n",
    image_version="1",
    build_time="t",
    build_tool="b",
    build_tool_version="1",
    operating_system="Linux",
    kernel_version="6",
    docker_info=["anything", None],
    custom={"Anything": {"else": 1}},
)
SOUND = write()[0]
IMAGES = {
    "sound": SOUND,
    "signed": SIGNED["P-384"],
    "arm": write(architecture=Architecture.AARCH64)[0],
    "custom metadata": write(metadata=build_metadata(CUSTOM))[0],
    "no metadata to read": write(metadata=b"\xff")[0],
    "one ramdisk": write(ramdisks=[b"R"])[0],
    "wrong checksum": SOUND[:-1] + bytes([SOUND[-1] ^ 1]),
    "foreign flags": patched(SOUND, 6, b"\xff\xfe"),
    "version 2": by_hand(version=2),
    "unknown type": by_hand([*VECTOR, (9, b"x")]),
    "gap": by_hand(gaps=[b"", b"junk"]),
    "trailing": by_hand(trailing=b"junk"),
    "the walks disagree": by_hand(count=3),
    "a size beyond the file": by_hand(sizes={0: 1 << 63}),
    "a broken signature": by_hand([*VECTOR, (4, b"\xff")]),
    "cut": SOUND[:-1],
    "header alone": SOUND[:548],
} | {path.parent.name: path.read_bytes() for path in NITRO_CLI}


def record(image: bytes) -> dict[str, object]:
    value = describe(inspect_image(BytesSource(image), name="image.eif"))
    parsed = json.loads(json.dumps(value))
    assert isinstance(parsed, dict)
    return parsed


def errors(value: object) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(value)]


@pytest.mark.parametrize("name", IMAGES)
def test_every_description_follows_the_schema(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert errors(record(IMAGES[name])) == []


def test_the_set_has_refused_and_accepted_images() -> None:
    refused = {
        name
        for name, image in IMAGES.items()
        if any(one["Severity"] == Severity.ERROR for one in record(image)["Findings"])  # type: ignore[attr-defined]
    }
    assert len(refused) >= 8
    assert {"sound", "signed", "arm", "g1", "s1"}.isdisjoint(refused)


@pytest.mark.parametrize(
    "change",
    [
        {"Extra": 1},
        {"EifVersion": "4"},
        {"Measurements": {"HashAlgorithm": "Sha512_48 { .. }", "PCR0": "0" * 96}},
        {"Measurements": {"HashAlgorithm": "SHA384"}},
        {"SigningCertificate": {}},
        {"Sections": [{"Type": "KERNEL"}]},
        {"Unmeasured": {}},
        {"Findings": [{"Code": "eif.crc", "Severity": "fatal", "Message": "", "Where": None}]},
    ],
)
def test_the_schema_refuses_another_description(change: dict[str, object]) -> None:
    assert errors(record(IMAGES["signed"])) == []
    assert errors(record(IMAGES["signed"]) | change)


@pytest.mark.parametrize(
    "key", ["EifVersion", "Measurements", "IsSigned", "CheckCRC", "Sections", "Unmeasured", "Findings"]
)
def test_no_key_of_ours_may_be_missing(key: str) -> None:
    value = record(IMAGES["sound"])
    del value[key]
    assert errors(value)
