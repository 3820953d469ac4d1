"""Records that cross rooms: measurements, checks, findings.

Words follow RATS (RFC 9334) and AWS: *measurements* are PCR values, a *check* is one named step of an
appraisal with its outcome, a *finding* is something worth saying that decides nothing by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from glassclave.errors import ParseError

PCR_SIZE = 48
PCR_COVERS = {0: "image", 1: "kernel, init", 2: "application", 8: "signing certificate"}
"""What each register that an image decides is the fingerprint of."""
"""Bytes in a PCR value: SHA-384 is the only algorithm that Nitro hardware uses."""

PCR2_OF_NOTHING = bytes.fromhex(
    "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a"
)
"""PCR2 of an image without an application ramdisk: H(48 zero bytes + H of nothing). Identifies nothing."""


class Status(StrEnum):
    """Outcome of a check. ``NOT_CHECKED`` never counts as passed (promise 3 of the design)."""

    PASS = "pass"  # noqa: S105 - an outcome, not a secret
    FAIL = "fail"
    NOT_CHECKED = "not-checked"


class Severity(StrEnum):
    """How much a finding matters. ``ERROR`` findings make `verify` refuse the input."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One step of an appraisal.

    ``step``: the group that a reader sees (``identity``); ``code``: stable reason code, the failing one
    when ``status`` is ``FAIL`` (``identity.repository.mismatch``).
    """

    step: str
    code: str
    status: Status
    message: str
    expected: str | None = None
    actual: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a reader should know. ``where`` is an offset, a section or a field path, as text."""

    code: str
    severity: Severity
    message: str
    where: str | None = None


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue of a repository, and its address."""

    number: int
    url: str


@dataclass(frozen=True, slots=True)
class FileDifference:
    """A path of the enclave (escaped) and what is different about it in two images, in words."""

    path: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """PCR values that an image file determines, 48 bytes each.

    ``pcr8`` is ``None`` for an unsigned image; hardware then reports 48 zero bytes.
    """

    pcr0: bytes
    pcr1: bytes
    pcr2: bytes
    pcr8: bytes | None = None

    def __post_init__(self) -> None:
        for index, value in self.by_index().items():
            if len(value) != PCR_SIZE:
                raise ParseError(
                    "measurements.pcr.size",
                    f"PCR{index} has {len(value)} bytes, a SHA-384 PCR has {PCR_SIZE}",
                    field=f"PCR{index}",
                )

    @property
    def of_image(self) -> tuple[bytes, bytes, bytes]:
        """PCR0, PCR1 and PCR2: what can be built again. PCR8 is of a signature's certificate."""
        return self.pcr0, self.pcr1, self.pcr2

    def by_index(self) -> dict[int, bytes]:
        """PCR index to value, only the registers that this image determines."""
        values = {0: self.pcr0, 1: self.pcr1, 2: self.pcr2}
        if self.pcr8 is not None:
            values[8] = self.pcr8
        return values
