"""Where the blobs of an image lie: a layout's folder, or an archive of one; names are never used as paths."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from glassclave.errors import LimitError, ParseError, UnavailableError
from glassclave.image.decode import is_plain
from glassclave.image.tar import read_entries
from glassclave.streams import CHUNK_SIZE

MAX_DOCUMENT = 16 << 20
"""Bytes of an index, a manifest or a configuration that are read."""


class Store(Protocol):
    """Named bytes: ``index.json``, ``blobs/sha256/…``, ``manifest.json``."""

    @property
    def name(self) -> str:
        """What the user called it."""
        ...

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        ...

    def open(self, path: str) -> memoryview:
        """Its bytes, mapped. `UnavailableError` ``image.blob.missing``."""
        ...


def read_document(store: Store, path: str) -> bytes:
    """A small file. `LimitError` ``image.document.size``."""
    data = store.open(path)
    if len(data) > MAX_DOCUMENT:
        raise LimitError("image.document.size", f"larger than {MAX_DOCUMENT} bytes", source=path)
    return bytes(data)


def pieces(data: memoryview) -> Iterator[memoryview]:
    """``data`` in chunks of moderate size."""
    for at in range(0, len(data), CHUNK_SIZE):
        yield data[at : at + CHUNK_SIZE]


@dataclass(frozen=True, slots=True)
class DirectoryStore:
    """A folder."""

    root: Path
    name: str

    def has(self, path: str) -> bool:
        """See `Store`."""
        return (self.root / path).is_file()

    def open(self, path: str) -> memoryview:
        """See `Store`."""
        return map_file(self.root / path)


class ArchiveStore:
    """A plain tar, mapped: its members' bytes are used where they lie."""

    def __init__(self, data: memoryview, name: str) -> None:
        self.name = name
        self._data = data
        self._members: dict[str, tuple[int, int]] = {}
        links: dict[str, str] = {}
        for entry in read_entries(data, source=name):
            path = _member_name(entry.name)
            self._members.pop(path, None)
            if entry.type == b"0":
                self._members[path] = (entry.offset, entry.size)
            elif entry.type in (b"1", b"2"):
                links[path] = _linked(path, entry.link, hard=entry.type == b"1")
        for path, target in links.items():
            # Old `docker save` writes a layer that it wrote before as a link to it.
            if path not in self._members and target in self._members:
                self._members[path] = self._members[target]

    def has(self, path: str) -> bool:
        """See `Store`."""
        return path in self._members

    def open(self, path: str) -> memoryview:
        """See `Store`."""
        place = self._members.get(path)
        if place is None:
            raise UnavailableError("image.blob.missing", f"holds no {path[:120]}", source=self.name)
        return self._data[place[0] : place[0] + place[1]]


def _member_name(name: bytes) -> str:
    return b"/".join(part for part in name.split(b"/") if part not in (b"", b".")).decode(
        "utf-8", "surrogateescape"
    )


def _linked(path: str, link: bytes, *, hard: bool) -> str:
    target = _member_name(link)
    if hard:
        return target
    parts = path.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            del parts[-1:]
        else:
            parts.append(part)
    return "/".join(parts)


def open_archive(path: Path) -> ArchiveStore:
    """An archive file as a store. A compressed one is refused in words."""
    data = map_file(path)
    if not is_plain(bytes(data[:4])):
        raise ParseError(
            "image.archive.compressed",
            "is compressed as a whole",
            source=str(path),
            hint=f"unpack it first: gzip -dk or zstd -dk {path.name}",
        )
    return ArchiveStore(data, str(path))


def map_file(path: Path) -> memoryview:
    """A regular file mapped into memory, read-only."""
    try:
        with path.open("rb") as file:
            if not path.is_file():
                raise UnavailableError("image.blob.missing", "is not a regular file", source=str(path))
            size = file.seek(0, 2)
            return (
                memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
                if size
                else memoryview(b"")
            )
    except OSError as error:
        raise UnavailableError(
            "image.blob.missing", f"cannot be read: {error.strerror}", source=str(path)
        ) from error
