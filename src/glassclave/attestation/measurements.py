"""Reference values from the JSON that ``glassclave build`` and ``nitro-cli`` write."""

from __future__ import annotations

from glassclave.errors import ParseError
from glassclave.fields import Fields, parse_json
from glassclave.results import PCR_SIZE, Measurements

_PLACES = ("Measurements", "measurements")


def parse_measurements(data: bytes, *, source: str) -> Measurements:
    """PCR0, 1, 2 and, for a signed image, 8: at the top, or under ``Measurements`` as nitro-cli has them.

    `ParseError` ``json.*``, ``field.*``, ``measurements.*``; ``source`` names the file.
    """
    top = Fields.of(parse_json(data, source=source, limit=1 << 20), source=source)
    inside = [name for name in _PLACES if top.has(name)]
    if len(inside) + top.has("PCR0") > 1:
        raise ParseError("measurements.twice", "has measurements in more than one place", source=source)
    fields = top.child(inside[0]) if inside else top
    return Measurements(
        pcr0=fields.hex("PCR0", size=PCR_SIZE),
        pcr1=fields.hex("PCR1", size=PCR_SIZE),
        pcr2=fields.hex("PCR2", size=PCR_SIZE),
        pcr8=fields.hex("PCR8", size=PCR_SIZE) if fields.has("PCR8") else None,
    )
