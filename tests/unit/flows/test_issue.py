"""An issue of a rebuild: one a title, then comments; the report of another job is not believed."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

import pytest

from glassclave.errors import ParseError, UsageError
from glassclave.flows.issue import decode_report, issue_title, tell
from glassclave.oci.reference import parse_reference
from glassclave.report.rebuild import MAX_REPORT
from glassclave.results import Issue

REFERENCE = parse_reference("ghcr.io/acme/hello:1.2")


@dataclass
class MemoryIssues:
    """`Issues`."""

    open: dict[str, Issue] = field(default_factory=dict)
    said: list[tuple[int, str]] = field(default_factory=list)

    def find_open(self, repository: str, title: str) -> Issue | None:
        return self.open.get(title)

    def create(self, repository: str, title: str, body: str) -> Issue:
        self.open[title] = Issue(len(self.open) + 1, "https://github.com/acme/hello/issues/1")
        self.said.append((0, body))
        return self.open[title]

    def comment(self, repository: str, issue: Issue, body: str) -> None:
        self.said.append((issue.number, body))


def test_the_second_week_is_a_comment() -> None:
    issues = MemoryIssues()
    title = issue_title(REFERENCE, "different")
    assert [tell(issues, "acme/hello", title, str(week))[1] for week in range(3)] == [True, False, False]
    assert issues.said == [(0, "0"), (1, "1"), (1, "2")]
    assert tell(issues, "acme/hello", issue_title(REFERENCE, "refused"), "x")[1]


@pytest.mark.parametrize("result", ["equal", "", "Different", "different\n"])
def test_only_what_did_not_come_out_is_told(result: str) -> None:
    with pytest.raises(UsageError) as caught:
        issue_title(REFERENCE, result)
    assert caught.value.code == "issue.result"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_report_of_another_job() -> None:
    assert decode_report(encoded("§\n".encode())) == "§\n"
    assert len(decode_report(encoded(b"x" * MAX_REPORT))) == MAX_REPORT


@pytest.mark.parametrize(
    "text", ["", "x", "§", encoded(b"\xff"), encoded(b"x" * (MAX_REPORT + 1)), encoded(b"a") + "\n"]
)
def test_what_is_no_report_is_not_written_into_an_issue(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        decode_report(text)
    assert caught.value.code == "issue.report"
