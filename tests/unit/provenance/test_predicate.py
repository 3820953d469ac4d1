"""The measurement predicate: what is written is read, and nothing else is."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from glassclave.errors import LimitError, ParseError
from glassclave.provenance.predicate import parse_predicate, predicate_json, predicate_record
from tests.unit.provenance.predicates import SIGNED

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[3] / "docs" / "spec" / "measurement-v1.schema.json").read_text(
        encoding="utf-8"
    )
)
VALIDATOR = Draft202012Validator(SCHEMA)
OUTSIDE = ("claimed", "container", "outside")
RECORD: dict[str, Any] = json.loads(predicate_json(SIGNED))

BARE = replace(
    SIGNED,
    measured=replace(
        SIGNED.measured,
        measurements=replace(SIGNED.measured.measurements, pcr8=None),
        sections=SIGNED.measured.sections[:1],
    ),
    claimed=replace(
        SIGNED.claimed,
        bootstrap=replace(SIGNED.claimed.bootstrap, pcr1_owner=None),
        recipe=replace(SIGNED.claimed.recipe, mtime=None, normalizers=()),
        source=None,
        build_log=None,
    ),
)


@pytest.mark.parametrize("predicate", [SIGNED, BARE], ids=["everything", "nothing optional"])
def test_what_is_written_is_read(predicate: Any) -> None:
    data = predicate_json(predicate)
    assert parse_predicate(data, source="p") == predicate
    assert parse_predicate(predicate_record(predicate), source="p") == predicate
    VALIDATOR.validate(json.loads(data))
    assert data.startswith(b'{\n  "measured": {\n    "hashAlgorithm": "SHA384",\n')
    assert data.endswith(b"}\n") and data.isascii() and b"\x7f" not in data


def test_the_file_is_safe_to_show() -> None:
    name = 'a\x1b\x7f\u202e"\\'
    odd = replace(
        SIGNED,
        claimed=replace(SIGNED.claimed, unmeasured=replace(SIGNED.claimed.unmeasured, image_name=name)),
    )
    data = predicate_json(odd)
    assert all(32 <= byte < 127 or byte == 10 for byte in data)
    assert parse_predicate(data, source="p") == odd


def objects(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Paths of all objects in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if isinstance(value, dict) else []
    for key, inner in items:
        found += objects(inner, (*path, key))
    return found


def changed(path: tuple[str | int, ...], change: Callable[[Any], None]) -> dict[str, Any]:
    record = copy.deepcopy(RECORD)
    inner: Any = record
    for key in path:
        inner = inner[key]
    change(inner)
    return record


def put(name: str, value: object, inner: Any) -> None:
    inner[name] = value


OBJECTS = objects(RECORD)


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: ".".join(map(str, path)) or "top")
def test_an_unknown_field_anywhere_is_refused(path: tuple[str | int, ...]) -> None:
    record = changed(path, lambda inner: inner.update(extra=None))
    with pytest.raises(ParseError) as caught:
        parse_predicate(json.dumps(record).encode(), source="p")
    assert (caught.value.code, caught.value.source) == ("field.unknown", "p")
    assert not VALIDATOR.is_valid(record)


def leaves() -> list[tuple[tuple[str | int, ...], str]]:
    found = []
    for path in OBJECTS:
        inner: Any = RECORD
        for key in path:
            inner = inner[key]
        found += [(path, key) for key in inner]
    return found


@pytest.mark.parametrize(("path", "name"), leaves(), ids=str)
def test_no_field_may_be_missing(path: tuple[str | int, ...], name: str) -> None:
    record = changed(path, lambda inner: inner.pop(name))
    with pytest.raises(ParseError) as caught:
        parse_predicate(json.dumps(record).encode(), source="p")
    wanted = "measurements.pcr8" if name == "PCR8" else "field.missing"
    assert caught.value.code == wanted
    assert not VALIDATOR.is_valid(record)


@pytest.mark.parametrize(
    ("path", "name", "value", "code"),
    [
        (("measured", "pcrs"), "PCR0", "00" * 47, "hex.size"),
        (("measured", "pcrs"), "PCR1", "AB" * 48, "hex.case"),
        (("measured", "pcrs"), "PCR2", "zz" * 48, "hex.syntax"),
        (("measured", "pcrs"), "PCR8", None, "field.type"),
        (("measured", "eif"), "sha256", "00" * 33, "hex.size"),
        (("measured", "eif"), "sha384", "00" * 32, "hex.size"),
        (("measured", "eif"), "size", -1, "field.range"),
        (("measured", "eif"), "size", True, "field.type"),
        (("measured", "sections", 0), "type", "ramdisc", "field.value"),
        (("measured", "sections", 0), "sha384", "00" * 20, "hex.size"),
        (("measured", "sections", 1), "type", "ramdisk", "measurements.pcr8"),
        (("measured",), "hashAlgorithm", "SHA256", "field.value"),
        (("measured",), "architecture", "amd64", "field.value"),
        (("measured",), "sections", {}, "field.type"),
        (("measured",), "flags", 1 << 16, "field.range"),
        (("claimed", "recipe"), "mtime", "keep", "field.type"),
        (("claimed", "recipe"), "mtime", 1 << 32, "field.range"),
        (("claimed", "recipe"), "mtime", None, "field.type"),
        (("claimed", "recipe"), "normalizers", [1], "field.type"),
        (("claimed", "recipe"), "dropFileCapabilities", 0, "field.type"),
        (("claimed", "source"), "commit", "7F" * 20, "claims.commit"),
        (("claimed", "source"), "commit", "7f" * 19, "claims.commit"),
        (("claimed", "buildLog"), "sha256", "00", "hex.size"),
        (("claimed", "bootstrap"), "name", None, "field.type"),
        (("claimed", "bootstrap"), "pcr1Owner", "a" * 65537, "field.size"),
        (("claimed", "unmeasured"), "imageName", "a" * 65537, "field.size"),
        (("claimed", "recipe", "tool"), "version", "a" * 65537, "field.size"),
        (("claimed",), "source", False, "field.type"),
        (("claimed", "container", "bases", 0), "digest", "sha256:" + "5a" * 31, "claims.digest"),
        (("claimed", "container", "bases", 1), "digest", "", "claims.digest"),
        ((*OUTSIDE, "packages", "list", 0), "change", "gone", "field.value"),
        ((*OUTSIDE, "packages", "list", 0), "before", "1", "claims.outside"),
        ((*OUTSIDE, "packages", "list", 1), "before", None, "claims.outside"),
        ((*OUTSIDE, "packages", "list", 0), "layer", 0, "field.range"),
        ((*OUTSIDE, "packages"), "count", -1, "field.range"),
        ((*OUTSIDE, "packages"), "sha256", "AB" * 32, "hex.case"),
        ((*OUTSIDE, "repositories", "list", 0), "commit", "7f" * 21, "claims.commit"),
        ((*OUTSIDE, "repositories", "list", 0), "remotes", [None], "field.type"),
        ((*OUTSIDE, "commands", "list", 0), "line", 0, "field.range"),
        ((*OUTSIDE, "unread", "list", 0), "code", None, "field.type"),
        (OUTSIDE, "baseLayers", -1, "field.range"),
        (OUTSIDE, "layers", None, "field.type"),
        (OUTSIDE[:-1], "outside", [], "field.type"),
    ],
)
def test_one_value_of_another_form_is_refused(
    path: tuple[str | int, ...], name: str, value: object, code: str
) -> None:
    record = changed(path, lambda inner: inner.update({name: value}))
    with pytest.raises(ParseError) as caught:
        parse_predicate(json.dumps(record).encode(), source="p")
    assert caught.value.code == code
    assert not VALIDATOR.is_valid(record)


def test_the_longest_lists_and_the_greatest_numbers_are_read_and_one_more_is_not() -> None:
    recipe = ("claimed", "recipe")
    container = ("claimed", "container")
    argument = RECORD["claimed"]["container"]["buildArgs"][0]
    for path, name, right, wrong, code in (
        (recipe, "normalizers", ["x"] * 256, ["x"] * 257, "field.size"),
        (recipe, "mtime", (1 << 32) - 1, 1 << 32, "field.range"),
        (container, "buildArgs", [argument] * 1024, [argument] * 1025, "field.size"),
        (container, "secrets", ["x"] * 1024, ["x"] * 1025, "field.size"),
        (container, "added", ["x"] * 1024, ["x"] * 1025, "field.size"),
        (container, "bases", [{"name": "x", "digest": None}] * 1024, None, "field.type"),
        (container, "bases", [], [{"name": "x", "digest": None}] * 1025, "field.size"),
        (("measured",), "eifVersion", 0xFFFF, 0x10000, "field.range"),
        (("measured",), "flags", 0xFFFF, 0x10000, "field.range"),
        (("measured",), "sections", RECORD["measured"]["sections"] * 16, [], "measurements.pcr8"),
        (
            ("measured",),
            "sections",
            RECORD["measured"]["sections"],
            RECORD["measured"]["sections"] * 17,
            "field.size",
        ),
        (OUTSIDE, "layers", (1 << 32) - 1, 1 << 32, "field.range"),
        (OUTSIDE, "baseLayers", 4, 5, "field.range"),
        ((*OUTSIDE, "packages", "list", 0), "layer", 3, 1 << 32, "field.range"),
        ((*OUTSIDE, "repositories", "list", 0), "remotes", ["https://x/y"], ["x"] * 65, "field.size"),
    ):
        parse_predicate(changed(path, partial(put, name, right)), source="p")
        with pytest.raises(ParseError) as caught:
            parse_predicate(changed(path, partial(put, name, wrong)), source="p")
        assert caught.value.code == code


def test_the_longest_file_is_read_and_a_byte_more_is_not() -> None:
    data = predicate_json(SIGNED)
    longest = data + b" " * ((1 << 20) - len(data))
    assert parse_predicate(longest, source="p") == SIGNED
    with pytest.raises(LimitError) as caught:
        parse_predicate(longest + b" ", source="p")
    assert caught.value.code == "json.size"


def test_too_many_sections_and_duplicate_keys_are_refused() -> None:
    many = changed(("measured",), lambda inner: inner.update(sections=inner["sections"] * 17))
    for data, code in (
        (json.dumps(many).encode(), "field.size"),
        (predicate_json(SIGNED).replace(b'"flags": 0', b'"flags": 0, "flags": 0'), "json.duplicate-key"),
    ):
        with pytest.raises(ParseError) as caught:
            parse_predicate(data, source="p")
        assert caught.value.code == code
