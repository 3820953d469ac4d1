"""What the one who asks demands of a document: measurements, and how fresh it has to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from glassclave.errors import UsageError
from glassclave.results import PCR_SIZE, Measurements

IMAGE_PCRS = (0, 1, 2)
"""Registers that together pin the image. PCR0 alone would do only if its hash framed the sections."""
MIN_NONCE_SIZE = 16
MAX_NONCE_SIZE = 1024
DEFAULT_MAX_AGE = timedelta(minutes=5)
FUTURE_SKEW = timedelta(minutes=5)
"""How far a document's clock may run ahead of the verifier's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Reference values: PCR0, 1, 2 always; PCR8 and the parent's PCR3 and PCR4 (or any other) when known.

    ``unsigned_image``: the image carries no signature, so PCR8 must be zero. Raises `UsageError`
    ``attestation.expected.*``: an expectation that could match anything is no expectation.
    """

    pcrs: Mapping[int, bytes]
    unsigned_image: bool = False

    def __post_init__(self) -> None:
        missing = [f"PCR{index}" for index in IMAGE_PCRS if index not in self.pcrs]
        if missing:
            raise UsageError(
                "attestation.expected.incomplete",
                f"no expected value for {', '.join(missing)}",
                hint="give PCR0, PCR1 and PCR2: --pcr N=HEX three times, --eif FILE or --measurements FILE",
            )
        for index, value in self.pcrs.items():
            _check_value(index, value)
        if self.unsigned_image and 8 in self.pcrs:
            raise UsageError("attestation.expected.contradiction", "PCR8 of an unsigned image has no value")

    @classmethod
    def of(cls, measurements: Measurements, *, also: Mapping[int, bytes] | None = None) -> Expected:
        """What an image determines, PCR8 included (zero for an unsigned image); ``also``: PCR3, PCR4 …"""
        measured = measurements.by_index()
        for index, value in (also or {}).items():
            if measured.get(index, value) != value:  # PCR8 of an unsigned image is refused below
                raise UsageError(
                    "attestation.expected.contradiction", f"PCR{index} differs from what the image has"
                )
        return cls(pcrs={**measured, **(also or {})}, unsigned_image=measurements.pcr8 is None)


def _check_value(index: int, value: bytes) -> None:
    if not 0 <= index <= 31:
        raise UsageError("attestation.expected.index", f"there is no PCR{index}, only PCR0 to PCR31")
    if len(value) != PCR_SIZE:
        raise UsageError(
            "attestation.expected.size", f"PCR{index} has {len(value)} bytes, {PCR_SIZE} are needed"
        )
    if value == bytes(PCR_SIZE):
        raise UsageError(
            "attestation.expected.zero",
            f"PCR{index} of zeros is what debug enclaves and unsigned images have: it identifies nothing",
            hint="expect the PCRs that `glassclave build` or `describe` printed",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The document must answer our ``nonce`` (16..1024 bytes), and be at most ``max_age`` old at ``at``."""

    nonce: bytes = field(repr=False)
    at: datetime
    max_age: timedelta = DEFAULT_MAX_AGE

    def __post_init__(self) -> None:
        _check_aware(self.at)
        if not MIN_NONCE_SIZE <= len(self.nonce) <= MAX_NONCE_SIZE:
            raise UsageError(
                "attestation.nonce.size",
                f"the nonce has {len(self.nonce)} bytes, {MIN_NONCE_SIZE}..{MAX_NONCE_SIZE} are needed",
                hint="ask the enclave with a fresh one: openssl rand -hex 32",
            )
        if self.max_age <= timedelta(0):
            raise UsageError("attestation.max-age", "the greatest age must be more than 0 seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Historical:
    """The document is judged at its own time, and at ``at`` too where one is given. Proves no freshness."""

    at: datetime | None = None

    def __post_init__(self) -> None:
        if self.at is not None:
            _check_aware(self.at)


def _check_aware(at: datetime) -> None:
    if at.utcoffset() is None:
        raise UsageError("attestation.time.naive", "a time without a time zone cannot be compared")
    try:
        at.astimezone(UTC)
    except OverflowError as error:
        raise UsageError("attestation.time.range", "the time is outside of the years 1 to 9999") from error
