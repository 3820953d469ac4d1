"""A rebuild that did not come out as published, told where people look: an issue of the repository."""

from __future__ import annotations

import base64
import binascii
from typing import Protocol

from glassclave.errors import ParseError, UsageError
from glassclave.oci.reference import Reference
from glassclave.report.rebuild import MAX_REPORT
from glassclave.results import Issue

RESULTS = {"different": "cannot be built again", "refused": "does not verify any more"}
"""What is worth an issue, and what it is called."""


class Issues(Protocol):
    """What is asked of GitHub."""

    def find_open(self, repository: str, title: str) -> Issue | None:
        """The oldest open issue of ours with exactly this title."""
        ...

    def create(self, repository: str, title: str, body: str) -> Issue:
        """A new issue."""
        ...

    def comment(self, repository: str, issue: Issue, body: str) -> None:
        """A comment on an issue."""
        ...


def issue_title(reference: Reference, result: str) -> str:
    """The same every week. `UsageError` ``issue.result`` where there is nothing to tell."""
    if result not in RESULTS:
        raise UsageError("issue.result", f"an issue is for {' or '.join(RESULTS)}", field=result[:40])
    return f"Enclave image {reference} {RESULTS[result]}"


def decode_report(text: str) -> str:
    """The report as it came from another job: Base64 of UTF-8, no longer than `rebuild_markdown` writes it.

    Raises `ParseError` ``issue.report``.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
        report = data.decode("utf-8")
    except (UnicodeError, binascii.Error) as error:
        raise ParseError("issue.report", "the report is not Base64 of UTF-8") from error
    if not 0 < len(data) <= MAX_REPORT:
        raise ParseError("issue.report", f"the report has {len(data):,} bytes, 1 to {MAX_REPORT:,} are taken")
    return report


def tell(issues: Issues, repository: str, title: str, body: str) -> tuple[Issue, bool]:
    """Open an issue, or comment on the open one of that title; whether it was opened."""
    found = issues.find_open(repository, title)
    if found is None:
        return issues.create(repository, title, body), True
    issues.comment(repository, found, body)
    return found, False
