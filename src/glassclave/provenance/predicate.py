"""What a build says of an image: measurements file and signed predicate (``docs/spec/measurement-v1.md``).

Two parts that must not be mixed up: ``measured`` is what anyone recomputes from the image file, ``claimed``
is what only the builder knows. Both are read strictly: a field that is unknown, missing or of another form
is an error, so that no reader passes over what another one acts on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from glassclave.errors import ParseError
from glassclave.fields import Fields, parse_json
from glassclave.provenance.claimed import Claimed, claimed_record, parse_claimed
from glassclave.provenance.strict import hex_text
from glassclave.results import PCR_SIZE, Measurements

PREDICATE_TYPE = "https://glassclave.github.io/spec/nitro-measurement/v1"
HASH_ALGORITHM = "SHA384"
SECTION_TYPES = ("kernel", "cmdline", "ramdisk", "signature", "metadata")
ARCHITECTURES = ("x86_64", "aarch64")
MAX_SIZE = 1 << 20
"""Bytes of a predicate or measurements file that are read."""
MAX_SECTIONS = 32

_SHA256_SIZE = 32
_PCR_NAMES = ("PCR0", "PCR1", "PCR2", "PCR8")


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionDigest:
    """One section of the image, in file order: size in bytes and SHA-384 (48 bytes) of its data."""

    type: str
    size: int
    sha384: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """The whole image file: size in bytes, 32 bytes of SHA-256, 48 bytes of SHA-384."""

    size: int
    sha256: bytes
    sha384: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What anyone can recompute from the image file. ``eif_version`` and ``flags`` are its header's."""

    measurements: Measurements
    sections: tuple[SectionDigest, ...]
    eif: FileDigest
    architecture: str
    eif_version: int
    flags: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementPredicate:
    """The whole predicate."""

    measured: Measured
    claimed: Claimed


def predicate_record(predicate: MeasurementPredicate) -> dict[str, object]:
    """The predicate as a JSON value with its keys in the order of the specification."""
    return {
        "measured": _measured_record(predicate.measured),
        "claimed": claimed_record(predicate.claimed),
    }


def predicate_json(predicate: MeasurementPredicate) -> bytes:
    """The measurements file: ASCII, two spaces of indentation, a newline at the end."""
    text = json.dumps(predicate_record(predicate), indent=2, ensure_ascii=True)
    return text.replace("\x7f", "\\u007f").encode("ascii") + b"\n"  # DEL is safe on no terminal


def parse_predicate(data: bytes | Mapping[str, object], *, source: str) -> MeasurementPredicate:
    """Strictly read from JSON bytes or from a value that was JSON; ``source`` names it.

    Raises `ParseError` or `LimitError` ``json.*``, ``field.*``, ``hex.*``, ``measurements.*``, ``claims.*``.
    """
    value = parse_json(data, source=source, limit=MAX_SIZE) if isinstance(data, bytes) else dict(data)
    fields = Fields.of(value, source=source)
    fields.only("measured", "claimed")
    try:
        return MeasurementPredicate(
            measured=_parse_measured(fields.child("measured")), claimed=parse_claimed(fields.child("claimed"))
        )
    except ParseError as error:
        error.source = source
        raise


def _measured_record(measured: Measured) -> dict[str, object]:
    return {
        "hashAlgorithm": HASH_ALGORITHM,
        "pcrs": {f"PCR{index}": value.hex() for index, value in measured.measurements.by_index().items()},
        "sections": [
            {"type": section.type, "size": section.size, "sha384": section.sha384.hex()}
            for section in measured.sections
        ],
        "eif": {
            "size": measured.eif.size,
            "sha256": measured.eif.sha256.hex(),
            "sha384": measured.eif.sha384.hex(),
        },
        "architecture": measured.architecture,
        "eifVersion": measured.eif_version,
        "flags": measured.flags,
    }


def _parse_measured(fields: Fields) -> Measured:
    fields.only("hashAlgorithm", "pcrs", "sections", "eif", "architecture", "eifVersion", "flags")
    _one_of(fields, "hashAlgorithm", (HASH_ALGORITHM,))
    measurements = _parse_pcrs(fields.child("pcrs"))
    sections = tuple(_parse_section(one) for one in fields.objects("sections", limit=MAX_SECTIONS))
    signed = any(section.type == "signature" for section in sections)
    if signed != (measurements.pcr8 is not None):
        raise ParseError(
            "measurements.pcr8",
            "PCR8 and a signature section go together: one of them is missing",
            field=fields.at("pcrs.PCR8"),
        )
    return Measured(
        measurements=measurements,
        sections=sections,
        eif=_parse_file(fields.child("eif")),
        architecture=_one_of(fields, "architecture", ARCHITECTURES),
        eif_version=fields.integer("eifVersion", most=0xFFFF),
        flags=fields.integer("flags", most=0xFFFF),
    )


def _parse_pcrs(fields: Fields) -> Measurements:
    fields.only(*_PCR_NAMES)
    return Measurements(
        pcr0=hex_text(fields, "PCR0", PCR_SIZE),
        pcr1=hex_text(fields, "PCR1", PCR_SIZE),
        pcr2=hex_text(fields, "PCR2", PCR_SIZE),
        pcr8=hex_text(fields, "PCR8", PCR_SIZE) if "PCR8" in fields.values else None,
    )


def _parse_section(fields: Fields) -> SectionDigest:
    fields.only("type", "size", "sha384")
    return SectionDigest(
        type=_one_of(fields, "type", SECTION_TYPES),
        size=fields.integer("size"),
        sha384=hex_text(fields, "sha384", PCR_SIZE),
    )


def _parse_file(fields: Fields) -> FileDigest:
    fields.only("size", "sha256", "sha384")
    return FileDigest(
        size=fields.integer("size"),
        sha256=hex_text(fields, "sha256", _SHA256_SIZE),
        sha384=hex_text(fields, "sha384", PCR_SIZE),
    )


def _one_of(fields: Fields, name: str, allowed: tuple[str, ...]) -> str:
    value = fields.text(name)
    if value not in allowed:
        raise ParseError("field.value", f"must be {' or '.join(allowed)}", field=fields.at(name))
    return value
