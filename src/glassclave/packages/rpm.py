"""rpm: the SQLite form of its database (rpm 4.16 and later). Berkeley DB and ndb are named, not read.

Headers: RPM's documentation, "Header structure"; tags: rpmtag.h. The database is somebody else's: it is read
from a copy in memory, nothing in it is run, and each header's borders are checked.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from glassclave.errors import LimitError, ParseError
from glassclave.packages.database import Package, Reader, package

if TYPE_CHECKING:
    import sqlite3

_FOLDERS = (b"var/lib/rpm/", b"usr/lib/sysimage/rpm/", b"usr/share/rpm/")
_SQLITE = b"rpmdb.sqlite"
_LOG = b"rpmdb.sqlite-wal"
_OTHERS = {b"Packages": "Berkeley DB", b"Packages.db": "ndb"}
_NAMES = frozenset({_SQLITE, _LOG, *_OTHERS})

_MAGIC = b"SQLite format 3\0"
_TABLE = re.compile(
    r"CREATE TABLE '?Packages'? ?\(\s*hnum INTEGER PRIMARY KEY(?: AUTOINCREMENT)?,"
    r"\s*blob BLOB(?: NOT NULL)?\s*\)\Z"
)
"""A view, a virtual table or a column that is computed would run something when it is read."""
_MAX_HEADER = 16 << 20
"""Bytes of one package's header: kernels with all their files have some hundred thousand."""
_MAX_PACKAGES = 100_000
_STEPS, _ROUNDS = 100_000, 500
"""Instructions of SQLite's machine between two looks, and how many looks until it is stopped."""

_MAX_INDEX = 0xFFFF
_STRING, _INT32 = 6, 4
_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH = 1000, 1001, 1002, 1003, 1022
_TYPES = {_NAME: _STRING, _VERSION: _STRING, _RELEASE: _STRING, _EPOCH: _INT32, _ARCH: _STRING}


def _concerns(path: bytes) -> bool:
    folder, slash, name = path.rpartition(b"/")
    return name in _NAMES and folder + slash in _FOLDERS


def _read(path: bytes, data: bytes) -> Iterator[Package]:
    name = path.rpartition(b"/")[2]
    if name in _OTHERS:
        raise ParseError("packages.rpm.form", f"rpm database of a form not read ({_OTHERS[name]})")
    if name == _LOG:
        if data:
            raise ParseError("packages.rpm.log", "rpm database with changes in a log that is not read")
        return
    for header in _headers(data):
        yield _package(header)


def _headers(data: bytes) -> list[bytes]:
    """The blobs of the table ``Packages``."""
    import sqlite3

    if data[:16] != _MAGIC:
        raise ParseError("packages.rpm.form", "no SQLite database")
    connection = sqlite3.connect(":memory:")
    try:
        if not hasattr(connection, "deserialize"):
            raise ParseError("packages.rpm.sqlite", "this Python's SQLite reads no database from memory")
        # Bytes 18 and 19 say that there is a log beside it, which a copy in memory cannot have
        # (SQLite file format, 1.3.3).
        connection.deserialize(data[:18] + b"\1\1" + data[20:])
        _guard(connection)
        return _blobs(connection)
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:  # ValueError: names that are not UTF-8
        raise ParseError("packages.rpm.damaged", "an rpm database that SQLite cannot read") from error
    finally:
        connection.close()


def _guard(connection: sqlite3.Connection) -> None:
    """Reading two tables is all that it may do, and not for ever."""
    import sqlite3

    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_HEADER)
    rounds = iter(range(_ROUNDS))

    def allowed(action: int, table: str | None, *_rest: str | None) -> int:
        reads = action == sqlite3.SQLITE_SELECT or (
            action == sqlite3.SQLITE_READ and table in ("Packages", "sqlite_master")
        )
        return sqlite3.SQLITE_OK if reads else sqlite3.SQLITE_DENY

    connection.set_authorizer(allowed)
    connection.set_progress_handler(lambda: next(rounds, None) is None, _STEPS)


def _blobs(connection: sqlite3.Connection) -> list[bytes]:
    tables = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'Packages'").fetchall()
    if len(tables) != 1 or _TABLE.match(str(tables[0][0])) is None:
        raise ParseError("packages.rpm.form", "no table of packages as rpm makes it")
    blobs: list[bytes] = []
    for (blob,) in connection.execute("SELECT blob FROM Packages"):
        if not isinstance(blob, bytes):
            raise ParseError("packages.rpm.header", "a package that is no header")
        if len(blobs) >= _MAX_PACKAGES:
            raise LimitError("packages.limit", f"more than {_MAX_PACKAGES:,} packages")
        blobs.append(blob)
    return blobs


def _package(header: bytes) -> Package:
    """``EPOCH:VERSION-RELEASE.ARCH``, as ``rpm -q`` prints a package behind its name."""
    found = _tags(header)
    if not {_NAME, _VERSION, _RELEASE} <= found.keys():
        raise ParseError("packages.rpm.header", "a header without name, version or release")
    version = found[_VERSION] + b"-" + found[_RELEASE]
    if _EPOCH in found:
        version = b"%d:" % int.from_bytes(found[_EPOCH], "big") + version
    if _ARCH in found:  # keys have none
        version += b"." + found[_ARCH]
    return package("rpm", found[_NAME], version)


def _tags(header: bytes) -> dict[int, bytes]:
    """The few tags that are looked at, as bytes."""
    if len(header) < 8:
        raise ParseError("packages.rpm.header", "a header that ends early")
    entries, size = struct.unpack_from(">II", header)
    start = 8 + 16 * entries
    if entries > _MAX_INDEX or start + size != len(header):
        raise ParseError("packages.rpm.header", "a header of another size than it says")
    found: dict[int, bytes] = {}
    for at in range(8, start, 16):
        tag, kind, offset, count = struct.unpack_from(">IIII", header, at)
        if tag not in _TYPES:
            continue
        if kind != _TYPES[tag] or count != 1 or tag in found:
            raise ParseError("packages.rpm.header", "a tag of another form than it has")
        found[tag] = _value(header, kind, start + offset)
    return found


def _value(header: bytes, kind: int, at: int) -> bytes:
    end = at + 4 if kind == _INT32 else header.find(b"\0", at)
    if end < at or end > len(header):
        raise ParseError("packages.rpm.header", "a value that ends behind its header")
    return header[at:end]


READER = Reader(
    id="rpm",
    reference="https://rpm-software-management.github.io/rpm/manual/format_header.html",
    limit=64 << 20,
    concerns=_concerns,
    read=_read,
)
