"""Reference values from the JSON that ``glassclave build`` and ``nitro-cli`` write."""

from __future__ import annotations

from glassclave.errors import ParseError
from glassclave.fields import Fields, parse_json
from glassclave.results import PCR_SIZE, Measurements

_PLACES = ("Measurements", "measurements", "measured")
_MEASURED_FIELDS = ("hashAlgorithm", "pcrs", "sections", "eif", "architecture", "eifVersion", "flags")
_HASH_ALGORITHM = "SHA384"


def parse_measurements(data: bytes, *, source: str) -> Measurements:
    """PCR0, 1, 2 and, for a signed image, 8.

    Taken from a build's measurements file (``measured.pcrs``, ``docs/spec/measurement-v1.md``: strictly),
    from ``Measurements`` as nitro-cli prints them, or from the top. `ParseError` ``json.*``, ``field.*``,
    ``measurements.*``; ``source`` names the file.
    """
    top = Fields.of(parse_json(data, source=source, limit=1 << 20), source=source)
    inside = [name for name in _PLACES if top.has(name)]
    if len(inside) + top.has("PCR0") > 1:
        raise ParseError("measurements.twice", "has measurements in more than one place", source=source)
    fields = _registers(top, inside[0]) if inside else top
    return Measurements(
        pcr0=fields.hex("PCR0", size=PCR_SIZE),
        pcr1=fields.hex("PCR1", size=PCR_SIZE),
        pcr2=fields.hex("PCR2", size=PCR_SIZE),
        pcr8=fields.hex("PCR8", size=PCR_SIZE) if fields.has("PCR8") else None,
    )


def _registers(top: Fields, place: str) -> Fields:
    """In a measurements file of ours an unknown field is a failure, as it is in the signed statement."""
    if place != "measured":
        return top.child(place)
    top.only("measured", "claimed")
    top.child("claimed")
    measured = top.child("measured")
    measured.only(*_MEASURED_FIELDS)
    if measured.text("hashAlgorithm") != _HASH_ALGORITHM:
        raise ParseError(
            "measurements.hash-algorithm",
            f"must be {_HASH_ALGORITHM}",
            field="measured.hashAlgorithm",
            source=top.source,
        )
    pcrs = measured.child("pcrs")
    pcrs.only("PCR0", "PCR1", "PCR2", "PCR8")
    return pcrs
