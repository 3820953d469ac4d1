"""The consumer's path: from a reference to a verdict. Publishing reads its own work back through it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from glassclave.attestation.appraisal import appraise_document
from glassclave.attestation.content import time_text
from glassclave.attestation.expectation import Expected, Historical, Live
from glassclave.attestation.roots import TrustAnchor
from glassclave.digests import same_bytes
from glassclave.errors import ParseError, RefusedError
from glassclave.flows.evidence import Evidence, collect_evidence
from glassclave.flows.measure import MeasuredFile, measure_file
from glassclave.oci.artifact import ArtifactLayers, read_artifact
from glassclave.oci.manifest import parse_manifest
from glassclave.oci.reference import Reference
from glassclave.oci.transport import RegistryReader
from glassclave.policy.checks.identity import check_identity
from glassclave.policy.model import Policy
from glassclave.policy.verdict import RANK, Level, Verdict, reached
from glassclave.progress import Progress
from glassclave.provenance.evidence import SignatureVerifier, VerifiedSignature
from glassclave.provenance.predicate import PREDICATE_TYPE, MeasurementPredicate, parse_predicate
from glassclave.provenance.statement import parse_statement
from glassclave.results import Check, Finding, Measurements, Severity, Status
from glassclave.streams import FileSource


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
    """The verdict, and the files that it is about (kept only where it is positive)."""

    verdict: Verdict
    image: BinaryIO | None
    predicate: MeasurementPredicate | None


@dataclass(slots=True)
class _Case:
    """What is known so far."""

    checks: list[Check] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    digest: str | None = None
    signature: VerifiedSignature | None = None
    predicate: MeasurementPredicate | None = None
    measurements: Measurements | None = None
    image: BinaryIO | None = None
    attested_at: str | None = None
    attestation_root: tuple[str, str] | None = None

    def passed(self, step: str, code: str, message: str) -> None:
        self.checks.append(Check(step=step, code=code, status=Status.PASS, message=message))

    def failed(
        self, step: str, code: str, message: str, expected: str | None = None, actual: str | None = None
    ) -> None:
        self.checks.append(
            Check(step=step, code=code, status=Status.FAIL, message=message, expected=expected, actual=actual)
        )

    def skipped(self, step: str, message: str) -> None:
        self.checks.append(Check(step=step, code=step, status=Status.NOT_CHECKED, message=message))

    @property
    def refused(self) -> bool:
        return any(check.status is Status.FAIL for check in self.checks)


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
    case = _Case()
    layers = _artifact(case, request, registry)
    if layers is not None and case.digest is not None:
        evidence = collect_evidence(registry, request.reference, case.digest, signatures)
        _signature(case, evidence, request.policy)
        _statement(case, evidence, request.policy, layers)
        _image(case, request, registry, layers, progress)
    _enclave(case, request.document)
    _fill(case, request.document)
    verdict = _verdict(case, request, signatures)
    if not verdict.passed and case.image is not None:
        case.image.close()
        return VerifyOutcome(verdict, None, None)
    return VerifyOutcome(verdict, case.image, case.predicate)


def _artifact(case: _Case, request: VerifyRequest, registry: RegistryReader) -> ArtifactLayers | None:
    stored = registry.resolve(request.reference)
    case.digest = stored.digest
    try:
        layers = read_artifact(parse_manifest(stored.data, source=str(request.reference)))
    except (ParseError, RefusedError) as error:
        case.failed("artifact", error.code, error.message)
        return None
    tag = f" (tag {request.reference.tag} read once)" if request.reference.tag else ""
    case.passed("artifact", "artifact", f"{request.reference.name}@{stored.digest}{tag}")
    return layers


def _signature(case: _Case, evidence: Evidence, policy: Policy) -> None:
    for kind in sorted(set(evidence.others)):
        case.findings.append(
            Finding(
                code="signature.other-attestation",
                severity=Severity.NOTE,
                message=f"an attestation of another type is there and was not used: {kind[:200]}",
            )
        )
    if not evidence.signatures:
        if evidence.refused:
            first = evidence.refused[0]
            case.failed("signature", first.code, first.message)
        else:
            case.failed("signature", "signature.none", "nobody signed this artifact")
        return
    best = min(evidence.signatures, key=lambda one: _failures(check_identity(one.claims, policy)))
    case.signature = best
    case.passed(
        "signature",
        "signature",
        f"{best.kind}, log index {best.log_index:,}, {time_text(best.signed_at)}",
    )
    case.checks += check_identity(best.claims, policy)


def _failures(checks: Sequence[Check]) -> int:
    return sum(check.status is Status.FAIL for check in checks)


def _statement(case: _Case, evidence: Evidence, policy: Policy, layers: ArtifactLayers) -> None:
    if case.refused:
        return
    if not evidence.statements:
        case.failed("statement", "statement.none", "nobody states what this image measures")
        return
    # A signature by one signer never vouches for a statement by another: the statement passes by itself.
    allowed = [one for one in evidence.statements if not _failures(check_identity(one.claims, policy))]
    if not allowed:
        case.failed("statement", "statement.identity", "the statement is by somebody else")
        return
    statement = allowed[-1]
    try:
        parsed = parse_statement(statement.payload, predicate_type=PREDICATE_TYPE)
        predicate = parse_predicate(parsed.predicate, source="statement")
    except ParseError as error:
        case.failed("statement", error.code, error.message)
        return
    stated = "sha256:" + predicate.measured.eif.sha256.hex()
    if stated != layers.eif.digest:
        case.failed(
            "statement", "statement.eif.mismatch", "is about another image file", layers.eif.digest, stated
        )
        return
    source = predicate.claimed.source
    commit = statement.claims.source_repository_digest
    if source is not None and source.commit != commit:
        case.failed(
            "statement",
            "statement.commit.mismatch",
            "names another commit than its certificate",
            commit,
            source.commit,
        )
        return
    case.predicate = predicate
    case.passed("statement", "statement", "PCR0, PCR1, PCR2 measured by the signing job")


def _image(
    case: _Case, request: VerifyRequest, registry: RegistryReader, layers: ArtifactLayers, progress: Progress
) -> None:
    if case.refused or case.predicate is None:
        return
    # Closed by whoever the outcome is handed to: `--save` reads it after the verdict.
    case.image = tempfile.TemporaryFile()  # noqa: SIM115
    registry.fetch_blob_to(request.reference, layers.eif, case.image, progress)
    case.image.flush()
    try:
        file = measure_file(FileSource(case.image, name="the image"), name="the image", progress=progress)
    except (ParseError, RefusedError) as error:
        case.failed("image", error.code, error.message)
        return
    _compare(case, case.predicate, file, layers)


def _compare(
    case: _Case, predicate: MeasurementPredicate, file: MeasuredFile, layers: ArtifactLayers
) -> None:
    stated, found = predicate.measured, file.measured
    for index, value in found.measurements.by_index().items():
        wanted = stated.measurements.by_index().get(index)
        if wanted is None or not same_bytes(wanted, value):
            case.failed(
                "image",
                f"image.pcr{index}.mismatch",
                f"PCR{index} measured here is not the stated one",
                wanted.hex() if wanted else "none",
                value.hex(),
            )
    if not case.refused and stated != found:
        case.failed("image", "image.sections.mismatch", "sections or header differ from the statement's")
    for index, hint in layers.pcr_hints.items():
        if hint != found.measurements.by_index()[index].hex():
            case.failed(
                "image",
                "image.annotation.mismatch",
                f"the manifest's PCR{index} annotation is not what the image measures",
                found.measurements.by_index()[index].hex(),
                hint[:200],
            )
    if not case.refused:
        case.measurements = found.measurements
        size = found.eif.size / 1_000_000
        case.passed("image", "image", f"{size:,.1f} MB measured here: PCR0, PCR1, PCR2 equal the statement's")


def _enclave(case: _Case, document: Document | None) -> None:
    if document is None:
        case.skipped("enclave", "not checked: no document was given (--document FILE)")
        return
    if case.measurements is None:
        case.skipped("enclave", "not judged: there is no image to compare with")
        return
    appraisal = appraise_document(
        document.data, expected=Expected.of(case.measurements), mode=document.mode, roots=document.roots
    )
    for check in appraisal.checks:
        case.checks.append(
            Check(
                step="enclave",
                code=check.code,
                status=check.status,
                message=f"{check.step}: {check.message}",
                expected=check.expected,
                actual=check.actual,
            )
        )
    case.findings += appraisal.findings
    if appraisal.trust.custom:
        case.attestation_root = (appraisal.trust.name, appraisal.trust.sha256)
    if appraisal.document is not None:
        case.attested_at = time_text(appraisal.document.created)


def _fill(case: _Case, document: Document | None) -> None:
    """A line for every step that was not taken, with its reason (promise 3)."""
    taken = {check.step for check in case.checks}
    for step in ("signature", "identity", "statement", "image"):
        if step not in taken:
            case.skipped(step, "not judged: see above")
    why = "the document came from a file" if document else "no connection was made"
    case.skipped("connection", f"not checked: {why}")
    order = ("artifact", "signature", "identity", "statement", "image", "enclave", "connection")
    case.checks.sort(key=lambda check: order.index(check.step))


def _verdict(case: _Case, request: VerifyRequest, signatures: SignatureVerifier) -> Verdict:
    document = request.document.level if request.document else None
    level = reached(tuple(case.checks), document)
    required = request.required or document or Level.PROVENANCE
    return Verdict(
        level=level,
        required=required,
        passed=_reaches(level, required),
        trust=signatures.trust,
        attestation_root=case.attestation_root,
        reference=str(request.reference),
        digest=case.digest,
        checks=tuple(case.checks),
        findings=tuple(case.findings),
        signature=case.signature,
        measurements=case.measurements,
        attested_at=case.attested_at,
    )


def _reaches(level: Level, required: Level) -> bool:
    """``attested-at`` and the live levels answer different questions: only equal or lower counts upwards."""
    if required is Level.NONE or level is Level.NONE:
        return False
    if required is Level.ATTESTED_AT:
        return level is Level.ATTESTED_AT
    return RANK[level] >= RANK[required]
