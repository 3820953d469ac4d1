"""What a reader of a package database is, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from glassclave.errors import ParseError

MAX_TEXT = 255
"""Characters of a name or a version: real ones have some dozens."""


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """An installed package. ``type``: id of the database's reader; name and version as its tools print."""

    type: str
    name: str
    version: str


def _no_directory(_path: bytes) -> bytes | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One kind of database. Paths are relative to the image's root, without leading slash.

    ``id``: the type of its packages. ``reference``: public source of the format. ``limit``: bytes of one file
    that are read. ``concerns(path)``: whether a file of this path is (part of) such a database.
    ``read(path, data)``: its packages; raises `ParseError` ``packages.*``, never anything else.
    ``directory(path)``: for a directory that is a record by its name alone the path of the file that says
    more and is read instead where it is there; ``read`` then gets no data. ``None``: no such directory.
    """

    id: str
    reference: str
    limit: int
    concerns: Callable[[bytes], bool]
    read: Callable[[bytes, bytes], Iterable[Package]]
    directory: Callable[[bytes], bytes | None] = _no_directory


def package(kind: str, name: bytes | str, version: bytes | str) -> Package:
    """A package of untrusted text. `ParseError` ``packages.text``, ``packages.encoding``."""
    return Package(kind, _text(name, "a name"), _text(version, "a version"))


def _text(value: bytes | str, what: str) -> str:
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ParseError("packages.encoding", f"{what} is not UTF-8") from error
    if not value or len(value) > MAX_TEXT or not value.isprintable() or value != value.strip():
        raise ParseError("packages.text", f"{what} is empty, too long or not of visible characters")
    return value
