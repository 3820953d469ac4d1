"""The file of one case: what `verify` found on its way to a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO

from glassclave.attestation.appraisal import DocumentAppraisal
from glassclave.provenance.evidence import TrustRoot, VerifiedSignature
from glassclave.provenance.predicate import MeasurementPredicate
from glassclave.results import Check, Finding, Measurements, Severity, Status


@dataclass(slots=True)
class Case:
    """What is known of an artifact so far, and every check that was made."""

    trust: TrustRoot
    checks: list[Check] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    digest: str | None = None
    signature: VerifiedSignature | None = None
    predicate: MeasurementPredicate | None = None
    measurements: Measurements | None = None
    stated_by: VerifiedSignature | None = None
    image: BinaryIO | None = None
    appraisal: DocumentAppraisal | None = None

    def passed(self, step: str, code: str, message: str) -> None:
        """A check that was passed."""
        self.checks.append(Check(step=step, code=code, status=Status.PASS, message=message))

    def failed(self, step: str, code: str, message: str) -> None:
        """A check that failed."""
        self.checks.append(Check(step=step, code=code, status=Status.FAIL, message=message))

    def skipped(self, step: str, message: str) -> None:
        """A step that was not taken, and why."""
        self.checks.append(Check(step=step, code=step, status=Status.NOT_CHECKED, message=message))

    def note(self, code: str, message: str, severity: Severity = Severity.NOTE) -> None:
        """Something that decides nothing."""
        self.findings.append(Finding(code=code, severity=severity, message=message))

    def drop_image(self) -> None:
        """Let go of the image."""
        if self.image is not None:
            self.image.close()
            self.image = None

    @property
    def refused(self) -> bool:
        """Whether any check failed."""
        return any(check.status is Status.FAIL for check in self.checks)
