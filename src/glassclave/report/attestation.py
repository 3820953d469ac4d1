"""An attestation document and its appraisal, as JSON values and as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from glassclave.attestation.appraisal import DocumentAppraisal
from glassclave.attestation.chain import Certificate
from glassclave.attestation.content import region_of, time_text
from glassclave.attestation.document import AttestationDocument
from glassclave.attestation.expectation import Live
from glassclave.attestation.roots import TrustAnchor
from glassclave.report.records import check_record, finding_record
from glassclave.report.text import plain
from glassclave.results import Check, Status

VERDICT_SCHEMA = "https://glassclave.github.io/spec/attestation-verdict/v1"
DOCUMENT_SCHEMA = "https://glassclave.github.io/spec/attestation-document/v1"
ATTESTED_AT = "attested-at"
LIVE_UNBOUND = "live-unbound"
UNBOUND = Check(
    step="connection",
    code="attestation.binding",
    status=Status.NOT_CHECKED,
    message="not checked: the document came from a file, anybody may have carried it",
)


def level_of(appraisal: DocumentAppraisal) -> str | None:
    """The level that the document alone reaches; ``None`` when it did not pass."""
    if not appraisal.passed:
        return None
    return LIVE_UNBOUND if isinstance(appraisal.mode, Live) else ATTESTED_AT


def custom_trust(trust: TrustAnchor, *, whole: bool) -> str | None:
    """``UNDER CUSTOM TRUST <name>, sha256 …`` for any root but AWS's pinned one."""
    if not trust.custom:
        return None
    sha256 = trust.sha256 if whole else trust.sha256[:12]
    return f'UNDER CUSTOM TRUST "{trust.name}", sha256 {sha256}'


def sentence(appraisal: DocumentAppraisal) -> str:
    """The last line: the level in words that claim no more than was checked."""
    custom = custom_trust(appraisal.trust, whole=False)
    return _verdict(appraisal) + (f" {custom}." if custom else "")


def _verdict(appraisal: DocumentAppraisal) -> str:
    document = appraisal.document
    if not appraisal.passed or document is None:
        return f"REFUSED: {refusal_of(appraisal)}."
    if isinstance(appraisal.mode, Live):
        age = max(appraisal.mode.at - document.created, timedelta(0))
        return (
            f"LIVE, UNBOUND: an enclave with these measurements answered our question"
            f" {round(age.total_seconds()):,} s before {time_text(appraisal.mode.at)}."
            " Who carries the connection, and who built the image, was not checked."
        )
    return (
        f"ATTESTED AT {time_text(document.created)}: an enclave with these measurements existed then."
        " Whether it runs now, and who built the image, was not checked."
    )


def refusal_of(appraisal: DocumentAppraisal) -> str:
    """Why a document was refused, in words."""
    failed = next((check for check in appraisal.checks if check.status is Status.FAIL), None)
    if failed is None:
        return "a required check was left out"
    if failed.code == "attestation.chain.expired" and isinstance(appraisal.mode, Live):
        return f"{failed.message}; of an old document only --historical can be asked"
    return failed.message


def appraisal_record(appraisal: DocumentAppraisal) -> dict[str, object]:
    """The verdict as JSON (``docs/spec/attestation.md``)."""
    document = appraisal.document
    return {
        "schema": VERDICT_SCHEMA,
        "level": level_of(appraisal),
        "passed": appraisal.passed,
        "required": LIVE_UNBOUND if isinstance(appraisal.mode, Live) else ATTESTED_AT,
        # What "live" and "not expired" refer to: a verdict with a chosen time must not pass for one of now.
        "at": None if appraisal.mode.at is None else _utc(appraisal.mode.at),
        "trust": {
            "name": appraisal.trust.name,
            "sha256": appraisal.trust.sha256,
            "custom": appraisal.trust.custom,
        },
        "subject": None if document is None else document_record(document, appraisal.chain),
        "checks": [check_record(check) for check in (*appraisal.checks, UNBOUND)],
        "findings": [finding_record(finding) for finding in appraisal.findings],
        "sentence": sentence(appraisal),
    }


def document_record(document: AttestationDocument, chain: Sequence[Certificate]) -> dict[str, object]:
    """All that a document says: claims until an appraisal passed. Bytes are lower-case hex."""
    launched = document.launched
    return {
        "module_id": document.module_id,
        "instance_id": document.instance_id,
        "region": region_of(document, chain[-1]),
        "timestamp_ms": document.timestamp_ms,
        "created": document.created.isoformat().replace("+00:00", "Z"),
        "launched": None if launched is None else launched.isoformat().replace("+00:00", "Z"),
        "debug": document.debug,
        "digest": document.digest,
        "pcrs": {str(index): value.hex() for index, value in document.pcrs.items()},
        "public_key": _hex(document.public_key),
        "user_data": _hex(document.user_data),
        "nonce": _hex(document.nonce),
        "certificates": [_certificate_record(certificate) for certificate in chain],
    }


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _certificate_record(certificate: Certificate) -> dict[str, object]:
    return {
        "place": certificate.place,
        "subject": certificate.subject_text,
        "not_before": certificate.not_before.isoformat().replace("+00:00", "Z"),
        "not_after": certificate.not_after.isoformat().replace("+00:00", "Z"),
        "sha256": certificate.sha256,
    }


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def document_lines(
    document: AttestationDocument, chain: Sequence[Certificate], *, ascii_only: bool
) -> Iterator[str]:
    """What a document says, for reading; begins by saying that nothing was verified."""
    rows = [
        ("module", document.module_id),
        ("region", region_of(document, chain[-1]) or "not named"),
        ("created", time_text(document.created)),
        ("launched", "not known" if document.launched is None else time_text(document.launched)),
        ("mode", "DEBUG: PCRs are zero, this proves nothing" if document.debug else "not debug"),
        *((name, _shown(value)) for name, value in _optional_fields(document)),
    ]
    yield "claims of the document, nothing verified"
    yield ""
    for name, text in rows:
        yield f"{name:<11}{plain(text, ascii_only=ascii_only)}"
    yield ""
    zero = [index for index, value in document.pcrs.items() if not any(value)]
    for index, value in document.pcrs.items():
        if index not in zero:
            yield f"{f'PCR{index}':<6} {value.hex()}"
    if zero:
        yield f"zero   PCR {_ranges(zero)}"
    yield ""
    for certificate in chain:
        span = f"{time_text(certificate.not_before)} to {time_text(certificate.not_after)}"
        yield f"{certificate.place:<12}{span}  {plain(certificate.subject_text, ascii_only=ascii_only)}"


def _optional_fields(document: AttestationDocument) -> Iterable[tuple[str, bytes | None]]:
    return (
        ("public_key", document.public_key),
        ("user_data", document.user_data),
        ("nonce", document.nonce),
    )


def _shown(value: bytes | None) -> str:
    if value is None:
        return "none"
    return f"{len(value)} bytes, {value.hex() if len(value) <= 48 else value[:24].hex() + '…'}"


def _ranges(indices: Sequence[int]) -> str:
    """``3, 5-7, 9-15``."""
    parts: list[list[int]] = []
    for index in indices:
        if parts and parts[-1][-1] == index - 1:
            parts[-1].append(index)
        else:
            parts.append([index])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
