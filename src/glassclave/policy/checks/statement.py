"""What the signer states of the image: about this file, by somebody who may say so, at their own commit."""

from __future__ import annotations

from dataclasses import dataclass

from glassclave.errors import ParseError
from glassclave.policy.checks.identity import check_identity
from glassclave.policy.model import Policy
from glassclave.provenance.evidence import VerifiedSignature
from glassclave.provenance.predicate import PREDICATE_TYPE, MeasurementPredicate, parse_predicate
from glassclave.provenance.statement import parse_statement
from glassclave.results import Check, Status

STEP = "statement"


@dataclass(frozen=True, slots=True)
class JudgedStatement:
    """``predicate`` is ``None`` where a check failed: nothing of it is used then."""

    checks: tuple[Check, ...]
    predicate: MeasurementPredicate | None

    @property
    def allowed(self) -> bool:
        """Whether the one who states it meets the policy."""
        return all(check.code != "statement.identity" for check in self.checks)


def check_statement(signature: VerifiedSignature, policy: Policy, *, eif_digest: str) -> JudgedStatement:
    """Judge a statement whose signature holds and whose subject is the artifact, by the whole ``policy``.

    A signature by one signer never vouches for a statement by another. ``eif_digest``: OCI digest of the
    artifact's image layer. Never raises: a statement that cannot be read is a failed check.
    """
    bad = next(
        (one for one in check_identity(signature.claims, policy) if one.status is not Status.PASS), None
    )
    if bad is not None:
        why = f"the statement is by another signer: {bad.message} [{bad.code}]"
        return _refused("statement.identity", why, bad.expected, bad.actual)
    try:
        statement = parse_statement(signature.payload, predicate_type=PREDICATE_TYPE)
        predicate = parse_predicate(statement.predicate, source="statement")
    except ParseError as error:
        return _refused(error.code, f"the statement cannot be read: {error}")
    stated = "sha256:" + predicate.measured.eif.sha256.hex()
    if stated != eif_digest:
        return _refused("statement.eif.mismatch", "is about another image file", eif_digest, stated)
    claims, source = signature.claims, predicate.claimed.source
    if source is not None and source.commit != claims.source_repository_digest:
        return _refused(
            "statement.commit.mismatch",
            "names another commit than its certificate",
            claims.source_repository_digest,
            source.commit,
        )
    if source is not None and source.repository != claims.source_repository_uri:
        return _refused(
            "statement.repository.mismatch",
            "names another repository than its certificate",
            claims.source_repository_uri,
            source.repository,
        )
    names = ", ".join(f"PCR{index}" for index in predicate.measured.measurements.by_index())
    passed = Check(step=STEP, code=STEP, status=Status.PASS, message=f"{names} measured by the signing job")
    return JudgedStatement((passed,), predicate)


def _refused(
    code: str, message: str, expected: str | None = None, actual: str | None = None
) -> JudgedStatement:
    check = Check(step=STEP, code=code, status=Status.FAIL, message=message, expected=expected, actual=actual)
    return JudgedStatement((check,), None)
