"""What an authentic document says, judged: debug mode, PCRs, nonce, age; and what only looks odd."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from glassclave.attestation.chain import Certificate
from glassclave.attestation.document import AttestationDocument
from glassclave.attestation.expectation import FUTURE_SKEW, Expected, Historical, Live
from glassclave.digests import pcr_of_digest, same_bytes
from glassclave.results import PCR2_OF_NOTHING, PCR_SIZE, Check, Finding, Severity, Status

DEBUG = "attestation.debug-mode"
NONCE = "attestation.nonce"
AGE = "attestation.age"

_PCR_NAMES = {
    0: "image",
    1: "kernel or init",
    2: "application",
    3: "role of the parent instance",
    4: "parent instance",
    8: "signing certificate of the image",
}
_SHOWN_UNASKED = (3, 4, 8)
_ZERO = bytes(PCR_SIZE)


def content_steps(expected: Expected, mode: Live | Historical) -> Iterator[tuple[str, str]]:
    """Step and code of every check that `judge_content` makes, in its order."""
    yield "mode", DEBUG
    for index in sorted({*expected.pcrs, *_SHOWN_UNASKED}):
        yield f"PCR{index}", f"attestation.pcr{index}"
    yield "nonce", NONCE
    yield "age", AGE


def judge_content(
    document: AttestationDocument, expected: Expected, mode: Live | Historical
) -> Iterator[Check]:
    """One check a demand; those that nobody made are named as not checked."""
    yield _debug(document)
    for index in sorted({*expected.pcrs, *_SHOWN_UNASKED}):
        yield _pcr(document, expected, index)
    yield _nonce(document, mode)
    yield _age(document, mode)


def _debug(document: AttestationDocument) -> Check:
    if document.debug:
        return Check(
            step="mode",
            code=DEBUG,
            status=Status.FAIL,
            message="the enclave runs in debug mode: its owner can read it, and its PCRs are zero",
        )
    return Check(step="mode", code=DEBUG, status=Status.PASS, message="not debug")


def _pcr(document: AttestationDocument, expected: Expected, index: int) -> Check:
    step, code, name = (
        f"PCR{index}",
        f"attestation.pcr{index}",
        _PCR_NAMES.get(index, "value extended by the enclave"),
    )
    actual = document.pcrs.get(index)
    if document.debug:
        # One reason is enough: what PCRs a debugged enclave has means nothing either way.
        return Check(
            step=step, code=code, status=Status.NOT_CHECKED, message=f"not compared: debug mode ({name})"
        )
    wanted = _ZERO if index == 8 and expected.unsigned_image else expected.pcrs.get(index)
    if wanted is None:
        said = "zero" if actual == _ZERO else "absent" if actual is None else actual.hex()[:12]
        return Check(
            step=step,
            code=code,
            status=Status.NOT_CHECKED,
            message=f"not compared, nothing was expected ({name}: {said})",
        )
    if actual is None:
        return Check(
            step=step,
            code=f"{code}.missing",
            status=Status.FAIL,
            message=f"the document does not have it ({name})",
            expected=wanted.hex(),
        )
    if not same_bytes(actual, wanted):
        return Check(
            step=step,
            code=f"{code}.mismatch",
            status=Status.FAIL,
            message=f"another {name}",
            expected=wanted.hex(),
            actual=actual.hex(),
        )
    shown = "zero, as an unsigned image has it" if wanted == _ZERO else f"{actual.hex()[:12]}, as expected"
    return Check(step=step, code=code, status=Status.PASS, message=f"{name}: {shown}")


def _nonce(document: AttestationDocument, mode: Live | Historical) -> Check:
    if isinstance(mode, Historical):
        return Check(
            step="nonce",
            code=NONCE,
            status=Status.NOT_CHECKED,
            message="not compared: judged at the document's own time, which proves nothing about now",
        )
    if document.nonce is None:
        return Check(
            step="nonce",
            code=f"{NONCE}.missing",
            status=Status.FAIL,
            message="the document has no nonce: it may be any old one",
            expected=mode.nonce.hex(),
        )
    if not same_bytes(document.nonce, mode.nonce):
        return Check(
            step="nonce",
            code=f"{NONCE}.mismatch",
            status=Status.FAIL,
            message="the document answers another question",
            expected=mode.nonce.hex(),
            actual=document.nonce.hex(),
        )
    return Check(step="nonce", code=NONCE, status=Status.PASS, message=f"ours, {len(mode.nonce)} bytes")


def _age(document: AttestationDocument, mode: Live | Historical) -> Check:
    created = document.created
    if mode.at is None:
        return Check(
            step="age",
            code=AGE,
            status=Status.NOT_CHECKED,
            message=f"not judged: made at {time_text(created)}",
        )
    age = mode.at - created
    if age < -FUTURE_SKEW:
        return Check(
            step="age",
            code=f"{AGE}.future",
            status=Status.FAIL,
            message="the document was made after the time at which it is judged",
            expected=f"at most {time_text(mode.at + FUTURE_SKEW)}",
            actual=time_text(created),
        )
    if isinstance(mode, Historical):
        return Check(
            step="age",
            code=AGE,
            status=Status.NOT_CHECKED,
            message=f"not judged: made at {time_text(created)}, before {time_text(mode.at)}",
        )
    if age > mode.max_age:
        return Check(
            step="age",
            code=f"{AGE}.too-old",
            status=Status.FAIL,
            message="the document is too old",
            expected=f"at most {_seconds(mode.max_age)}",
            actual=_seconds(age),
        )
    return Check(
        step="age", code=AGE, status=Status.PASS, message=f"made {time_text(created)}, {_seconds(age)} ago"
    )


def cross_checks(document: AttestationDocument, leaf: Certificate) -> Iterator[Finding]:
    """Cross-checks that hold in every known genuine document but that AWS does not promise."""
    instance = document.instance_id
    if instance is None:
        yield Finding(
            code="attestation.module-id.form",
            severity=Severity.WARNING,
            message="the module id does not look like one of an enclave",
            where="module_id",
        )
    elif document.pcrs.get(4) != pcr_of_digest(instance.encode()):
        yield Finding(
            code="attestation.module-id.pcr4",
            severity=Severity.WARNING,
            message="PCR4 is not the instance that the module id names",
            where="pcrs[4]",
        )
    if region_of(document, leaf) is None:
        yield Finding(
            code="attestation.module-id.certificate",
            severity=Severity.WARNING,
            message="the certificate's name does not begin with the module id",
            where="certificate",
        )
    if document.pcrs.get(8) == _ZERO and not document.debug:
        yield Finding(
            code="attestation.pcr8.zero",
            severity=Severity.NOTE,
            message="the image carries no signature of its own (PCR8 is zero)",
            where="pcrs[8]",
        )
    if document.pcrs.get(2) == PCR2_OF_NOTHING:
        yield Finding(
            code="attestation.pcr2.nothing",
            severity=Severity.NOTE,
            message="PCR2 is that of an image without application ramdisk: alone it identifies nothing",
            where="pcrs[2]",
        )


def region_of(document: AttestationDocument, leaf: Certificate) -> str | None:
    """AWS region in the leaf's name ``<module id>.<region>.aws``; ``None`` where the name is another."""
    name, prefix, suffix = leaf.common_name or "", f"{document.module_id}.", ".aws"
    if not name.startswith(prefix) or not name.endswith(suffix) or len(name) <= len(prefix) + len(suffix):
        return None
    return name[len(prefix) : -len(suffix)]


def time_text(at: datetime) -> str:
    """UTC with Z, to the second: ``2024-08-16 07:00:01Z``."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def _seconds(span: timedelta) -> str:
    return f"{round(span.total_seconds()):,} s"
