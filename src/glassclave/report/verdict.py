"""A verdict as lines for people and as JSON (``docs/spec/verdict.md``)."""

from __future__ import annotations

from datetime import timedelta

from glassclave.attestation.content import time_text
from glassclave.policy.verdict import SCHEMA, Level, Verdict
from glassclave.provenance.claims import split_workflow_uri
from glassclave.provenance.evidence import VerifiedSignature
from glassclave.report.records import check_record, finding_record
from glassclave.report.text import plain, render_checks, render_findings
from glassclave.results import Check, Status

LOG_KEPT_FOR = timedelta(days=90)
"""GitHub keeps the logs of a public repository's runs for this long."""

_SEARCH = "https://search.sigstore.dev/?logIndex="


def custom_trust(verdict: Verdict, *, whole: bool) -> str | None:
    """``UNDER CUSTOM TRUST …`` for every root that is not the one everybody has."""
    roots = [] if verdict.trust.public_good else [(verdict.trust.name, verdict.trust.sha256)]
    if verdict.attestation_root is not None:
        roots.append(verdict.attestation_root)
    shown = [f'"{name}", sha256 {sha256 if whole else sha256[:12]}' for name, sha256 in roots]
    return f"UNDER CUSTOM TRUST {' and '.join(shown)}" if shown else None


def verdict_lines(verdict: Verdict, *, ascii_only: bool, colour: bool, width: int) -> list[str]:
    """The whole answer: checks, what to look at, findings, and the sentence of the level last."""
    headline = custom_trust(verdict, whole=True)
    lines = [] if headline is None else [plain(headline, ascii_only=ascii_only)]
    lines += render_checks(_shown(verdict.checks), ascii_only=ascii_only, colour=colour, width=width)
    if verdict.signature is not None:
        lines.append("")
        for name, value in claims_to_read(verdict.signature, public_log=verdict.trust.public_good):
            lines.append(plain(f"{name:<11}{value}", ascii_only=ascii_only))
    if verdict.findings:
        lines.append("")
        lines += render_findings(verdict.findings, ascii_only=ascii_only, colour=colour, width=width)
    return [*lines, "", plain(sentence(verdict), ascii_only=ascii_only)]


def _shown(checks: tuple[Check, ...]) -> list[Check]:
    """One line for an identity that passed whole; every line of a step that did not."""
    identity = [check for check in checks if check.step == "identity"]
    if len(identity) < 2 or any(check.status is not Status.PASS for check in identity):
        return list(checks)
    merged = Check(
        step="identity",
        code="identity",
        status=Status.PASS,
        message=" · ".join(check.message for check in identity[1:]),
    )
    first = checks.index(identity[0])
    rest = [check for check in checks[first:] if check.step != "identity"]
    return [*checks[:first], merged, *rest]


def claims_to_read(signature: VerifiedSignature, *, public_log: bool) -> list[tuple[str, str]]:
    """What the reader of a verdict must look at, each with value and link (all from the certificate)."""
    claims = signature.claims
    kept = time_text(signature.signed_at + LOG_KEPT_FOR)[:10]
    log = f"{_SEARCH}{signature.log_index}" if public_log else f"index {signature.log_index} (not public)"
    rows = [
        ("issuer", claims.issuer),
        ("source", _source_link(claims.source_repository_uri, claims.source_repository_digest)),
        ("ref", claims.source_repository_ref),
        ("signer", _workflow_link(claims.build_signer_uri, claims.build_signer_digest)),
        ("workflow", _workflow_link(claims.build_config_uri, claims.build_config_digest)),
        ("trigger", claims.build_trigger),
        ("runner", claims.runner_environment),
        (
            "run",
            claims.run_invocation_uri and f"{claims.run_invocation_uri}  (log kept by GitHub until {kept})",
        ),
        ("log", log),
        ("signed", time_text(signature.signed_at)),
    ]
    return [(name, value or "the certificate does not say") for name, value in rows]


def _source_link(repository: str | None, commit: str | None) -> str | None:
    return f"{repository}/tree/{commit}" if repository and commit else repository


def _workflow_link(uri: str | None, digest: str | None) -> str | None:
    """The workflow's file at the commit that ran."""
    parts = split_workflow_uri(uri) if uri else None
    if parts is None or digest is None:
        return uri
    return f"https://github.com/{parts.repository}/blob/{digest}/{parts.path}"


def sentence(verdict: Verdict) -> str:
    """The level in words that claim no more than was checked."""
    custom = custom_trust(verdict, whole=False)
    return _level_sentence(verdict) + (f" {custom}." if custom else "")


def _level_sentence(verdict: Verdict) -> str:
    failed = next((check for check in verdict.checks if check.status is Status.FAIL), None)
    if failed is not None:
        return f"REFUSED: {failed.message} [{failed.code}]. Nothing was saved."
    if not verdict.passed:
        return f"NOT REACHED: {verdict.required.value} was asked for, {verdict.level.value} was shown."
    if verdict.level is Level.ATTESTED_AT:
        return f"ATTESTED: an enclave with this image existed at {verdict.attested_at}. Nothing about now."
    if verdict.level is Level.LIVE_UNBOUND:
        return "LIVE, UNBOUND: this image answered our question. Who carries the connection was not checked."
    repository = next(
        (check.message for check in verdict.checks if check.code == "identity.repository"), "the repository"
    )
    return f"PROVENANCE: built by {repository}'s workflow; no running enclave was checked."


def verdict_record(verdict: Verdict) -> dict[str, object]:
    """The verdict as one JSON document."""
    signature = verdict.signature
    measurements = verdict.measurements
    return {
        "schema": SCHEMA,
        "level": verdict.level.value,
        "passed": verdict.passed,
        "required": verdict.required.value,
        "trust": {
            "name": verdict.trust.name,
            "sha256": verdict.trust.sha256,
            "custom": verdict.custom_trust,
            "attestationRoot": None
            if verdict.attestation_root is None
            else {"name": verdict.attestation_root[0], "sha256": verdict.attestation_root[1]},
        },
        "subject": {
            "reference": verdict.reference,
            "digest": verdict.digest,
            "measurements": None
            if measurements is None
            else {f"PCR{index}": value.hex() for index, value in measurements.by_index().items()},
        },
        "checks": [check_record(check) for check in verdict.checks],
        "claims": None
        if signature is None
        else {
            **signature.claims.present(),
            "log_index": signature.log_index,
            "signed_at": time_text(signature.signed_at),
        },
        "findings": [finding_record(finding) for finding in verdict.findings],
        "sentence": sentence(verdict),
    }
