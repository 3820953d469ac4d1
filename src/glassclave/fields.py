"""Typed getters over untrusted data: JSON text to values, values to fields, with the path in every error."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from glassclave.digests import parse_hex
from glassclave.errors import LimitError, ParseError

_MISSING = object()
_SHOWN_NAME = 80
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A string of JSON, or the rest of the text where it has no end; possessive: nothing is tried twice."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _refuse_constant(text: str) -> NoReturn:
    raise ParseError("json.number", f"{text} is not JSON (RFC 8259 §6)")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ParseError("json.number", f"{text[:40]} is beyond any number that can be held")
    return value


def _refuse_surrogates(value: object) -> None:
    """A lone surrogate (RFC 8259 §8.2) cannot be written out again as UTF-8."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            stack += item
        elif isinstance(item, str) and any("\ud800" <= character <= "\udfff" for character in item):
            raise ParseError("json.encoding", "a string holds half a character (a lone surrogate)")


def _unique_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # A repeated key is read differently by different parsers (RFC 8259 §4): refuse it.
    result: dict[str, object] = {}
    for key, value in pairs:
        if key in result:
            raise ParseError("json.duplicate-key", "a key stands twice in one object", field=key[:80])
        result[key] = value
    return result


def _depth(data: bytes) -> int:
    """Deepest nesting of brackets outside strings, counted without recursion."""
    depth = deepest = 0
    for bracket in _STRING.sub(b"", data).translate(None, delete=_NO_BRACKETS):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def parse_json(data: bytes, *, source: str, limit: int = 4 << 20, max_depth: int = 64) -> object:
    """Value of a JSON text: UTF-8, no duplicate keys, no NaN, at most ``limit`` bytes and ``max_depth`` deep.

    Raises `LimitError` ``json.size``/``json.depth``, `ParseError` ``json.*``; ``source`` names the input.
    """
    if len(data) > limit:
        raise LimitError("json.size", f"{len(data)} bytes, at most {limit} are read", source=source)
    if _depth(data) > max_depth:
        raise LimitError("json.depth", f"nested deeper than {max_depth}", source=source)
    try:
        value: object = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique_pairs,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
        if b"\\u" in data:
            _refuse_surrogates(value)
    except UnicodeDecodeError as error:
        raise ParseError("json.encoding", "not UTF-8", offset=error.start, source=source) from error
    except json.JSONDecodeError as error:
        raise ParseError("json.syntax", error.msg, offset=error.pos, source=source) from error
    except ValueError as error:  # an integer of thousands of digits
        raise LimitError("json.number", "a number is too long", source=source) from error
    except ParseError as error:
        error.source = source
        raise
    return value


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object (or CBOR map with text keys) under a path, read field by field.

    Every getter raises `ParseError` ``field.missing`` or ``field.type`` with the whole path.
    """

    values: Mapping[str, object]
    path: str = ""
    source: str | None = None

    @classmethod
    def of(cls, value: object, *, path: str = "", source: str | None = None) -> Fields:
        """``value`` as an object, or ``field.type``."""
        if not isinstance(value, dict):
            raise ParseError("field.type", "must be an object", field=path or "(top)", source=source)
        return cls(value, path, source)

    def at(self, name: str) -> str:
        """Path of the field ``name``, which may be the input's own word: no more of it than can be shown."""
        name = name[:_SHOWN_NAME]
        return f"{self.path}.{name}" if self.path else name

    def _wrong(self, name: str, wanted: str) -> ParseError:
        return ParseError("field.type", f"must be {wanted}", field=self.at(name), source=self.source)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(name) is not None

    def value(self, name: str) -> object:
        """The field as it is; missing is an error."""
        value = self.values.get(name, _MISSING)
        if value is _MISSING:
            raise ParseError("field.missing", "is missing", field=self.at(name), source=self.source)
        return value

    def text(self, name: str, *, limit: int = 65536) -> str:
        """A string of at most ``limit`` characters."""
        value = self.value(name)
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        if len(value) > limit:
            raise LimitError(
                "field.size", f"longer than {limit} characters", field=self.at(name), source=self.source
            )
        return value

    def optional_text(self, name: str, *, limit: int = 65536) -> str | None:
        """A string, or ``None`` where the field is absent or null."""
        return self.text(name, limit=limit) if self.has(name) else None

    def integer(self, name: str, *, least: int = 0, most: int = (1 << 63) - 1) -> int:
        """An integer in ``least..most`` (booleans are not integers)."""
        value = self.value(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "an integer")
        if not least <= value <= most:
            raise ParseError(
                "field.range", f"must be {least}..{most}", field=self.at(name), source=self.source
            )
        return value

    def boolean(self, name: str) -> bool:
        """True or false."""
        value = self.value(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def child(self, name: str) -> Fields:
        """A nested object."""
        return Fields.of(self.value(name), path=self.at(name), source=self.source)

    def array(self, name: str, *, limit: int = 65536) -> list[object]:
        """An array of at most ``limit`` items."""
        value = self.value(name)
        if not isinstance(value, list):
            raise self._wrong(name, "an array")
        if len(value) > limit:
            raise LimitError(
                "field.size", f"more than {limit} items", field=self.at(name), source=self.source
            )
        return value

    def objects(self, name: str, *, limit: int = 65536) -> Iterator[Fields]:
        """The items of an array of objects."""
        for index, value in enumerate(self.array(name, limit=limit)):
            yield Fields.of(value, path=f"{self.at(name)}[{index}]", source=self.source)

    def texts(self, name: str, *, limit: int = 65536) -> tuple[str, ...]:
        """An array of strings."""
        texts: list[str] = []
        for index, value in enumerate(self.array(name, limit=limit)):
            if not isinstance(value, str):
                raise self._wrong(f"{name}[{index}]", "a string")
            texts.append(value)
        return tuple(texts)

    def text_map(self, name: str) -> dict[str, str]:
        """An object whose values are strings; absent or null is empty."""
        if not self.has(name):
            return {}
        inner = self.child(name)
        return {key: inner.text(key) for key in inner.values}

    def hex(self, name: str, *, size: int | None = None) -> bytes:
        """Bytes written in hex; ``size`` in bytes."""
        return parse_hex(self.text(name), field=self.at(name), size=size)

    def only(self, *known: str) -> None:
        """Refuse any other field: for formats that we author, an unknown field is a failure."""
        for name in self.values:
            if name not in known:
                raise ParseError("field.unknown", "is not known", field=self.at(name), source=self.source)
