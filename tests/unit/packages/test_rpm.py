"""The rpm database is somebody else's: nothing in it is run, and neither size nor time is without an end."""

from __future__ import annotations

import sqlite3
import struct

import pytest

from glassclave.errors import ParseError
from glassclave.packages import rpm
from tests.unit.packages.cases import cases_of, data_of

PATH = b"var/lib/rpm/rpmdb.sqlite"
ROW = b"\0\0\0\0\0\0\0\0"
"""A header without tags: the first thing that is refused once the database could be read."""
GOOD = data_of((cases_of("rpm") or {})["positive"][0])


def database(*statements: str) -> bytes:
    connection = sqlite3.connect(":memory:")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        return connection.serialize()
    finally:
        connection.close()


def outcome(data: bytes) -> str | int:
    try:
        return len(list(rpm.READER.read(PATH, data)))
    except ParseError as error:
        return error.code


def test_what_is_not_a_plain_column_is_not_run() -> None:
    stored = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)"
    assert (
        outcome(database(stored, f"INSERT INTO Packages VALUES (1, x'{ROW.hex()}')")) == "packages.rpm.header"
    )
    made = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB AS (zeroblob(8)))"
    assert outcome(database(made, "INSERT INTO Packages VALUES (1)")) == "packages.rpm.form"
    view = "CREATE VIEW Packages AS SELECT x'00' AS blob"
    assert outcome(database(view)) == "packages.rpm.form"
    virtual = "UPDATE sqlite_master SET sql = 'CREATE VIRTUAL TABLE Packages USING fts5(blob)'"
    assert outcome(database(stored, "PRAGMA writable_schema = ON", virtual)) == "packages.rpm.form"


def test_a_function_is_denied_even_where_the_table_is_right() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)")
    rpm._guard(connection)
    assert connection.execute("SELECT blob FROM Packages").fetchall() == []
    for statement in ("SELECT zeroblob(8)", "PRAGMA user_version", "DELETE FROM Packages", "ATTACH 'x' AS y"):
        with pytest.raises(sqlite3.DatabaseError):
            connection.execute(statement)
    connection.close()


def test_a_row_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = max(len(blob) for blob in rpm._headers(GOOD))
    monkeypatch.setattr(rpm, "_MAX_HEADER", longest + 64)  # the row has more than its blob
    assert outcome(GOOD) == 2
    monkeypatch.setattr(rpm, "_MAX_HEADER", longest - 1)
    assert outcome(GOOD) == "packages.rpm.damaged"


def header(*tags: tuple[int, int, int, int], data: bytes = b"n\x001\x002\0") -> bytes:
    """``tags``: tag, type, offset, count."""
    index = b"".join(struct.pack(">IIII", *tag) for tag in tags)
    return struct.pack(">II", len(tags), len(data)) + index + data


NAME, VERSION, RELEASE = (1000, 6, 0, 1), (1001, 6, 2, 1), (1002, 6, 4, 1)
OTHER = (1, 6, 0, 1)


@pytest.mark.parametrize(
    ("blob", "good"),
    [
        (header(NAME, VERSION, RELEASE), True),
        (header(*[OTHER] * 0xFFFC, NAME, VERSION, RELEASE), True),
        (header(*[OTHER] * 0xFFFD, NAME, VERSION, RELEASE), False),
        (header((1000, 6, 0, 2), VERSION, RELEASE), False),
        (header((1000, 6, 6, 1), VERSION, RELEASE), False),
        (header((1000, 6, 0xFFFFFFFF, 1), VERSION, RELEASE), False),
        (header(NAME, VERSION, RELEASE, (1003, 4, 2, 1)), True),
        (header(NAME, VERSION, RELEASE, (1003, 4, 3, 1)), False),
    ],
)
def test_the_borders_of_a_header(blob: bytes, good: bool) -> None:
    table = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)"
    data = database(table, f"INSERT INTO Packages VALUES (1, x'{blob.hex()}')")
    assert outcome(data) == (1 if good else "packages.rpm.header")


def test_rows_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpm, "_MAX_PACKAGES", 2)
    assert outcome(GOOD) == 2
    monkeypatch.setattr(rpm, "_MAX_PACKAGES", 1)
    assert outcome(GOOD) == "packages.limit"


def test_reading_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpm, "_STEPS", 1)
    monkeypatch.setattr(rpm, "_ROUNDS", 100_000)
    assert outcome(GOOD) == 2
    monkeypatch.setattr(rpm, "_ROUNDS", 1)
    assert outcome(GOOD) == "packages.rpm.damaged"


def test_an_sqlite_without_the_way_in_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare:
        def close(self) -> None:
            pass

    monkeypatch.setattr(sqlite3, "connect", lambda _name: Bare())
    assert outcome(GOOD) == "packages.rpm.sqlite"


@pytest.mark.parametrize("at", [16, 20, 28, 100, 105])
def test_one_bent_byte_ends_in_words(at: int) -> None:
    bent = GOOD[:at] + bytes([GOOD[at] ^ 0xFF]) + GOOD[at + 1 :]
    assert outcome(bent) in ("packages.rpm.damaged", "packages.rpm.form", 2)
