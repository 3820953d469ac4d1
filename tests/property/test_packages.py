"""Whatever bytes lie where a package database is expected: packages in visible text, or a typed error."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassclave.errors import ParseError
from glassclave.image.commands import MAX_TEXT, fetching_commands
from glassclave.image.dockerfile import parse_dockerfile
from glassclave.image.repositories import read_repository
from glassclave.packages import Package, Reader, readers
from glassclave.packages.changes import Change, Kind, compare
from glassclave.packages.database import MAX_TEXT as MAX_NAME
from tests.unit.packages.cases import cases_of, data_of

CASES = [
    (reader, case["path"].encode(), data_of(case))
    for reader in readers()
    for case in (cases_of(reader.id) or {})["positive"]
]
PIECES = [
    b"\n", b"\n\n", b" ", b":", b"\r", b"\0", b"\xff", b"P:a\n", b"V:1\n", b"Package: a\n", b"Version: 1\n",
    b"Status: install ok installed\n", b"Multi-Arch: same\n", b"Architecture: x\n", b"Name: a\n", b'{"name":',
    b'"a"', b',"version":', b'"1"', b"}", b"[" * 99, b"SQLite format 3\0",
]  # fmt: skip


def check(reader: Reader, path: bytes, data: bytes) -> None:
    try:
        found = list(reader.read(path, data))
    except ParseError as error:
        assert error.code.startswith("packages.")
        return
    for one in found:
        assert one.type == reader.id
        for text in (one.name, one.version):
            assert text.isprintable() and 0 < len(text) <= MAX_NAME


@pytest.mark.parametrize(("reader", "path", "_data"), CASES, ids=lambda value: getattr(value, "id", ""))
@given(data=st.binary(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_any_bytes(reader: Reader, path: bytes, _data: bytes, data: bytes) -> None:
    check(reader, path, data)


@pytest.mark.parametrize(("reader", "path", "good"), CASES, ids=lambda value: getattr(value, "id", ""))
@given(place=st.integers(min_value=0), damage=st.binary(min_size=1, max_size=4), cut=st.booleans())
def test_a_good_one_that_was_damaged(
    reader: Reader, path: bytes, good: bytes, place: int, damage: bytes, cut: bool
) -> None:
    at = place % (len(good) + 1)
    check(reader, path, good[:at] + damage + (b"" if cut else good[at + len(damage) :]))


def database(blobs: Iterable[object]) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA page_size = 512")
    connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)")
    connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for blob in blobs])
    connection.commit()
    try:
        return connection.serialize()
    finally:
        connection.close()


ENTRIES = st.tuples(
    st.sampled_from([1000, 1001, 1002, 1003, 1022, 63, 1]),
    st.sampled_from([4, 6, 7, 9]),
    st.integers(0, 40),
    st.sampled_from([0, 1, 2]),
)


@given(
    st.lists(ENTRIES, max_size=6), st.binary(max_size=32) | st.just(b"a\0bc\0d\0\0\0\1"), st.integers(-1, 1)
)
def test_any_header_of_rpm(entries: list[tuple[int, int, int, int]], data: bytes, off: int) -> None:
    index = b"".join(struct.pack(">IIII", *entry) for entry in entries)
    header = struct.pack(">II", max(0, len(entries) + off), len(data)) + index + data
    (rpm,) = (reader for reader in readers() if reader.id == "rpm")
    check(rpm, b"var/lib/rpm/rpmdb.sqlite", database([header]))


PACKAGES = st.frozensets(
    st.builds(Package, st.sampled_from("xy"), st.sampled_from("ab"), st.sampled_from("123")), max_size=8
)


@given(PACKAGES, PACKAGES)
def test_changes_lead_from_one_to_the_other(before: frozenset[Package], after: frozenset[Package]) -> None:
    changes = list(compare(before, after))
    gone = {one.package for one in changes if one.kind is Kind.REMOVED} | {
        old(one) for one in changes if one.before
    }
    come = {one.package for one in changes if one.kind is not Kind.REMOVED}
    assert (before - gone) | come == after
    assert gone <= before and come <= after and not come & before
    assert changes == list(compare(set(before), set(after)))


def old(change: Change) -> Package:
    return Package(change.package.type, change.package.name, change.before or "")


@given(
    st.dictionaries(
        st.sampled_from([b"HEAD", b"config", b"packed-refs", b"refs/heads/a"]),
        st.binary(max_size=80)
        | st.lists(
            st.sampled_from(
                [b"ref: refs/heads/a", b"5a" * 20, b"\n", b" ", b'[remote "x"]', b"url=", b"u:p@", b"://"]
            ),
            max_size=9,
        ).map(b"".join),
    )
)
def test_any_repository(files: dict[bytes, bytes]) -> None:
    try:
        found = read_repository(b".git", lambda path: files.get(path.removeprefix(b".git/")))
    except ParseError as error:
        assert error.code.startswith("repository.")
        return
    assert found.commit is None or found.commit == "5a" * 20
    assert all("u:p@" not in remote.partition("://")[2].partition("/")[0] for remote in found.remotes)


STEPS = st.text(max_size=60) | st.lists(
    st.sampled_from(
        ["curl ", "git ", "clone", "&&", ";", "\n", "$(", "`", "'", '"', "[", "\\", "--mount=x ", "A=", "é"]
    ),
    max_size=12,
).map("".join)


@given(STEPS)
def test_any_step(step: str) -> None:
    for command in fetching_commands([(1, step)]):
        assert 0 < len(command.text) <= MAX_TEXT and "\n" not in command.text


@given(st.lists(STEPS, max_size=5))
def test_any_dockerfile(steps: list[str]) -> None:
    text = "FROM a:1\n" + "".join(f"RUN {step}\n" for step in steps)
    try:
        found = parse_dockerfile(text.encode("utf-8", "surrogatepass"), source="D", build_args={})
    except ParseError as error:
        assert error.code.startswith("dockerfile.")
        return
    assert found.root is not None
