"""Values of JSON formats that are ours: one spelling each, so that what is read is what would be written."""

from __future__ import annotations

from glassclave.errors import ParseError
from glassclave.fields import Fields


def hex_text(fields: Fields, name: str, size: int) -> bytes:
    """``size`` bytes in lower-case hex. `ParseError` ``hex.*``, ``field.*``."""
    value = fields.hex(name, size=size)
    if fields.text(name) != value.hex():
        raise ParseError("hex.case", "must be in lower case", field=fields.at(name))
    return value


def nullable(fields: Fields, name: str) -> Fields | None:
    """A nested object or null; to leave the field out is an error."""
    return None if fields.value(name) is None else fields.child(name)


def nullable_text(fields: Fields, name: str) -> str | None:
    """A string or null; to leave the field out is an error."""
    return None if fields.value(name) is None else fields.text(name)
