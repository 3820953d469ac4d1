"""Lists in a statement: whole or cut, and what a reader refuses of them."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from glassclave.errors import LimitError, ParseError
from glassclave.fields import Fields
from glassclave.provenance.outside import (
    MAX_LISTED,
    CommandClaim,
    OutsideClaim,
    PackageChange,
    RepositoryClaim,
    listed,
    outside_record,
    parse_outside,
)
from tests.unit.provenance.predicates import OUTSIDE

ONE, TWO, THREE = (CommandClaim(line=line, text="curl é") for line in (1, 2, 3))
SIZE = len(json.dumps(ONE.record(), indent=2)) + 4 * 13
"""Bytes of one in the measurements file: four lines, each with twelve columns before it and its end."""


def parse(change: Callable[[Any], None]) -> OutsideClaim:
    record = copy.deepcopy(outside_record(OUTSIDE))
    change(record)
    return parse_outside(Fields.of(json.loads(json.dumps(record))))


def test_what_is_written_is_read() -> None:
    assert parse(lambda record: None) == OUTSIDE


@pytest.mark.parametrize(
    ("room", "kept"),
    [(0, 0), (SIZE - 1, 0), (SIZE, 1), (2 * SIZE - 1, 1), (2 * SIZE, 2), (3 * SIZE - 1, 2), (3 * SIZE, 3)],
)
def test_a_list_is_cut_where_the_room_ends(room: int, kept: int) -> None:
    found = listed((ONE, TWO, THREE), room=room)
    assert (found.items, found.count, found.complete) == ((ONE, TWO, THREE)[:kept], 3, kept == 3)
    lines = "".join(f'{{"line":{line},"text":"curl \\u00e9"}}\n' for line in (1, 2, 3))
    assert found.sha256 == hashlib.sha256(lines.encode("ascii")).digest()


def test_nothing_is_kept_behind_what_is_too_long() -> None:
    long = CommandClaim(line=2, text="x" * 999)
    assert listed((ONE, long, THREE), room=3 * SIZE).items == (ONE,)


def test_no_more_than_is_read_is_written() -> None:
    found = listed((ONE for _ in range(MAX_LISTED + 1)), room=1 << 30)
    assert (len(found.items), found.count, found.complete) == (MAX_LISTED, MAX_LISTED + 1, False)


@pytest.mark.parametrize(
    "change",
    [
        lambda packages: packages.update(complete=False),
        lambda packages: packages.update(count=4),
        lambda packages: packages.update(sha256="00" * 32),
        lambda packages: packages["list"].reverse(),
        lambda packages: packages["list"][0].update(name="other"),
    ],
)
def test_a_list_that_does_not_fit_what_is_said_of_it_is_refused(change: Callable[[Any], None]) -> None:
    with pytest.raises(ParseError) as caught:
        parse(lambda record: change(record["packages"]))
    assert caught.value.code == "claims.outside"


def test_a_count_below_the_list_and_more_layers_of_the_base_than_there_are() -> None:
    for change in (
        lambda record: record["packages"].update(count=2),
        lambda record: record.update(baseLayers=5),
    ):
        with pytest.raises(ParseError) as caught:
            parse(change)
        assert caught.value.code == "field.range"


def test_a_cut_list_is_believed_to_be_one() -> None:
    found = parse(lambda record: record["packages"].update(complete=False, count=4))
    assert (found.packages.complete, len(found.packages.items)) == (False, 3)


def test_the_longest_list_is_read_and_one_item_more_is_not() -> None:
    line = {"line": 1, "text": "curl"}
    digest = hashlib.sha256(b'{"line":1,"text":"curl"}\n' * 8192).hexdigest()
    whole = {"complete": True, "count": 8192, "sha256": digest, "list": [line] * 8192}
    assert len(parse(lambda record: record.update(commands=whole)).commands.items) == 8192
    beyond = whole | {"complete": False, "count": 9000, "list": [line] * 8193}
    with pytest.raises(LimitError) as caught:
        parse(lambda record: record.update(commands=beyond))
    assert caught.value.code == "field.size"


@pytest.mark.parametrize(("change", "before"), [("added", "1"), ("removed", "1"), ("changed", None)])
def test_a_version_before_goes_with_a_change_and_only_with_one(change: str, before: str | None) -> None:
    """In a list whose digest is right: nothing else is wrong with it."""
    bent = PackageChange(layer=1, change=change, type="dpkg", name="x", version="2", before=before)
    record = outside_record(replace(OUTSIDE, packages=listed((bent,), room=4096)))
    with pytest.raises(ParseError) as caught:
        parse_outside(Fields.of(record))
    assert (caught.value.code, caught.value.field) == ("claims.outside", "packages.list[0].before")


def test_a_builder_that_does_not_tell_its_base() -> None:
    unknown = replace(OUTSIDE, base_layers=None)
    assert parse_outside(Fields.of(outside_record(unknown))) == unknown


def test_a_repository_with_as_many_remotes_as_are_read() -> None:
    many = RepositoryClaim(layer=1, path="/.git", commit=None, ref=None, remotes=("x",) * 64)
    outside = replace(OUTSIDE, repositories=listed((many,), room=4096))
    assert parse_outside(Fields.of(outside_record(outside))) == outside


@pytest.mark.parametrize("number", [0, 1 << 32])
def test_lines_are_counted_from_one(number: int) -> None:
    with pytest.raises(ParseError) as caught:
        parse(lambda record: record["commands"]["list"][0].update(line=number))
    assert caught.value.code == "field.range"
