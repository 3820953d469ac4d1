"""What came from outside, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glassclave.provenance.container import ContainerClaim
from glassclave.provenance.outside import OutsideClaim, listed
from glassclave.report.html import verdict_page
from glassclave.report.outside import NOT_SEEN, outside_lines, outside_short
from glassclave.report.page import page_of
from glassclave.report.summary import summary_markdown
from tests.unit.attestation.forge import NOW
from tests.unit.flows.published import whole
from tests.unit.provenance.predicates import OUTSIDE, SIGNED
from tests.unit.report.test_summary import JOB

ROWS = [
    "+ dpkg jq 1.6 (layer 3)",
    "~ dpkg curl 7 -> 8 (layer 3)",
    "- pip requests 2.31.0 (layer 4)",
    f"git /srv/.git at {'7f' * 20} of https://x/y (layer 3)",
    "may fetch, line 7: curl -O https://example.org/x",
    "not read: /var/lib/rpm/Packages: not read [packages.rpm.form] (layer 4)",
]


def container(outside: OutsideClaim | None = OUTSIDE) -> ContainerClaim:
    assert SIGNED.claimed.container is not None
    return replace(SIGNED.claimed.container, outside=outside)


def test_one_line_and_all_of_it() -> None:
    lines = outside_lines(container(), most=20)
    assert lines == [
        f"from outside the repository: {outside_short(container())}",
        f"  image debian:12, sha256:{'5a' * 32}",
        "  image local, digest not known",
        "  added https://example.org/x",
        *(f"  {row}" for row in ROWS),
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "3 package changes (2 dpkg, 1 pip), 1 git repository"),
        ({"packages": replace(OUTSIDE.packages, count=9)}, "9 package changes (2 dpkg, 1 pip, and more)"),
        ({"base_layers": None}, "(2 dpkg, 1 pip; those of the base too, whose layers are not known)"),
        ({"packages": listed((), room=0)}, "2 base images, 1 address, 1 git repository, 1 command"),
    ],
)
def test_how_much_is_said(change: dict[str, object], said: str) -> None:
    assert said in outside_short(container(replace(OUTSIDE, **change)))  # type: ignore[arg-type]


def test_nothing_is_said_to_be_nothing_that_can_be_seen() -> None:
    none = replace(
        OUTSIDE,
        packages=listed((), room=0),
        repositories=listed((), room=0),
        commands=listed((), room=0),
        unread=listed((), room=0),
    )
    bare = replace(container(none), bases=(), added=())
    assert outside_short(bare) == "nothing that can be seen"
    assert outside_short(replace(bare, outside=None)) == "nothing that can be seen in the Dockerfile"


def test_what_is_left_out_is_counted() -> None:
    lines = outside_lines(container(), most=1)
    assert lines[4:6] == [f"  {ROWS[0]}", "  and 2 more, in the statement or counted there"]
    assert lines[6:] == [f"  {row}" for row in ROWS[3:]]


def test_the_summary_lists_it_under_its_heading() -> None:
    said = summary_markdown(JOB)
    section = said.partition("### From outside the repository\n")[2]
    for row in (
        "\\+ dpkg jq 1.6 \\(layer 3\\)",
        "may fetch, line 7: curl \\-O https://example.org/x",
        "/srv/.git at",
    ):
        assert row in section
    assert NOT_SEEN in section
    assert "base's layers are not known" not in section
    unknown = replace(OUTSIDE, base_layers=None)
    assert "base's layers are not known" in summary_markdown(replace(JOB, container=container(unknown)))


def test_the_page_counts_it_and_lists_it() -> None:
    verdict = whole().verify().verdict
    rows = {row.name: row for row in page_of(verdict, at=NOW).content}
    row = rows["From outside the repository"]
    assert row.text == outside_short(container())
    assert NOT_SEEN in (row.note or "")
    page = verdict_page(verdict, at=NOW)
    assert "<summary>From outside the repository</summary>" in page
    assert "may fetch, line 7: curl -O https://example.org/x" in page
