"""Strict CBOR (RFC 8949): the one reader and writer of attestation documents and EIF signatures.

The reader knows the subset that those two formats use and refuses everything else: shortest form, definite
lengths, unique keys, nothing after the item. Why: ``docs/decisions/0001-cbor-and-cose-are-vocabulary.md``.

====================  =========================================
CBOR                  Python
====================  =========================================
unsigned, negative    ``int`` (64 bits)
byte string           ``bytes``
text string           ``str`` (valid UTF-8)
array                 ``list``
map                   ``dict``; keys are ``int``, ``bytes``, ``str``
null                  ``None``
false, true           ``bool``, only where ``booleans`` is set
tag                   `Tag`, only those numbers in ``tags``
====================  =========================================
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from glassclave.errors import LimitError, ParseError, UsageError

_UINT, _NEGINT, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_FALSE, _TRUE, _NULL = 0xF4, 0xF5, 0xF6
_INDEFINITE_MAP, _BREAK = b"\xbf", b"\xff"
_ENCODE_DEPTH = 64
_KEYS = (int, bytes, str)


@dataclass(frozen=True, slots=True)
class Tag:
    """A tagged item (RFC 8949 §3.4)."""

    number: int
    value: object


def decode(
    data: bytes,
    *,
    max_depth: int = 8,
    max_items: int = 65536,
    tags: Collection[int] = (),
    booleans: bool = False,
    indefinite_outer_map: bool = False,
) -> object:
    """The one item that ``data`` holds, from the first byte to the last.

    ``max_depth``: arrays, maps and tags inside each other; ``max_items``: items in all, keys included.
    ``indefinite_outer_map``: the outermost item may be a map of indefinite length, as Nitro hypervisors
    write it since 2025; nothing inside it may be. Raises `ParseError` or `LimitError` ``cbor.*`` with offset.
    """
    reader = _Reader(data, max_depth=max_depth, max_items=max_items, tags=tags, booleans=booleans)
    if indefinite_outer_map and data[:1] == _INDEFINITE_MAP:
        value: object = reader.indefinite_map()
    else:
        value = reader.item(0)
    if reader.offset != len(data):
        raise ParseError(
            "cbor.trailing", f"{len(data) - reader.offset} bytes follow the item", offset=reader.offset
        )
    return value


class _Reader:
    """Walks the bytes once. Recursion is bounded by ``max_depth``, allocation by the bytes that are there."""

    def __init__(
        self, data: bytes, *, max_depth: int, max_items: int, tags: Collection[int], booleans: bool
    ) -> None:
        self.offset = 0
        self._data = data
        self._max_depth = max_depth
        self._items_left = max_items
        self._tags = tags
        self._booleans = booleans

    def item(self, depth: int) -> object:
        start = self.offset
        major, argument = self._head()
        if major == _UINT:
            return argument
        if major == _NEGINT:
            return -1 - argument
        if major == _BYTES:
            return self._take(argument, start)
        if major == _TEXT:
            return self._text(argument, start)
        if major == _SIMPLE:
            return self._simple(argument, start)
        if depth >= self._max_depth:
            raise LimitError("cbor.depth", f"nested deeper than {self._max_depth}", offset=start)
        if major == _ARRAY:
            self._room_for(argument, start)
            return [self.item(depth + 1) for _ in range(argument)]
        if major == _MAP:
            self._room_for(argument * 2, start)
            result: dict[int | bytes | str, object] = {}
            for _ in range(argument):
                self._pair(result, depth)
            return result
        if argument not in self._tags:
            raise ParseError("cbor.tag", f"tag {argument} is not expected here", offset=start)
        return Tag(argument, self.item(depth + 1))

    def indefinite_map(self) -> dict[int | bytes | str, object]:
        """The outermost map, pairs until the break byte (RFC 8949 §3.2.2)."""
        self._items_left -= 1
        self._check_room(self.offset)
        self.offset += 1
        result: dict[int | bytes | str, object] = {}
        while self._data[self.offset : self.offset + 1] != _BREAK:
            self._pair(result, 0)
        self.offset += 1
        return result

    def _pair(self, result: dict[int | bytes | str, object], depth: int) -> None:
        start = self.offset
        key = self.item(depth + 1)
        # bool is an int in Python: False would silently be the key 0.
        if isinstance(key, bool) or not isinstance(key, _KEYS):
            raise ParseError("cbor.key", "a map key is neither a number nor a string", offset=start)
        if key in result:
            raise ParseError("cbor.duplicate-key", "a key stands twice in one map", offset=start)
        result[key] = self.item(depth + 1)

    def _head(self) -> tuple[int, int]:
        """Major type and argument of the next item, refused unless written in its shortest form."""
        start = self.offset
        self._items_left -= 1
        if self._items_left < 0 or start >= len(self._data):
            self._check_room(start)
        initial = self._data[start]
        self.offset = start + 1
        major, info = initial >> 5, initial & 0x1F
        if info < 24:
            return major, info
        if info > 27:
            reason = "indefinite length is not allowed" if info == 31 else "is not well-formed CBOR"
            raise ParseError("cbor.indefinite" if info == 31 else "cbor.syntax", reason, offset=start)
        if major == _SIMPLE:  # floats, and simple values that need a second byte
            raise ParseError("cbor.type", "floats and simple values are not allowed", offset=start)
        size = 1 << (info - 24)
        argument = int.from_bytes(self._take(size, start), "big")
        if argument < (24 if size == 1 else 1 << (size * 4)):
            raise ParseError("cbor.shortest", "a number is not in its shortest form", offset=start)
        return major, argument

    def _check_room(self, start: int) -> None:
        """One more item may begin at ``start``."""
        if self._items_left < 0:
            raise LimitError("cbor.items", "too many items", offset=start)
        if start >= len(self._data):
            raise ParseError("cbor.truncated", "the input ends inside an item", offset=start)

    def _take(self, size: int, start: int) -> bytes:
        if size > len(self._data) - self.offset:
            raise ParseError("cbor.truncated", "an item is longer than the input", offset=start)
        part = self._data[self.offset : self.offset + size]
        self.offset += size
        return part

    def _text(self, size: int, start: int) -> str:
        try:
            return self._take(size, start).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ParseError("cbor.text", "a text string is not UTF-8", offset=start) from error

    def _simple(self, value: int, start: int) -> bool | None:
        initial = 0xE0 | value
        if initial == _NULL:
            return None
        if self._booleans and initial in (_FALSE, _TRUE):
            return initial == _TRUE
        raise ParseError("cbor.type", f"simple value {value} is not allowed", offset=start)

    def _room_for(self, count: int, start: int) -> None:
        """Every item takes a byte: a larger count is a lie, found before anything is allocated."""
        if count > len(self._data) - self.offset:
            raise ParseError("cbor.truncated", "announces more items than the input has bytes", offset=start)
        if count > self._items_left:
            raise LimitError("cbor.items", "too many items", offset=start)


def encode(value: object) -> bytes:
    """``value`` in shortest form with definite lengths; map entries keep the order of the ``dict``.

    Takes what `decode` gives (tuples count as arrays); `UsageError` ``cbor.value`` for anything else.
    """
    out = bytearray()
    _write(out, value, 0)
    return bytes(out)


def _write_head(out: bytearray, major: int, argument: int) -> None:
    if argument < 24:
        out.append(major << 5 | argument)
        return
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << (size * 8):
            out.append(major << 5 | info)
            out += argument.to_bytes(size, "big")
            return
    raise UsageError("cbor.value", "a number has more than 64 bits")


def _write(out: bytearray, value: object, depth: int) -> None:
    if depth > _ENCODE_DEPTH:
        raise UsageError("cbor.value", f"nested deeper than {_ENCODE_DEPTH}")
    if value is None:
        out.append(_NULL)
    elif isinstance(value, bool):
        out.append(_TRUE if value else _FALSE)
    elif isinstance(value, int):
        _write_head(out, _UINT if value >= 0 else _NEGINT, value if value >= 0 else -1 - value)
    elif isinstance(value, bytes):
        _write_head(out, _BYTES, len(value))
        out += value
    elif isinstance(value, str):
        _write_text(out, value)
    elif isinstance(value, list | tuple):
        _write_head(out, _ARRAY, len(value))
        for member in value:
            _write(out, member, depth + 1)
    elif isinstance(value, dict):
        _write_map(out, value, depth)
    elif isinstance(value, Tag):
        _write_head(out, _TAG, value.number)
        _write(out, value.value, depth + 1)
    else:
        raise UsageError("cbor.value", f"{type(value).__name__} has no place in CBOR here")


def _write_text(out: bytearray, value: str) -> None:
    try:
        raw = value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("cbor.value", "a text holds a lone surrogate") from error
    _write_head(out, _TEXT, len(raw))
    out += raw


def _write_map(out: bytearray, value: dict[object, object], depth: int) -> None:
    _write_head(out, _MAP, len(value))
    for key, member in value.items():
        if isinstance(key, bool) or not isinstance(key, _KEYS):
            raise UsageError("cbor.value", "a map key must be a number or a string")
        _write(out, key, depth + 1)
        _write(out, member, depth + 1)
