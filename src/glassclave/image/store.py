"""Where the blobs of an image lie: a layout's folder, or an archive of one; names are never used as paths."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from glassclave.errors import LimitError, ParseError, UnavailableError
from glassclave.image.decode import unpack_archive
from glassclave.image.tar import read_entries
from glassclave.streams import open_source

MAX_DOCUMENT = 4 << 20
"""Bytes of an index, a manifest or a configuration: what registries take (OCI distribution-spec)."""
MAX_MEMBERS = 100_000
"""Members of an archive of blobs; each image has some dozens."""
MAX_LINKS = 8


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
        if not self.has(path):
            raise UnavailableError("image.blob.missing", f"holds no {path[:120]}", source=self.name)
        return map_file(self.root / path)


class ArchiveStore:
    """A plain tar, mapped: its members' bytes are used where they lie."""

    def __init__(self, data: memoryview, name: str) -> None:
        self.name = name
        self._data = data
        self._members: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        self._repeated: set[str] = set()
        for count, entry in enumerate(read_entries(data, source=name)):
            if count >= MAX_MEMBERS:
                raise LimitError("image.archive.members", f"more than {MAX_MEMBERS:,} members", source=name)
            path = _member_name(entry.name)
            if path in self._members or path in self._links:
                self._repeated.add(path)
            if entry.type == b"0":
                self._members[path] = (entry.offset, entry.size)
            elif entry.type in (b"1", b"2"):
                self._links[path] = _linked(path, entry.link, hard=entry.type == b"1")

    def has(self, path: str) -> bool:
        """See `Store`."""
        return path in self._members or path in self._links

    def open(self, path: str) -> memoryview:
        """See `Store`. `ParseError` ``image.archive.repeated`` for a name that two members have."""
        found = path
        for _ in range(MAX_LINKS):
            if found in self._repeated:
                # One reader takes the first, another the last.
                raise ParseError("image.archive.repeated", f"holds {found[:120]} twice", source=self.name)
            if found in self._members:
                offset, size = self._members[found]
                return self._data[offset : offset + size]
            # Old `docker save` writes a layer that it wrote before as a link to it.
            if found not in self._links:
                break
            found = self._links[found]
        raise UnavailableError("image.blob.missing", f"holds no {path[:120]}", source=self.name)


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


def open_archive(path: Path, *, folder: Path, limit: int) -> ArchiveStore:
    """An archive file as a store; one that is compressed as a whole is decoded into ``folder`` first."""
    return ArchiveStore(unpack_archive(map_file(path), str(path), folder, limit), str(path))


def map_file(path: Path) -> memoryview:
    """A regular file mapped into memory, read-only. Raises `UnavailableError` ``file.*``."""
    with open_source(path) as file:
        if file.size == 0:
            return memoryview(b"")
        try:
            return memoryview(mmap.mmap(file.fileno(), file.size, access=mmap.ACCESS_READ))
        except OSError as error:
            raise UnavailableError(
                "file.unreadable", f"cannot be mapped: {error.strerror}", source=str(path)
            ) from error
