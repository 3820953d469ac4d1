"""The entries of a plain newc cpio archive: what a ramdisk holds, without unpacking it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from glassclave.errors import LimitError, ParseError
from glassclave.ramdisk.cpio import TRAILER_NAME
from glassclave.streams import ByteSource, read_chunks

MAX_NAME = 65536
MAX_ENTRIES = 4_000_000
_HEADER_SIZE = 110
_MAGIC = b"070701"


@dataclass(frozen=True, slots=True)
class ListedEntry:
    """An entry; ``sha256`` is that of its data (of a hard link's last name, which carries them)."""

    name: bytes
    inode: int
    mode: int
    uid: int
    gid: int
    links: int
    mtime: int
    device: tuple[int, int]
    size: int
    sha256: bytes


def list_archive(source: ByteSource, offset: int, size: int, *, name: str) -> Iterator[ListedEntry]:
    """The entries before the trailer, in order, in constant memory.

    Raises `ParseError` ``ramdisk.cpio.*`` with the offset in ``source``; only what `write_archive` writes is
    read: one archive, not compressed, with one trailer.
    """
    at, end = offset, offset + size
    for _ in range(MAX_ENTRIES):
        header = _read(source, at, _HEADER_SIZE, end, name)
        if header[:6] != _MAGIC:
            raise ParseError("ramdisk.cpio.magic", "is no plain newc cpio archive", offset=at, source=name)
        fields = _numbers(header, at, name)
        inode, mode, uid, gid, links, mtime, length = fields[:7]
        if not 0 < fields[11] <= MAX_NAME:
            raise ParseError("ramdisk.cpio.name", "a name of this length is none", offset=at, source=name)
        entry_name = _read(source, at + _HEADER_SIZE, fields[11], end, name)[:-1]
        data = at + _aligned(_HEADER_SIZE + fields[11])
        if entry_name == TRAILER_NAME:
            return
        if data + length > end:
            raise ParseError("ramdisk.cpio.truncated", "a file's data end early", offset=at, source=name)
        digest = hashlib.sha256()
        for chunk in read_chunks(source, data, length):
            digest.update(chunk)
        yield ListedEntry(
            name=entry_name,
            inode=inode,
            mode=mode,
            uid=uid,
            gid=gid,
            links=links,
            mtime=mtime,
            device=(fields[9], fields[10]),
            size=length,
            sha256=digest.digest(),
        )
        at = data + _aligned(length)
    raise LimitError("ramdisk.cpio.entries", f"more than {MAX_ENTRIES:,} entries", source=name)


def _read(source: ByteSource, at: int, length: int, end: int, name: str) -> bytes:
    if at + length > end:
        raise ParseError("ramdisk.cpio.truncated", "ends without a trailer", offset=at, source=name)
    return source.read_at(at, length)


def _numbers(header: bytes, at: int, name: str) -> list[int]:
    digits = header[6:]
    try:
        # int() alone would take signs, blanks and underscores.
        bytes.fromhex(digits.decode("ascii"))
        return [int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)]
    except ValueError as error:
        raise ParseError("ramdisk.cpio.number", "a field is no hex number", offset=at, source=name) from error


def _aligned(length: int) -> int:
    return -(-length // 4) * 4
