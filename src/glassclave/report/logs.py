"""The judged logs of an image as lines for people and as JSON (``docs/spec/log-verdict.schema.json``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from glassclave.attestation.content import time_text
from glassclave.policy.checks.log import SignedLog
from glassclave.provenance.evidence import TrustRoot
from glassclave.report.records import check_record
from glassclave.report.text import plain, render_checks

SCHEMA = "https://glassclave.github.io/spec/log-verdict-v1"


def log_lines(
    trust: TrustRoot, logs: Sequence[SignedLog], *, ascii_only: bool, colour: bool, width: int
) -> list[str]:
    """One line a log, then who signed it and when; the sentence last."""
    lines: list[str] = []
    for one in logs:
        kind = "whole run" if one.whole_run else "build"
        checks = [replace(check, step=kind) for check in one.judged.checks]
        lines += render_checks(checks, ascii_only=ascii_only, colour=colour, width=width)
        claims = one.signature.claims
        lines.append(plain(f"  signed by {claims.build_signer_uri or '?'}", ascii_only=ascii_only))
        run = claims.run_invocation_uri or "?"
        lines.append(plain(f"  at {time_text(one.signature.signed_at)}, run {run}", ascii_only=ascii_only))
    custom = "" if trust.public_good else f' UNDER CUSTOM TRUST "{trust.name}", sha256 {trust.sha256[:12]}.'
    failed = next((check for one in logs for check in one.judged.checks if not one.judged.passed), None)
    if failed is None:
        said = f"KEPT: {len(logs)} log{'s' if len(logs) > 1 else ''}, as signed. The image was not looked at."
    else:
        said = f"REFUSED: the log {failed.message} [{failed.code}]."
    return [*lines, "", plain(said + custom, ascii_only=ascii_only)]


def logs_record(
    reference: str, digest: str, trust: TrustRoot, logs: Sequence[SignedLog]
) -> dict[str, object]:
    """As one JSON document."""
    return {
        "schema": SCHEMA,
        "reference": reference,
        "digest": digest,
        "trust": {"name": trust.name, "sha256": trust.sha256, "custom": not trust.public_good},
        "passed": all(one.judged.passed for one in logs),
        "logs": [_log_record(one) for one in logs],
    }


def _log_record(one: SignedLog) -> dict[str, object]:
    record = one.judged.record
    return {
        "kind": "run" if one.whole_run else "build",
        "checks": [check_record(check) for check in one.judged.checks],
        "signer": one.signature.claims.build_signer_uri,
        "run": one.signature.claims.run_invocation_uri,
        "signedAt": time_text(one.signature.signed_at),
        "logIndex": one.signature.log_index,
        "lines": None if record is None else record.text_lines,
        "origin": None if record is None else record.origin,
        "jobs": None
        if record is None
        else [{"name": job.name, "conclusion": job.conclusion, "lines": job.lines} for job in record.jobs],
    }
