"""A strict reader of tar archives: headers only, contents stay where they are.

Reads v7, ustar, GNU (long names, base-256 numbers) and pax. Whatever two readers could understand
differently is refused, except where all container tools agree (they read layers with Go's ``archive/tar``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from glassclave.errors import LimitError, ParseError
from glassclave.image.tar_fields import (
    XATTR_PREFIX,
    FieldError,
    clean_name,
    located,
    number,
    pax_number,
    pax_records,
    pax_time,
    text,
    xattr_names,
)
from glassclave.streams import ByteSource

BLOCK = 512
MAX_EXTENSION = 1 << 20
"""Bytes of a long name or extended header, as much as Go's reader takes."""

FILE, LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = (ord(letter) for letter in "0123456")

_HEADER = struct.Struct("100s8s8s8s12s12s8sB100s8s32s32s8s8s155s12s")
_ZERO_BLOCK = bytes(BLOCK)
_REGULAR = frozenset((FILE, 0, ord("7")))
_PLAIN = frozenset((LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO))
_INTERPRETED = frozenset((b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"))
_MAX_ID = 0xFFFFFFFF


@dataclass(slots=True)
class TarEntry:
    """One entry. ``name`` is clean (`clean_name`); ``offset`` is where its data start in the archive.

    ``kind``: `FILE`, `LINK`, `SYMLINK`, `CHARACTER`, `BLOCK_DEVICE`, `DIRECTORY` or `FIFO`.
    """

    name: bytes
    kind: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: bytes
    device: tuple[int, int]
    offset: int
    attributes: tuple[str, ...]


def read_tar(source: ByteSource, *, name: str) -> Iterator[TarEntry]:
    """The entries of an archive in their order.

    Raises `ParseError` and `LimitError` ``image.tar.*`` with the offset of the header. An archive may end at
    a zero block or with its last entry; what follows a zero block belongs to no entry.
    """
    return _Reader(source, name).entries()


class _Reader:
    def __init__(self, source: ByteSource, name: str) -> None:
        self.source = source
        self.name = name
        self.position = 0
        self.pax: dict[bytes, bytes] = {}
        self.long_name: bytes | None = None
        self.long_link: bytes | None = None

    def entries(self) -> Iterator[TarEntry]:
        end = self.source.size
        while self.position < end:
            start = self.position
            if end - start < BLOCK:
                self._fail("truncated", "the archive ends inside a header", start)
            block = self.source.read_at(start, BLOCK)
            if block == _ZERO_BLOCK:
                self._check_end(start, end)
                break
            self.position = start + BLOCK
            try:
                entry = self._entry(block, start)
            except FieldError as error:
                raise located(error, offset=start, source=self.name) from error
            if entry is not None:
                yield entry
        if self.pax or self.long_name is not None or self.long_link is not None:
            self._fail("extension", "an extended header without an entry", self.position)

    def _check_end(self, start: int, end: int) -> None:
        """One zero block in the middle is damage, two end the archive."""
        if end - start >= 2 * BLOCK and self.source.read_at(start + BLOCK, BLOCK) != _ZERO_BLOCK:
            self._fail("end", "a single zero block inside the archive", start)

    def _entry(self, block: bytes, start: int) -> TarEntry | None:
        fields = _HEADER.unpack(block)
        if not _checksum_holds(block, number(fields[6])):
            raise FieldError("checksum", "a header's checksum does not hold")
        kind: int = fields[7]
        if kind in _REGULAR or kind in _PLAIN:
            return self._plain_entry(block, fields, kind, start)
        self._extension(kind, number(fields[4]), start)
        return None

    def _plain_entry(
        self, block: bytes, fields: tuple[bytes, ...], kind: int, start: int
    ) -> TarEntry:
        name, link = self._names(block, fields)
        mtime, uid, gid, size = (number(fields[index]) for index in (5, 2, 3, 4))
        attributes: tuple[str, ...] = ()
        if self.pax:
            get = self.pax.get
            # An empty value takes the record back (POSIX pax, "extended header keyword precedence").
            uid = pax_number(value) if (value := get(b"uid")) else uid
            gid = pax_number(value) if (value := get(b"gid")) else gid
            size = pax_number(value) if (value := get(b"size")) else size
            mtime = pax_time(value) if (value := get(b"mtime")) else mtime
            attributes = xattr_names(self.pax)
            self.pax = {}
        if kind == 0 and name.endswith(b"/"):  # v7 knows no directories but by this
            kind = DIRECTORY
        elif kind in _REGULAR:
            kind = FILE
        if not (0 <= uid <= _MAX_ID and 0 <= gid <= _MAX_ID):
            raise FieldError("number", "an owner that is no 32-bit number")
        if kind == FILE:
            offset = self._skip(size, start)
        else:
            offset = size = 0  # whatever the field says: no data follow (as Go reads it)
        return TarEntry(
            name=clean_name(name),
            kind=kind,
            mode=number(fields[1]) & 0o7777,
            uid=uid,
            gid=gid,
            size=size,
            mtime=mtime,
            link=link,
            device=_device(fields) if kind in (CHARACTER, BLOCK_DEVICE) else (0, 0),
            offset=offset,
            attributes=attributes,
        )

    def _names(self, block: bytes, fields: tuple[bytes, ...]) -> tuple[bytes, bytes]:
        name, link = text(fields[0]), text(fields[8])
        if fields[14][:1] != b"\0" and block[257:263] == b"ustar\0":
            # star keeps times in the last bytes of the prefix and signs the block with "tar".
            prefix = text(fields[14][:131] if block[508:512] == b"tar\0" else fields[14])
            name = prefix + b"/" + name if prefix else name
        pax_name, pax_link = self.pax.get(b"path"), self.pax.get(b"linkpath")
        if (pax_name and self.long_name is not None) or (pax_link and self.long_link is not None):
            raise FieldError("extension", "an entry with both a GNU and a pax name")
        name = pax_name or (name if self.long_name is None else self.long_name)
        link = pax_link or (link if self.long_link is None else self.long_link)
        self.long_name = self.long_link = None
        if not name:
            raise FieldError("name", "an entry without a name")
        if b"\0" in link:
            raise FieldError("name", "a link target with a NUL byte")
        return name, link

    def _skip(self, size: int, start: int) -> int:
        """Where ``size`` bytes of data start; the next header stands behind them."""
        if size < 0:
            raise FieldError("number", "a negative size")
        offset = self.position
        after = offset + size + -size % BLOCK
        if after > self.source.size:
            self._fail("truncated", f"the archive ends inside an entry of {size} bytes", start)
        self.position = after
        return offset

    def _extension(self, kind: int, size: int, start: int) -> None:
        letter = chr(kind)
        if letter == "S":
            raise FieldError("sparse", "a sparse file (GNU), which container images do not use")
        if letter not in "xgLK" or kind > 127:
            raise FieldError("type", f"an entry of type {letter!r}, which container images do not use")
        if size > MAX_EXTENSION:
            raise LimitError(
                "image.tar.extension", f"an extended header of {size} bytes", offset=start, source=self.name
            )
        data = self.source.read_at(self._skip(size, start), size)
        if letter in "LK":
            self._long(letter, text(data))
            return
        records = pax_records(data)
        if any(key.startswith(b"GNU.sparse.") for key in records):
            raise FieldError("sparse", "a sparse file (pax), which container images do not use")
        if letter == "x":
            if self.pax:
                raise FieldError("extension", "two pax headers for one entry")
            self.pax = records
        elif any(key in _INTERPRETED or key.startswith(XATTR_PREFIX) for key in records):
            # Container tools ignore it, others obey it: the two would see different trees.
            raise FieldError("pax-global", "a global pax header that would change entries")

    def _long(self, letter: str, value: bytes) -> None:
        if (self.long_name if letter == "L" else self.long_link) is not None or not value:
            raise FieldError("extension", "a GNU long name that is empty or stands twice")
        if letter == "L":
            self.long_name = value
        else:
            self.long_link = value

    def _fail(self, code: str, message: str, offset: int) -> NoReturn:
        raise ParseError(f"image.tar.{code}", message, offset=offset, source=self.name)


def _device(fields: tuple[bytes, ...]) -> tuple[int, int]:
    major, minor = number(fields[12]), number(fields[13])
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise FieldError("number", "a device number that Linux does not have")
    return major, minor


def _checksum_holds(block: bytes, wanted: int) -> bool:
    """Sum of all bytes with the checksum's own field read as spaces; very old writers summed signed bytes."""
    field = block[148:156]
    total = sum(block) - sum(field) + 256
    if total == wanted:
        return True
    high = sum(byte > 127 for byte in block) - sum(byte > 127 for byte in field)
    return total - 256 * high == wanted
