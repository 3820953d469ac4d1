"""Records as JSON values, the same in every document that the command line prints."""

from __future__ import annotations

import json

from glassclave.results import Check, Finding


def check_record(check: Check) -> dict[str, object]:
    """``{step, code, status, message, expected, actual}``; absent values are null."""
    return {
        "step": check.step,
        "code": check.code,
        "status": check.status.value,
        "message": check.message,
        "expected": check.expected,
        "actual": check.actual,
    }


def finding_record(finding: Finding) -> dict[str, object]:
    """``{code, severity, message, where}``."""
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "message": finding.message,
        "where": finding.where,
    }


def json_text(value: object) -> str:
    """``value`` as one JSON document in ASCII, DEL escaped too: safe to show on any terminal."""
    return json.dumps(value, indent=2, ensure_ascii=True).replace("\x7f", "\\u007f")
