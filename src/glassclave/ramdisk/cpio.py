"""SVR4 "newc" cpio archives, as the kernel's initramfs unpacker reads them.

Source: the kernel's ``Documentation/driver-api/early-userspace/buffer-format.rst``. Eight lower-case hex
digits a field, names and data padded to four bytes, no checksum (magic 070701).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from glassclave.errors import ParseError
from glassclave.image.tree import NO_CONTENT, Content

Buffer = bytes | memoryview

ARCHIVE_BLOCK = 512
TRAILER_NAME = b"TRAILER!!!"
_HEADER = b"070701" + b"%08x" * 13
_HEADER_SIZE = 6 + 8 * 13
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


@dataclass(slots=True, kw_only=True)
class CpioEntry:
    """One header with its data. ``mode`` holds type and permission bits; ``size`` is in bytes.

    Not frozen: one is made for every file, and that takes a third of the time.
    """

    name: bytes
    mode: int
    inode: int
    links: int = 1
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    device: tuple[int, int] = (0, 0)
    content: Content = NO_CONTENT


def write_archive(entries: Iterable[CpioEntry]) -> Iterator[Buffer]:
    """The bytes of an archive, in pieces: entries, trailer, zeros up to a multiple of 512.

    Raises `ParseError` ``ramdisk.*`` where a value does not fit or a content has another length than said.
    """
    written = 0
    padding = (
        b""  # of the entry before: given out with the next header, for small pieces cost more than bytes
    )
    for entry in entries:
        if entry.name == TRAILER_NAME:
            raise ParseError("ramdisk.name", "a file of this name would end the archive", field="TRAILER!!!")
        head = padding + _header(entry)
        yield head
        length = 0
        if entry.size or entry.content is not NO_CONTENT:
            for piece in entry.content.chunks():
                length += len(piece)
                yield piece
        if length != entry.size:
            raise _other_size(entry, length)
        written += len(head) + length
        padding = _PADDING[length % 4]
    trailer = padding + _header(CpioEntry(name=TRAILER_NAME, mode=0, inode=0))
    yield trailer
    written += len(trailer)
    yield bytes(-written % ARCHIVE_BLOCK)


def _other_size(entry: CpioEntry, length: int) -> ParseError:
    return ParseError(
        "ramdisk.content.size",
        f"{entry.size} bytes were announced, {length} came",
        field=entry.name[:120].decode("utf-8", "backslashreplace"),
    )


def _header(entry: CpioEntry) -> bytes:
    fields = (
        entry.inode,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.links,
        entry.mtime,
        entry.size,
        0,  # devmajor: constant, so that the host's file systems leave no trace
        0,  # devminor
        entry.device[0],
        entry.device[1],
        len(entry.name) + 1,
        0,  # check
    )
    head = _HEADER % fields
    if len(head) != _HEADER_SIZE or b"-" in head:  # more than eight digits, or a sign
        raise ParseError(
            "ramdisk.field.range",
            "a number does not fit 32 bits",
            field=entry.name[:120].decode("utf-8", "backslashreplace"),
        )
    head += entry.name + b"\0"
    return head + _PADDING[len(head) % 4]
