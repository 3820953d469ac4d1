"""A strict reader of tar archives: headers only, names as bytes, nothing extracted.

Sources: POSIX.1-2017 ``pax`` ("ustar Interchange Format", "pax Header Block"), GNU tar manual ("Basic Tar
Format"). Reads ustar, v7, GNU (long names, base-256 numbers) and pax; refuses sparse files and whatever two
readers could read in two ways.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from glassclave.errors import LimitError, ParseError

BLOCK = 512
MAX_EXTENSION = 1 << 20
"""Bytes of a pax header or a GNU long name: real ones have a few hundred."""

_ZEROS = bytes(BLOCK)
_XATTR = b"SCHILY.xattr."
_CHECKSUM_BLANK = sum(b" " * 8)
_INTERPRETED = frozenset({b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"})
_MAX_ID = 0xFFFFFFFF


@dataclass(slots=True)
class TarEntry:
    """One member. ``type`` is the type flag (``0`` file, ``1`` hard link, ``2`` symlink, ``3`` ``4`` devices,
    ``5`` directory, ``6`` FIFO); ``offset`` and ``size`` say where its data lies, in bytes."""

    name: bytes
    type: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    offset: int
    link: bytes
    device: tuple[int, int]
    attributes: tuple[str, ...]


def read_entries(data: memoryview, *, source: str) -> Iterator[TarEntry]:
    """The members in order. Raises `ParseError` ``image.tar.*`` with the offset of the header."""
    at = 0
    end = len(data)
    pax: dict[bytes, bytes] = {}
    long_name = long_link = None
    while True:
        # umoci leaves out the end mark and the padding before it; the layer's digest has shown already that
        # nothing is missing.
        header = _ZEROS if at >= end else bytes(data[at : at + BLOCK])
        if len(header) < BLOCK:
            raise ParseError("image.tar.truncated", "ends inside a header", offset=at, source=source)
        if header == _ZEROS:
            _check_end(data, at, source, open_extension=bool(pax or long_name or long_link))
            return
        entry = _Header(header, at, source)
        flag = entry.flag
        if flag in b"xgLK":
            body = entry.extension(data)
            repeated = {b"x": pax, b"L": long_name, b"K": long_link}.get(flag)
            if flag == b"g":
                entry.check_global(_parse_pax(body, at, source))
            elif repeated:
                raise entry.error("image.tar.extension", "two extensions of one kind for one member")
            elif flag == b"x":
                pax = _parse_pax(body, at, source)
            elif not body.partition(b"\0")[0]:
                raise entry.error("image.tar.extension", "an empty long name")
            elif flag == b"L":
                long_name = body.partition(b"\0")[0]
            else:
                long_link = body.partition(b"\0")[0]
            at = entry.next_header(entry.size)
            continue
        if (long_name and b"path" in pax) or (long_link and b"linkpath" in pax):
            raise entry.error("image.tar.extension", "both a GNU and a pax name for one member")
        member = entry.member(pax, long_name, long_link)
        if member.offset + member.size > end:
            raise ParseError("image.tar.truncated", "a member's data end early", offset=at, source=source)
        yield member
        at = entry.next_header(member.size)
        pax, long_name, long_link = {}, None, None


def _check_end(data: memoryview, at: int, source: str, *, open_extension: bool) -> None:
    """At the end stands nothing, or zero blocks; behind two of them anything may follow."""
    if open_extension:
        raise ParseError("image.tar.extension", "an extension without a member", offset=at, source=source)
    second = data[at + BLOCK : at + 2 * BLOCK]
    if len(second) == BLOCK and second != _ZEROS:
        # One reader would end here, another go on.
        raise ParseError("image.tar.end", "a single zero block among members", offset=at, source=source)


@lru_cache(maxsize=8192)  # modes, owners and times repeat
def _number(field: bytes) -> int | None:
    """Octal digits, or GNU's base-256 form for what does not fit them; ``None`` for anything else."""
    if field[0] & 0x80:
        if field[0] not in (0x80, 0xFF):
            return None
        value = int.from_bytes(field[1:], "big")
        return value - (1 << (8 * (len(field) - 1))) if field[0] == 0xFF else value
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits:
        # Digits behind a NUL: one reader stops there, another does not.
        return None if field.strip(b"\0 ") else 0
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        return None
    return int(digits, 8)


def _sum(block: bytes) -> int:
    """All bytes of a header added up: the low half of Adler-32 is that, plus one, modulo 65521 (RFC 1950 §8),
    which no half of a header reaches. Ten times as fast as ``sum``."""
    return (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2


def _usual_number(field: bytes) -> int | None:
    """What nearly all writers write for sizes and checksums, which seldom repeat: octal digits to the end,
    which a NUL marks, or a NUL and a space."""
    digits = field[:-1] if field[-1:] == b"\0" else field[:-2] if field[-2:] == b"\0 " else b""
    if not digits.isdigit():
        return None
    try:
        return int(digits, 8)
    except ValueError:  # an 8 or a 9
        return None


class _Header:
    """One 512-byte header block."""

    __slots__ = ("at", "block", "flag", "size", "source")

    def __init__(self, block: bytes, at: int, source: str) -> None:
        self.block = block
        self.at = at
        self.source = source
        if at == 0 and _number(block[148:156]) is None:
            raise self.error("image.tar.form", "is no tar archive")
        stored = self.unlike_others(148, 8)
        if stored != _sum(block) - sum(block[148:156]) + _CHECKSUM_BLANK:
            raise self.error("image.tar.checksum", "a header with a wrong checksum")
        self.flag = block[156:157]
        self.size = self.unlike_others(124, 12)

    def error(self, code: str, message: str) -> ParseError:
        return ParseError(code, message, offset=self.at, source=self.source)

    def number(self, start: int, length: int) -> int:
        """A number field of the header."""
        value = _number(self.block[start : start + length])
        if value is None:
            raise self.error("image.tar.number", "a number field that is no number")
        return value

    def unlike_others(self, start: int, length: int) -> int:
        """The same of a field that is not worth remembering."""
        value = _usual_number(self.block[start : start + length])
        return self.number(start, length) if value is None else value

    def text(self, start: int, length: int) -> bytes:
        return self.block[start : start + length].partition(b"\0")[0]

    def next_header(self, size: int) -> int:
        return self.at + BLOCK + -(-size // BLOCK) * BLOCK

    def extension(self, data: memoryview) -> bytes:
        if not 0 <= self.size <= MAX_EXTENSION:
            raise LimitError(
                "image.tar.extension", "an extension header is too large", offset=self.at, source=self.source
            )
        body = bytes(data[self.at + BLOCK : self.at + BLOCK + self.size])
        if len(body) != self.size:
            raise self.error("image.tar.truncated", "an extension header ends early")
        return body

    def check_global(self, pax: dict[bytes, bytes]) -> None:
        """Container tools ignore global headers, others obey them: refuse what makes a difference."""
        if any(key in _INTERPRETED or key.startswith((_XATTR, b"GNU.sparse.")) for key in pax):
            raise self.error("image.tar.pax-global", "a global pax header that would change members")

    def member(self, pax: dict[bytes, bytes], long_name: bytes | None, long_link: bytes | None) -> TarEntry:
        if self.flag == b"S" or (pax and any(key.startswith(b"GNU.sparse.") for key in pax)):
            raise self.error("image.tar.sparse", "a sparse file, which this tool does not read")
        name = long_name if long_name is not None else self._name()
        link = long_link if long_link is not None else self.text(157, 100)
        if pax:
            name, link = pax.get(b"path", name), pax.get(b"linkpath", link)
        flag = self._flag(name)
        if flag not in b"0123456":  # contiguous files, GNU's multi-volume and dump entries, vendors' own
            raise self.error("image.tar.type", f"a member of the unknown type {flag!r}")
        if b"\0" in name or b"\0" in link:
            raise self.error("image.tar.nul", "a NUL byte in a name")
        size, mtime = self.size, self.number(136, 12)
        uid, gid = self.number(108, 8), self.number(116, 8)
        if pax:
            size = self._pax_number(pax, b"size", size)
            uid, gid = self._pax_number(pax, b"uid", uid), self._pax_number(pax, b"gid", gid)
            mtime = self._pax_number(pax, b"mtime", mtime)
        if size < 0:
            raise self.error("image.tar.size", "a negative size")
        # Links and directories may carry a size that no data follows (as Go's reader takes them).
        if size and (flag not in b"015" or (self.flag == b"\0" and flag == b"5")):
            raise self.error("image.tar.size", "data behind a member that can have none")
        device = self._device() if flag in b"34" else (0, 0)
        if not (0 <= uid <= _MAX_ID and 0 <= gid <= _MAX_ID):
            raise self.error("image.tar.number", "an owner that is no 32-bit number")
        return TarEntry(
            name=name,
            type=flag,
            mode=self.number(100, 8) & 0o7777,
            uid=uid,
            gid=gid,
            mtime=mtime,
            size=size if flag == b"0" else 0,
            offset=self.at + BLOCK,
            link=link,
            device=device,
            attributes=_attributes(pax) if pax else (),
        )

    def _device(self) -> tuple[int, int]:
        major, minor = self.number(329, 8), self.number(337, 8)
        if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
            raise self.error("image.tar.number", "a device number that Linux does not have")
        return major, minor

    def _flag(self, name: bytes) -> bytes:
        """The type. v7 marks a directory only by the slash at the end of its name; later formats say it."""
        if self.flag == b"\0":
            return b"5" if name.endswith(b"/") else b"0"
        if self.flag == b"0" and name.endswith(b"/"):
            # A file to Go's reader, a directory to GNU's.
            raise self.error("image.tar.type", "a regular file whose name ends in a slash")
        return self.flag

    def _name(self) -> bytes:
        name = self.text(0, 100)
        if not self.block[345]:  # most have none
            return name
        if self.block[257:263] == b"ustar\0":
            if self.block[508:512] == b"tar\0":
                raise self.error("image.tar.prefix", "a header of the star format, whose prefix is shorter")
            return self.text(345, 155) + b"/" + name
        if self.block[257:265] == b"ustar  \0" and None in map(
            _number, (self.block[345:357], self.block[357:369])
        ):
            # GNU keeps two times there. Old writers in Go put a prefix, which some readers take for one.
            raise self.error("image.tar.prefix", "a prefix where GNU's format keeps times")
        return name

    def _pax_number(self, pax: dict[bytes, bytes], key: bytes, default: int) -> int:
        text = pax.get(key)
        if text is None:
            return default
        whole, point, fraction = text.partition(b".")
        digits = whole[1:] if whole[:1] == b"-" else whole
        if not digits.isdigit() or len(digits) > 20 or (point and key != b"mtime"):
            raise self.error("image.tar.number", f"the pax value {key.decode()} is no number")
        value = int(whole)
        # Whole seconds, rounded towards the past as every unpacker does.
        return value - 1 if whole[:1] == b"-" and fraction.strip(b"0") else value


def _attributes(pax: dict[bytes, bytes]) -> tuple[str, ...]:
    names = (key.removeprefix(_XATTR) for key in pax if key.startswith(_XATTR))
    return tuple(sorted(name.decode("utf-8", "backslashreplace") for name in names))


def _parse_pax(body: bytes, at: int, source: str) -> dict[bytes, bytes]:
    """Records ``LENGTH KEY=VALUE\\n``; a repeated key takes its last value (POSIX)."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(body):
        digits, space, _ = body[position : position + 12].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        record = body[position : position + length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if length < len(digits) + 4 or len(record) != length or record[-1:] != b"\n" or not equals or not key:
            raise ParseError("image.tar.pax", "a malformed pax record", offset=at, source=source)
        records[key] = value
        position += length
    # An empty value deletes a setting (POSIX, "pax Header File Format").
    return {key: value for key, value in records.items() if value or key.startswith(_XATTR)}
