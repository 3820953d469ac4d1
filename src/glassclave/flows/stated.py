"""Statements of what an image measures: which of them pass, and what it means that there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glassclave.flows.case import Case
from glassclave.flows.evidence import Pieces
from glassclave.oci.artifact import ArtifactLayers
from glassclave.policy.checks.identity import ADVICE
from glassclave.policy.checks.statement import check_statement
from glassclave.policy.model import STATEMENT_OPTIONAL, Policy
from glassclave.policy.verdict import UNSTATED_CODE
from glassclave.provenance.evidence import VerifiedSignature
from glassclave.provenance.predicate import MeasurementPredicate
from glassclave.results import Check, Status

_NOBODY = "nobody states what this image measures"
_LOST = ", although glassclave publish does: a copy may have lost it (oras cp -r keeps it)"


@dataclass(frozen=True, slots=True)
class Stated:
    """A statement that passes."""

    predicate: MeasurementPredicate
    checks: tuple[Check, ...]
    signature: VerifiedSignature


def judge_statements(
    case: Case, pieces: Pieces, policy: Policy, layers: ArtifactLayers
) -> tuple[Stated, ...] | None:
    """Those that pass, best first. None of them: a check says why, unless an earlier step did.

    ``None``: there is none at all, and the policy accepts that. A statement that is there and does
    not pass is never accepted: then somebody did say what the image measures, and it does not hold.
    """
    if case.refused:
        return ()
    if not pieces.good:
        return _without(case, pieces, policy, layers)
    latest_first = pieces.good[::-1]
    judged = [
        (check_statement(one, policy, eif_digest=layers.eif.digest), one)
        for one in sorted(latest_first, key=lambda one: one.certificate_der != _certificate(case))
    ]
    passing = tuple(
        Stated(outcome.predicate, outcome.checks, one)
        for outcome, one in judged
        if outcome.predicate is not None
    )
    if not passing:
        none_was_withheld(pieces)
        furthest = next((outcome for outcome, _ in judged if outcome.allowed), judged[0][0])
        case.checks += furthest.checks
    return passing


def _without(case: Case, pieces: Pieces, policy: Policy, layers: ArtifactLayers) -> tuple[Stated, ...] | None:
    error = pieces.reason()
    if error is not None:
        case.failed("statement", error.code, error.message)
        return ()
    if policy.statement != STATEMENT_OPTIONAL:
        lost = _LOST if layers.kind is None else ""
        case.failed("statement", UNSTATED_CODE, f"{_NOBODY}{lost}{ADVICE}--accept-unstated")
        return ()
    message = f"not checked: {_NOBODY}, and your demands accept that"
    case.checks.append(
        Check(step="statement", code=UNSTATED_CODE, status=Status.NOT_CHECKED, message=message)
    )
    return None


def adopt(case: Case, stated: Stated) -> None:
    """Of several statements this one goes on."""
    case.checks += stated.checks
    case.predicate = stated.predicate
    case.stated_by = stated.signature
    claims = stated.signature.claims
    if stated.signature.certificate_der != _certificate(case):
        case.note("statement.run.other", f"was signed by another run: {claims.run_invocation_uri or '?'}")


def none_was_withheld(pieces: Pieces) -> None:
    """A piece that the registry did not hand out might have been the good one: then nothing is judged."""
    if pieces.unavailable:
        raise pieces.unavailable[0]


def failures(checks: Sequence[Check]) -> int:
    """How many did not pass."""
    return sum(check.status is not Status.PASS for check in checks)


def _certificate(case: Case) -> bytes:
    return b"" if case.signature is None else case.signature.certificate_der
