"""Lines of checks: what a person sees, in colour or not, in ASCII or not, wide or narrow."""

from __future__ import annotations

import pytest

from glassclave.report.text import plain, render_checks, render_findings
from glassclave.results import Check, Finding, Severity, Status

PASSED = Check(
    step="artifact", code="artifact.digest", status=Status.PASS, message="hello@sha256:9b1c… read once"
)
FAILED = Check(
    step="identity", code="identity.repository.mismatch", status=Status.FAIL, message="built in acme/evil"
)
LEFT_OUT = Check(step="connection", code="binding", status=Status.NOT_CHECKED, message="not checked")
LONG = Check(
    step="PCR0",
    code="attestation.pcr0.mismatch",
    status=Status.FAIL,
    message="another image",
    expected="a" * 96,
    actual="b" * 96,
)


def lines(*checks: Check, ascii_only: bool = False, colour: bool = False, width: int = 80) -> list[str]:
    return render_checks(checks, ascii_only=ascii_only, colour=colour, width=width)


def test_one_line_a_check_in_the_given_order_with_names_in_a_column() -> None:
    assert lines(PASSED, FAILED, LEFT_OUT) == [
        "✓ artifact    hello@sha256:9b1c… read once",
        "✗ identity    built in acme/evil                    identity.repository.mismatch",
        "– connection  not checked",
    ]


def test_a_failure_ends_with_its_code_at_the_edge_or_on_a_line_of_its_own() -> None:
    assert len(lines(FAILED)[0]) == 80
    narrow = lines(FAILED, width=50)
    assert narrow == ["✗ identity    built in acme/evil", " " * 22 + "identity.repository.mismatch"]


def test_expected_and_actual_stand_beside_short_messages_and_below_long_ones() -> None:
    short = Check(
        step="age", code="age.old", status=Status.FAIL, message="too old", expected="300 s", actual="9 h"
    )
    assert lines(short)[0].startswith("✗ age         too old: expected 300 s, got 9 h ")
    assert [line.strip() for line in lines(LONG)] == [
        "✗ PCR0        another image",
        "expected " + "a" * 96,
        "got " + "b" * 96,
        "attestation.pcr0.mismatch",
    ]


def test_passing_checks_do_not_show_values() -> None:
    passed = Check(step="x", code="x", status=Status.PASS, message="fine", expected="1", actual="1")
    assert lines(passed) == ["✓ x           fine"]


def test_ascii_means_ascii() -> None:
    odd = Check(step="übel", code="x", status=Status.PASS, message="a → b “c” 雪")
    text = "\n".join(lines(PASSED, FAILED, LEFT_OUT, odd, ascii_only=True))
    assert text.isascii()
    assert text.splitlines()[0] == "ok   artifact    hello@sha256:9b1c... read once"
    assert text.splitlines()[1].startswith("FAIL identity")
    assert '\\u{fc}bel   a -> b "c" \\u{96ea}' in text


def test_colour_adds_nothing_but_colour() -> None:
    plain_lines = lines(PASSED, FAILED, LEFT_OUT, LONG)
    coloured = lines(PASSED, FAILED, LEFT_OUT, LONG, colour=True)
    assert coloured != plain_lines
    stripped = "\n".join(coloured)
    for code in ("32", "1;31", "33", "0"):
        stripped = stripped.replace(f"\x1b[{code}m", "")
    assert stripped == "\n".join(plain_lines)


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\u202e", "a\nb", "\x7f", "\r", "\u2028"])
def test_nothing_untrusted_reaches_the_terminal_as_it_is(hostile: str) -> None:
    check = Check(
        step=f"s{hostile}",
        code=f"c{hostile}",
        status=Status.FAIL,
        message=f"m{hostile}",
        expected=hostile,
        actual=hostile,
    )
    finding = Finding(code=f"c{hostile}", severity=Severity.NOTE, message=hostile, where=hostile)
    for line in [
        *lines(check, width=200),
        *render_findings([finding], ascii_only=False, colour=False, width=80),
        plain(hostile, ascii_only=False),
    ]:
        assert hostile not in line
        assert "\\u{" in line or line.strip() == "m"


def test_findings_have_severity_place_and_code() -> None:
    found = Finding(code="a.b", severity=Severity.WARNING, message="odd", where="pcrs[4]")
    assert render_findings([found], ascii_only=False, colour=False, width=60) == [
        "warning   odd (pcrs[4])" + " " * 34 + "a.b"
    ]
