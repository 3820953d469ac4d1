"""The judgement of one document, step by step, with a stable reason code for every way to fail.

Codes are listed in ``docs/spec/attestation.md``. Bytes that are no attestation document raise `ParseError`:
nothing could be judged. Everything that could be judged is a `Check`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from glassclave.attestation.chain import Certificate, parse_chain, verify_path, verify_validity
from glassclave.attestation.content import (
    AGE,
    DEBUG,
    NONCE,
    content_steps,
    cross_checks,
    judge_content,
    region_of,
    time_text,
)
from glassclave.attestation.document import AttestationDocument, parse_document
from glassclave.attestation.expectation import IMAGE_PCRS, Expected, Historical, Live
from glassclave.attestation.roots import TrustAnchor, aws_root
from glassclave.cose import verify_sign1
from glassclave.digests import same_bytes
from glassclave.errors import RefusedError, UsageError
from glassclave.results import Check, Finding, Status

ROOT = "attestation.chain.root"
PATH = "attestation.chain.path"
VALIDITY = "attestation.chain.validity"
SIGNATURE = "attestation.cose.signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentAppraisal:
    """The outcome. ``passed`` is the only answer; ``checks`` say why, in fixed order.

    ``document`` is ``None`` only for a NitroTPM document. ``trust``: the root that was demanded, whether or
    not the document ends in it. ``region``: of the leaf's name, believed only when ``passed``.
    """

    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]
    document: AttestationDocument | None
    trust: TrustAnchor
    mode: Live | Historical
    chain: tuple[Certificate, ...]
    passed: bool

    @property
    def region(self) -> str | None:
        """AWS region, from the leaf's name (``<module id>.<region>.aws``)."""
        return None if self.document is None else region_of(self.document, self.chain[-1])


def appraise_document(
    data: bytes,
    *,
    expected: Expected,
    mode: Live | Historical,
    roots: Sequence[TrustAnchor] | None = None,
) -> DocumentAppraisal:
    """Judge the raw document ``data``. ``roots``: instead of AWS's pinned root, never beside it.

    Raises `ParseError` when ``data`` is no attestation document. Never raises for a document that is one:
    what is wrong with it is a failed check. A document in debug mode always fails.
    """
    anchors = (aws_root(),) if roots is None else tuple(roots)
    if not anchors:
        raise UsageError("attestation.root.none", "no root to trust was given")
    try:
        document = parse_document(data)
    except RefusedError as error:
        return _refused_kind(error, anchors, mode)
    chain = parse_chain(document.cabundle, document.certificate)
    trust = next((anchor for anchor in anchors if same_bytes(anchor.der, document.cabundle[0])), anchors[0])
    checks = [*_authenticity(document, chain, trust, mode)]
    if any(check.status is Status.FAIL for check in checks):
        checks += [
            Check(
                step=step,
                code=code,
                status=Status.NOT_CHECKED,
                message="not judged: the document is not authentic",
            )
            for step, code in content_steps(expected, mode)
        ]
    else:
        checks += judge_content(document, expected, mode)
    return DocumentAppraisal(
        checks=tuple(checks),
        findings=tuple(cross_checks(document, chain[-1])),
        document=document,
        trust=trust,
        mode=mode,
        chain=chain,
        passed=_passed(checks, mode),
    )


def _required(mode: Live | Historical) -> set[str]:
    codes = {ROOT, PATH, VALIDITY, SIGNATURE, DEBUG, *(f"attestation.pcr{index}" for index in IMAGE_PCRS)}
    return codes | {NONCE, AGE} if isinstance(mode, Live) else codes


def _passed(checks: Sequence[Check], mode: Live | Historical) -> bool:
    """No failure, and every required step really was taken (a skipped step is no passed step)."""
    if any(check.status is Status.FAIL for check in checks):
        return False
    return _required(mode) <= {check.code for check in checks if check.status is Status.PASS}


def _refused_kind(
    error: RefusedError, anchors: Sequence[TrustAnchor], mode: Live | Historical
) -> DocumentAppraisal:
    check = Check(step="document", code=error.code, status=Status.FAIL, message=error.message)
    return DocumentAppraisal(
        checks=(check,), findings=(), document=None, trust=anchors[0], mode=mode, chain=(), passed=False
    )


def _step(step: str, code: str, message: str, verify: Callable[[], None]) -> Check:
    """A check of a function that returns or raises `RefusedError`."""
    try:
        verify()
    except RefusedError as error:
        failed = error.code if error.code.startswith("attestation.") else code
        return Check(step=step, code=failed, status=Status.FAIL, message=error.message)
    return Check(step=step, code=code, status=Status.PASS, message=message)


def _authenticity(
    document: AttestationDocument, chain: tuple[Certificate, ...], trust: TrustAnchor, mode: Live | Historical
) -> Iterator[Check]:
    """Root, path, validity, signature: each judged only when the one before it passed."""
    times = _chain_times(document, mode)
    leaf = chain[-1]
    until = min(certificate.not_after for certificate in chain)
    valid = f"all valid at {time_text(times[-1])}, until {time_text(until)}"
    signer = f"ES384 by {leaf.common_name or leaf.subject_text}"
    issued = f"{len(chain)} certificates, each issued by the one before"
    steps: tuple[tuple[str, str, str, Callable[[], None]], ...] = (
        ("chain", PATH, issued, lambda: verify_path(chain)),
        ("validity", VALIDITY, valid, lambda: _verify_times(chain, times)),
        ("signature", SIGNATURE, signer, lambda: verify_sign1(document.sign1, leaf.key)),
    )
    check = _root(chain[0], trust)
    yield check
    for step, code, message, verify in steps:
        if check.status is Status.PASS:
            check = _step(step, code, message, verify)
            yield check
        else:
            yield Check(step=step, code=code, status=Status.NOT_CHECKED, message="not judged: see above")


def _verify_times(chain: Sequence[Certificate], times: Sequence[datetime]) -> None:
    for at in times:
        verify_validity(chain, at)


def _root(root: Certificate, trust: TrustAnchor) -> Check:
    if not same_bytes(root.der, trust.der):
        return Check(
            step="root",
            code=ROOT,
            status=Status.FAIL,
            message=f"the document ends in another root than {trust.name}",
            expected=trust.sha256,
            actual=root.sha256,
        )
    return Check(
        step="root", code=ROOT, status=Status.PASS, message=f"{trust.name}, sha256 {trust.sha256[:12]}"
    )


def _chain_times(document: AttestationDocument, mode: Live | Historical) -> list[datetime]:
    """When the chain must be valid: at the document's time, and at ``at`` unless that lies before it.

    A clock a little behind the hypervisor's must not make a fresh leaf "not yet valid"; how far behind it
    may be is the business of the age check.
    """
    created = document.created
    return [created] if mode.at is None or mode.at <= created else [created, mode.at]
