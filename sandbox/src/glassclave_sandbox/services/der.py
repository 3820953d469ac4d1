"""The little DER (X.690 §10) that a time-stamp authority speaks: whole values in, whole values out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

INTEGER, BIT_STRING, OCTET_STRING, NULL, OBJECT_IDENTIFIER = 0x02, 0x03, 0x04, 0x05, 0x06
UTF8_STRING, GENERALIZED_TIME, SEQUENCE, SET, BOOLEAN = 0x0C, 0x18, 0x30, 0x31, 0x01
LONGEST_LENGTH = 4


@dataclass(frozen=True, slots=True)
class Value:
    """One value: its tag byte, its content, and both as they were encoded."""

    tag: int
    content: bytes
    encoded: bytes


def encode(tag: int, *contents: bytes) -> bytes:
    """A value of ``tag`` whose content is the given bytes, one after another."""
    content = b"".join(contents)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def sequence(*values: bytes) -> bytes:
    """SEQUENCE of values that are encoded already."""
    return encode(SEQUENCE, *values)


def set_of(values: Iterable[bytes], *, tag: int = SET) -> bytes:
    """SET OF, ordered by encoding as DER wants it (X.690 §11.6)."""
    return encode(tag, *sorted(values))


def integer(number: int) -> bytes:
    """INTEGER, not negative."""
    return encode(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def octets(content: bytes) -> bytes:
    """OCTET STRING."""
    return encode(OCTET_STRING, content)


def utf8(text: str) -> bytes:
    """UTF8String."""
    return encode(UTF8_STRING, text.encode())


def null() -> bytes:
    """NULL."""
    return encode(NULL)


def explicit(number: int, *values: bytes) -> bytes:
    """The constructed context tag ``[number]`` around values."""
    return encode(0xA0 | number, *values)


def object_identifier(dotted: str) -> bytes:
    """OBJECT IDENTIFIER from its dotted form."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return encode(OBJECT_IDENTIFIER, *(_base128(arc) for arc in (40 * first + second, *rest)))


def _base128(number: int) -> bytes:
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(0x80 | number & 0x7F)
    return bytes(reversed(groups))


def generalized_time(at: datetime) -> bytes:
    """GeneralizedTime in whole seconds, UTC (RFC 3161 §2.4.2)."""
    return encode(GENERALIZED_TIME, at.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode())


def read(data: bytes) -> list[Value]:
    """The values that follow each other in ``data``; ``ValueError`` where they are not DER."""
    values: list[Value] = []
    while data:
        value = _first(data)
        values.append(value)
        data = data[len(value.encoded) :]
    return values


def read_one(data: bytes, tag: int) -> Value:
    """The one value of ``tag`` that ``data`` is; ``ValueError`` otherwise."""
    values = read(data)
    if len(values) != 1 or values[0].tag != tag:
        raise ValueError(f"not one DER value with tag {tag:#04x}")
    return values[0]


def _first(data: bytes) -> Value:
    if len(data) < 2:
        raise ValueError("DER ends within a header")
    length, start = data[1], 2
    if length & 0x80:
        count = length & 0x7F
        start = 2 + count
        length = int.from_bytes(data[2:start], "big")
        if not 1 <= count <= LONGEST_LENGTH or length < 0x80 or data[2] == 0:
            raise ValueError("a DER length in a form that DER does not have")
    if len(data) < start + length:
        raise ValueError("DER ends within a value")
    return Value(data[0], data[start : start + length], data[: start + length])
