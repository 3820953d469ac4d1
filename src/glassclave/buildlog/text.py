"""A log's bytes as text that is safe to keep and to show, and the bounds of what is read.

A runner writes UTF-8 with a byte order mark, colours, and whatever the commands of a build print. Kept are
printable characters, tabs and line ends; every time stays. What is taken out is counted, never silently lost.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from glassclave.errors import LimitError, ParseError

MAX_TEXT = 64 << 20
"""Bytes of a log, normalised or not."""
MAX_COMPRESSED = 16 << 20
MASK = b"***"
"""What a runner writes in place of a secret that it knows of."""

# ECMA-48: control sequences, operating system commands, and what else an escape begins. A command ends with
# its line: no line is ever swallowed, and where a command has no end nothing is read twice.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b\]|\x9d)[^\x07\n\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]?"
)
# Controls but tab and line end; the marks that change the direction or hide (Unicode UAX #9, U+200B…, and the
# tags of plane 14, which spell ASCII that nobody sees).
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_BLOCK = 1 << 20
_UNKNOWN = "\ufffd"
_GZIP_BITS = 31
_TRUNCATION = re.compile(
    rb"\[output clipped, log limit [^\]\n]{1,60} reached\]"  # BuildKit
    rb"|log (?:output )?(?:was |has been )?truncated|\[truncated\]",
    re.IGNORECASE,
)
_MAX_MARKS = 256


@dataclass(frozen=True, slots=True)
class NormalizedText:
    """UTF-8 whose lines all end in a line feed. ``removed``: characters taken out, ``replaced``: bytes that
    were no UTF-8 and stand as U+FFFD."""

    data: bytes
    removed: int
    replaced: int


def normalize_text(raw: bytes, *, source: str = "log") -> NormalizedText:
    """``raw`` without byte order mark, escape sequences and control characters. Normalised twice is the same.

    Raises `LimitError` ``log.size``.
    """
    if len(raw) > MAX_TEXT:
        raise LimitError("log.size", f"has {len(raw)} bytes, at most {MAX_TEXT} are kept", source=source)
    parts = [_normalize_block(block) for block in _blocks(raw.removeprefix(b"\xef\xbb\xbf"))]
    data = b"".join(part.data for part in parts)
    if data and not data.endswith(b"\n"):
        data += b"\n"
    if len(data) > MAX_TEXT:  # replacements are longer than what they replace
        raise LimitError("log.size", f"has {len(data)} bytes, at most {MAX_TEXT} are kept", source=source)
    return NormalizedText(data, sum(part.removed for part in parts), sum(part.replaced for part in parts))


def _blocks(raw: bytes) -> Iterator[bytes]:
    """Whole lines, some at once: characters take up to four times the memory of their bytes."""
    at = 0
    while at < len(raw):
        end = raw.find(b"\n", at + _BLOCK) + 1 or len(raw)
        yield raw[at:end]
        at = end


def _normalize_block(raw: bytes) -> NormalizedText:
    text = raw.decode("utf-8", "replace")
    replaced = text.count(_UNKNOWN) - raw.count(_UNKNOWN.encode())
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Once is enough: whatever begins a sequence is itself a control character, and none of those stays.
    clean = _CONTROL.sub("", _ESCAPE.sub("", text))
    return NormalizedText(clean.encode("utf-8"), len(text) - len(clean), replaced)


def line_count(text: bytes) -> int:
    """Lines of a normalised text."""
    return text.count(b"\n")


def truncation_marks(text: bytes) -> tuple[int, ...]:
    """Numbers (from 1) of the lines that say that something was left out of the log, the first 256."""
    found: list[int] = []
    number, at = 1, 0
    for match in _TRUNCATION.finditer(text):
        number += text.count(b"\n", at, match.start())
        at = match.start()
        if not found or found[-1] != number:
            found.append(number)
    return tuple(found[:_MAX_MARKS])


def compress(text: bytes) -> bytes:
    """As gzip (RFC 1952) without name and time. `LimitError` ``log.size`` for more than is ever read."""
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP_BITS)
    data = packer.compress(text) + packer.flush()
    if len(data) > MAX_COMPRESSED:
        raise LimitError("log.size", f"has {len(data)} bytes compressed, at most {MAX_COMPRESSED} are kept")
    return data


def decompress(data: bytes, size: int) -> bytes:
    """Exactly ``size`` bytes out of one whole gzip member, never more memory than that.

    Raises `ParseError` ``log.gzip``, `LimitError` ``log.size``.
    """
    if size > MAX_TEXT or len(data) > MAX_COMPRESSED:
        raise LimitError("log.size", f"has {size} bytes, at most {MAX_TEXT} are read", source="log")
    reader = zlib.decompressobj(_GZIP_BITS)
    try:
        text = reader.decompress(data, size + 1)
    except zlib.error as error:
        raise ParseError("log.gzip", "the log is no gzip", source="log") from error
    if len(text) != size or not reader.eof or reader.unused_data:
        raise ParseError(
            "log.gzip", f"the log does not hold the {size} bytes that its record says", source="log"
        )
    return text
