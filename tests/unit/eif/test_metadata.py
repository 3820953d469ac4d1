"""The metadata section: built byte for byte, read with suspicion, never mistaken for what is genuine."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from glassclave.eif.describe import describe
from glassclave.eif.metadata import build_metadata, parse_custom_metadata, parse_metadata
from glassclave.errors import LimitError, ParseError, UsageError
from glassclave.results import Severity
from tests.unit.eif.images import (
    METADATA,
    METADATA_TEXT,
    PARTS,
    PCR0,
    RAMDISK,
    by_hand,
    codes,
    inspect,
    write,
)

PLAIN = parse_metadata(METADATA_TEXT)
assert PLAIN is not None


def with_text(text: bytes) -> bytes:
    """An image with this metadata section."""
    return by_hand([*PARTS[:2], (METADATA, text), (RAMDISK, b"RAMDISK0"), (RAMDISK, b"RAMDISK1")])


def with_custom(custom: object) -> bytes:
    assert PLAIN is not None
    return write(metadata=build_metadata(dataclasses.replace(PLAIN, custom=custom)))[0]


def test_keys_in_their_order_free_objects_sorted_text_compact() -> None:
    assert METADATA_TEXT == (
        b'{"ImageName":"name","ImageVersion":"1.0","BuildMetadata":{"BuildTime":"1970-01-01T00:00:00+00:00",'
        b'"BuildTool":"eif_build","BuildToolVersion":"0.3.1","OperatingSystem":"OS","KernelVersion":"kernel"},'
        b'"DockerInfo":null,"CustomMetadata":null}'
    )
    assert PLAIN is not None
    nested = dataclasses.replace(PLAIN, docker_info={"b": [{"z": 1, "y": "é"}], "a": None, "Z": True})
    assert '"DockerInfo":{"Z":true,"a":null,"b":[{"y":"é","z":1}]}'.encode() in build_metadata(nested)
    again = parse_metadata(build_metadata(nested))
    assert again == nested


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"{}", "field.missing"),
        (b"[]", "field.type"),
        (b"", "json.syntax"),
        (b"not JSON", "json.syntax"),
        (b'{"ImageName":"\xff"}', "json.encoding"),
        (METADATA_TEXT.replace(b'"DockerInfo":null,', b""), "field.missing"),
        (METADATA_TEXT.replace(b',"CustomMetadata":null', b""), "field.missing"),
        (METADATA_TEXT.replace(b'"BuildTool":"eif_build"', b'"BuildTool":7'), "field.type"),
        (METADATA_TEXT.replace(b"{", b'{"ImageName":"other",', 1), "json.duplicate-key"),
        (METADATA_TEXT.replace(b'"DockerInfo":null', b'"DockerInfo":' + b"[" * 99 + b"]" * 99), "json.depth"),
        (METADATA_TEXT.replace(b'"DockerInfo":null', b'"DockerInfo":' + b"9" * 9999), "json.number"),
        (METADATA_TEXT.replace(b'"DockerInfo":null', b'"DockerInfo":1e999'), "json.number"),
        (METADATA_TEXT.replace(b'"DockerInfo":null', b'"DockerInfo":NaN'), "json.number"),
        (METADATA_TEXT.replace(b'"name"', b'"\\ud800"'), "json.encoding"),
    ],
)
def test_case_19_metadata_that_is_none(text: bytes, code: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_metadata(text)
    assert caught.value.code == code
    found = inspect(with_text(text))
    assert codes(found) == {code}
    assert found.findings[0].severity is Severity.WARNING  # it is in no PCR and decides nothing
    assert found.measurements is not None
    assert found.measurements.pcr0.hex() == PCR0
    assert "ImageName" not in describe(found)


def test_case_19_null_is_no_metadata_and_unknown_keys_are_ignored() -> None:
    assert inspect(with_text(b"null")).metadata is None
    assert inspect(with_text(b"null")).findings == ()
    assert parse_metadata(METADATA_TEXT.replace(b"{", b'{"Other":1,', 1)) == PLAIN


def test_case_19_custom_keys_stand_beside_the_genuine_ones() -> None:
    document = describe(inspect(with_custom({"z": 1, "a": {"b": None}})))
    metadata = document["Metadata"]
    assert isinstance(metadata, dict)
    assert list(metadata)[-3:] == ["DockerInfo", "a", "z"]
    assert document["Findings"] == []


@pytest.mark.parametrize("key", ["BuildTime", "DockerInfo"])
def test_case_19_custom_keys_never_shadow(key: str) -> None:
    found = inspect(with_custom({key: "forged", "mine": 1}))
    document = describe(found)
    metadata = document["Metadata"]
    assert isinstance(metadata, dict)
    assert metadata[key] != "forged"
    assert metadata["mine"] == 1
    assert codes(found) == {"eif.metadata.shadow"}
    assert not found.refused


def test_our_own_keys_cannot_be_taken() -> None:
    forged: dict[str, object] = {"Findings": "none", "Sections": [], "Unmeasured": {}, "Measurements": {}}
    document = describe(inspect(with_custom(forged | {"BuildTime": "x"})))
    assert document["Findings"] != "none"
    assert document["Sections"] != []
    text = json.dumps(document)
    assert len(json.loads(text, object_pairs_hook=_no_duplicates)) == len(document)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize("custom", [[1], "text", 7])
def test_case_19_custom_that_is_no_object(custom: object) -> None:
    found = inspect(with_custom(custom))
    assert codes(found) == {"eif.metadata.custom-type"}
    assert isinstance(describe(found)["Metadata"], dict)


def test_case_19_sizes() -> None:
    fits = b'"' + b"x" * 4094 + b'"'
    assert parse_custom_metadata(fits, source="custom.json") == "x" * 4094
    with_custom("x" * 4094)
    with pytest.raises(LimitError) as caught:
        parse_custom_metadata(fits[:-1] + b'x"', source="custom.json")
    assert caught.value.code == "eif.metadata.custom-size"
    with pytest.raises(UsageError) as refused:
        with_custom("x" * 4095)
    assert refused.value.code == "eif.metadata.custom-size"
    with pytest.raises(LimitError) as wide:
        parse_custom_metadata(b"[" * 65 + b"]" * 65, source="custom.json")
    assert wide.value.code == "json.depth"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", object()])
def test_values_that_json_cannot_hold(value: object) -> None:
    with pytest.raises(UsageError) as caught:
        with_custom({"key": value})
    assert caught.value.code == "eif.metadata.value"


def test_a_section_that_is_too_large_to_read() -> None:
    found = inspect(with_text(bytes((1 << 20) + 1)))
    assert codes(found) == {"eif.metadata.size"}
    assert found.metadata is None
