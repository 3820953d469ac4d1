"""Levels and the verdict (``docs/spec/verdict.md``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from glassclave.attestation.appraisal import DocumentAppraisal
from glassclave.attestation.content import time_text
from glassclave.policy.model import Policy
from glassclave.provenance.evidence import TrustRoot, VerifiedSignature
from glassclave.provenance.predicate import MeasurementPredicate
from glassclave.results import Check, Finding, Measurements, Status

SCHEMA = "https://glassclave.github.io/spec/verdict-v1"


class Level(StrEnum):
    """How much was shown, least first. Every level includes the ones before it, as far as they compare."""

    NONE = "none"
    UNSTATED = "unstated"
    PROVENANCE = "provenance"
    ATTESTED_AT = "attested-at"
    LIVE_UNBOUND = "live-unbound"
    LIVE = "live"


RANK = {level: rank for rank, level in enumerate(Level)}
PROVENANCE_STEPS = ("artifact", "signature", "identity", "statement", "image")
ENCLAVE_STEP = "enclave"
UNSTATED_CODE = "statement.none"
"""Of the statement's check: failed, or not made because the policy accepts that there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer. ``passed``: whether ``required`` was reached; nothing else decides.

    ``attestation_root``: name and SHA-256 of a root that is not AWS's, ``None`` otherwise. ``measurements``:
    of the image, only where it passed; ``predicate``: what was stated, only where the statement passed.
    """

    level: Level
    required: Level
    passed: bool
    policy: Policy
    trust: TrustRoot
    attestation_root: tuple[str, str] | None
    reference: str
    digest: str | None
    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]
    signature: VerifiedSignature | None
    measurements: Measurements | None
    predicate: MeasurementPredicate | None = None
    appraisal: DocumentAppraisal | None = None

    @property
    def attested_at(self) -> str | None:
        """When the document was made, where one was judged."""
        document = None if self.appraisal is None else self.appraisal.document
        return None if document is None else time_text(document.created)

    @property
    def custom_trust(self) -> bool:
        """Whether any root of trust is not the one that everybody has."""
        return not self.trust.public_good or self.attestation_root is not None


def reached(checks: tuple[Check, ...], document: Level | None) -> Level:
    """The level that ``checks`` show. ``document``: the level that a document was given for.

    A level needs every step of its own to have been taken and none to have failed; a failure anywhere means
    that nothing is stated. Without a statement, where the policy accepts that, it is `Level.UNSTATED` and
    never more: what a document shows beside it has its own checks, and the levels' names stay what they mean.
    """
    if any(check.status is Status.FAIL for check in checks):
        return Level.NONE
    outcome: Mapping[str, list[Status]] = {
        step: [check.status for check in checks if check.step == step]
        for step in (*PROVENANCE_STEPS, ENCLAVE_STEP)
    }
    unstated = any(check.code == UNSTATED_CODE for check in checks)  # it did not fail, so it was accepted
    needed = [step for step in PROVENANCE_STEPS if not (unstated and step == "statement")]
    if not all(_whole(outcome[step]) for step in needed):
        return Level.NONE
    if unstated:
        judged = document is None or Status.PASS in outcome[ENCLAVE_STEP]
        return Level.UNSTATED if judged and len(outcome["statement"]) == 1 else Level.NONE
    if document is None:
        return Level.PROVENANCE
    # An appraisal names registers that nobody asked about as not compared; what it requires it fails.
    return document if Status.PASS in outcome[ENCLAVE_STEP] else Level.NONE


def _whole(statuses: list[Status]) -> bool:
    return bool(statuses) and all(status is Status.PASS for status in statuses)
