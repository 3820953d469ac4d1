"""The consumer's path: from a reference to a verdict. Publishing reads its own work back through it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from glassclave.attestation.appraisal import appraise_document
from glassclave.attestation.content import time_text
from glassclave.attestation.expectation import Expected, Historical, Live
from glassclave.attestation.roots import TrustAnchor
from glassclave.bootstrap.known import lookup_pcr1
from glassclave.eif.describe import describe_measurements
from glassclave.errors import ParseError, RefusedError
from glassclave.flows.beside import OTHER_ATTESTATION, judge_kept_log, tell_rebuilds
from glassclave.flows.case import Case
from glassclave.flows.evidence import Evidence, collect_evidence
from glassclave.flows.find_image import find_image, look_again, read_hints
from glassclave.flows.measure import MeasuredFile, measure_file
from glassclave.flows.stated import Stated, adopt, failures, judge_statements, none_was_withheld
from glassclave.oci.artifact import ArtifactLayers
from glassclave.oci.reference import Reference
from glassclave.oci.transport import RegistryReader
from glassclave.policy.checks.identity import check_identity
from glassclave.policy.checks.image import Hints, check_image, check_unstated
from glassclave.policy.model import STATEMENT_OPTIONAL, Policy
from glassclave.policy.verdict import RANK, Level, Verdict, reached
from glassclave.progress import Progress
from glassclave.provenance.claims import Claims
from glassclave.provenance.evidence import SignatureVerifier, VerifiedSignature
from glassclave.provenance.predicate import Measured, MeasurementPredicate
from glassclave.results import Check, Severity, Status
from glassclave.streams import FileSource

_NOT_JUDGED = {
    "artifact": "the reference names no enclave image",
    "signature": "there is no signature that holds",
    "identity": "the signer is not what you asked for",
    "statement": "there is no statement to compare with",
    "image": "the image is not the stated one",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An attestation document to judge with the image. ``roots``: instead of AWS's pinned one."""

    data: bytes
    mode: Live | Historical
    roots: tuple[TrustAnchor, ...] | None = None

    @property
    def level(self) -> Level:
        """The level that it can show."""
        return Level.LIVE_UNBOUND if isinstance(self.mode, Live) else Level.ATTESTED_AT


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """What to judge. ``required``: ``None`` for the highest level whose input is there."""

    reference: Reference
    policy: Policy
    document: Document | None = None
    required: Level | None = None


@dataclass(frozen=True, slots=True)
class VerifyOutcome:
    """The verdict, and what it is about (kept only where it is positive).

    ``predicate``: ``None`` too where nobody states it and the policy accepts that. ``stated_by``: the
    certificate of the run that measured and stated ``predicate``.
    """

    verdict: Verdict
    image: BinaryIO | None
    predicate: MeasurementPredicate | None
    stated_by: Claims | None = None

    def close(self) -> None:
        """Let go of the image."""
        if self.image is not None:
            self.image.close()


def verify_reference(
    request: VerifyRequest,
    *,
    registry: RegistryReader,
    signatures: SignatureVerifier,
    progress: Progress,
) -> VerifyOutcome:
    """Judge what ``request.reference`` names. Times are in the evidence and in the document's mode.

    Raises `UnavailableError` where the registry does not answer well: that is no verdict.
    """
    case = Case(signatures.trust)
    try:
        _judge(case, request, registry, signatures, progress)
        verdict = _verdict(case, request)
    except BaseException:
        case.drop_image()
        raise
    if not verdict.passed:
        case.drop_image()
    if not verdict.passed or case.stated_by is None:
        return VerifyOutcome(verdict, case.image, None)
    return VerifyOutcome(verdict, case.image, case.predicate, case.stated_by.claims)


def _judge(
    case: Case,
    request: VerifyRequest,
    registry: RegistryReader,
    signatures: SignatureVerifier,
    progress: Progress,
) -> None:
    layers = find_image(case, request.reference, registry)
    if layers is not None and case.digest is not None:
        evidence = collect_evidence(registry, request.reference, case.digest, signatures)
        if not evidence.signatures.good:
            look_again(request.reference, case.digest, registry)
        _signature(case, evidence, request.policy)
        stated = judge_statements(case, evidence.statements, request.policy, layers)
        wanted = stated is None or bool(stated)
        if wanted and not _image(case, stated, request, registry, layers, progress):
            none_was_withheld(evidence.statements)
        if case.measurements is not None:
            judge_kept_log(case, evidence, request.reference, request.policy, registry)
        tell_rebuilds(case, evidence, request.policy)
    _enclave(case, request.document)
    _fill(case, request.document)


def _signature(case: Case, evidence: Evidence, policy: Policy) -> None:
    for kind in sorted(set(evidence.others)):
        case.note("signature.other-attestation", f"{OTHER_ATTESTATION}: {kind[:200]}")
    pieces = evidence.signatures
    if not pieces.good:
        error = pieces.reason()
        if error is None:
            case.failed("signature", "signature.none", "nobody signed this artifact")
        else:
            case.failed("signature", error.code, error.message)
        return
    beside = {one.certificate_der for one in evidence.statements.good}
    best = min(pieces.good, key=lambda one: _preference(one, policy, beside))
    checks = check_identity(best.claims, policy)
    if failures(checks):
        none_was_withheld(pieces)
    case.signature = best
    # A custom root has a name that anybody can choose: it stands in the first and in the last line.
    root = case.trust.name if case.trust.public_good else "custom trust root"
    case.passed(
        "signature", "signature", f"{root}, log index {best.log_index:,}, {time_text(best.signed_at)}"
    )
    case.checks += checks


def _preference(
    one: VerifiedSignature, policy: Policy, beside: set[bytes]
) -> tuple[int, bool, bool, int, bytes]:
    """Fewest failures first; then by the certificate of a statement, cosign's layout, and the latest."""
    failed = failures(check_identity(one.claims, policy))
    return failed, one.certificate_der not in beside, one.kind != "cosign", -one.log_index, one.payload


def _image(
    case: Case,
    stated: Sequence[Stated] | None,
    request: VerifyRequest,
    registry: RegistryReader,
    layers: ArtifactLayers,
    progress: Progress,
) -> bool:
    """Whether another statement could not change the answer: it passes, or the file breaks its own rules."""
    # Without a name on disk, gone with its last handle: `--save` copies it after the verdict.
    case.image = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever the outcome is handed to
    registry.fetch_blob_to(request.reference, layers.eif, case.image, progress)
    case.image.flush()
    try:
        file = measure_file(FileSource(case.image, name="the image"), name="the image", progress=progress)
    except (ParseError, RefusedError) as error:
        if stated:
            adopt(case, stated[0])
        case.failed("image", error.code, error.message)
        return True
    measured_as = describe_measurements(file.measured.measurements)
    hints = read_hints(case, registry, request.reference, layers, measured_as)
    checks = _compared(case, stated, file.measured, hints)
    case.checks += checks
    if failures(checks):
        return False
    _accept(case, file)
    return True


def _compared(
    case: Case, stated: Sequence[Stated] | None, found: Measured, hints: Hints
) -> tuple[Check, ...]:
    """With the statement that the image bears out, if any does."""
    if stated is None:
        return check_unstated(found, hints)
    judged = [(check_image(one.predicate, found, hints), one) for one in stated]
    checks, best = next((pair for pair in judged if not failures(pair[0])), judged[0])
    adopt(case, best)
    return checks


def _accept(case: Case, file: MeasuredFile) -> None:
    """The image is what it is said to be."""
    case.measurements = file.measured.measurements
    case.findings += file.findings
    if lookup_pcr1(file.measured.measurements.pcr1.hex()) is None:
        case.note(
            "image.bootstrap.unknown",
            "nobody whom this program knows made the kernel and init of this image (PCR1)",
            Severity.WARNING,
        )


def _enclave(case: Case, document: Document | None) -> None:
    if document is None:
        case.skipped("enclave", "not checked: no document was given (--document FILE)")
        return
    if case.measurements is None:
        case.skipped("enclave", "not judged: there is no image to compare with")
        return
    appraisal = appraise_document(
        document.data, expected=Expected.of(case.measurements), mode=document.mode, roots=document.roots
    )
    case.appraisal = appraisal
    for check in appraisal.checks:
        case.checks.append(replace(check, step="enclave", message=f"{check.step}: {check.message}"))
    case.findings += appraisal.findings


def _fill(case: Case, document: Document | None) -> None:
    """A line for every step that was not taken, with its reason (promise 3)."""
    taken = {check.step for check in case.checks}
    first = next((check.step for check in case.checks if check.status is Status.FAIL), None)
    for step in ("signature", "identity", "statement", "image", "log"):
        if step not in taken:
            case.skipped(step, f"not judged: {_NOT_JUDGED.get(first or '', 'a step before it was left out')}")
    why = "the document came from a file" if document else "no connection was made"
    case.skipped("connection", f"not checked: {why}")
    order = ("artifact", "signature", "identity", "statement", "image", "log", "enclave", "connection")
    case.checks.sort(key=lambda check: order.index(check.step))


def _verdict(case: Case, request: VerifyRequest) -> Verdict:
    document = request.document
    shown = document.level if document else None
    if document is not None and (case.appraisal is None or not case.appraisal.passed):
        level = Level.NONE  # the document's own judgement decides, not the number of its lines
    else:
        level = reached(tuple(case.checks), shown)
    # Whoever accepts less asks for less; what a document fails to show still takes every level away.
    least = Level.UNSTATED if request.policy.statement == STATEMENT_OPTIONAL else shown or Level.PROVENANCE
    required = request.required or least
    return Verdict(
        level=level,
        required=required,
        passed=_reaches(level, required),
        policy=request.policy,
        trust=case.trust,
        attestation_root=_custom_root(document),
        reference=str(request.reference),
        digest=case.digest,
        checks=tuple(case.checks),
        findings=tuple(case.findings),
        signature=case.signature,
        measurements=case.measurements,
        predicate=case.predicate,
        appraisal=case.appraisal,
    )


def _custom_root(document: Document | None) -> tuple[str, str] | None:
    """The root that was demanded, whether or not the document ends in it."""
    custom = [root for root in (document.roots or ()) if root.custom] if document else []
    return (custom[0].name, custom[0].sha256) if custom else None


def _reaches(level: Level, required: Level) -> bool:
    """``attested-at`` and the live levels answer different questions: only equal or lower counts upwards."""
    if required is Level.NONE:
        return False
    if required is Level.ATTESTED_AT:
        return level is Level.ATTESTED_AT
    return RANK[level] >= RANK[required]
