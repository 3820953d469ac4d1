"""Checks and findings as lines of text: one check a line, its name in a column, the reason code at the end.

Nothing untrusted leaves unescaped, colour is never the only sign, and values that somebody may want to copy
are not broken over lines.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from glassclave.escaping import escape_untrusted
from glassclave.results import Check, Finding, Severity, Status

NAME_WIDTH = 12
"""Columns of the step's name, one blank included: the longest steps are ``connection`` and ``statement``."""

_SIGNS = {Status.PASS: "✓", Status.FAIL: "✗", Status.NOT_CHECKED: "–"}
_ASCII_SIGNS = {Status.PASS: "ok  ", Status.FAIL: "FAIL", Status.NOT_CHECKED: "--  "}
_COLOURS = {Status.PASS: "32", Status.FAIL: "1;31", Status.NOT_CHECKED: "33"}
_SEVERITY_COLOURS = {Severity.NOTE: "36", Severity.WARNING: "33", Severity.ERROR: "1;31"}
_TYPOGRAPHY = str.maketrans(
    {"…": "...", "–": "-", "·": "-", "→": "->", "≥": ">=", "≤": "<=", "’": "'", "“": '"', "”": '"', "×": "x"}
)


def render_checks(checks: Iterable[Check], *, ascii_only: bool, colour: bool, width: int) -> list[str]:
    """One line a check, in the given order; more lines only where the text is wider than ``width``.

    A failing check also shows what was expected and what was found, and ends with its reason code.
    ``ascii_only``: only ASCII comes out. ``colour``: ANSI colours around the sign and the code.
    """
    return [
        line
        for check in checks
        for line in _render_check(check, ascii_only=ascii_only, colour=colour, width=max(width, 40))
    ]


def render_findings(findings: Iterable[Finding], *, ascii_only: bool, colour: bool, width: int) -> list[str]:
    """One line a finding: severity, message, where, code."""
    lines: list[str] = []
    for finding in findings:
        where = f" ({finding.where})" if finding.where else ""
        label = finding.severity.value
        body = _wrap(plain(finding.message + where, ascii_only=ascii_only), width - 10) or [""]
        painted = _paint(label, _SEVERITY_COLOURS[finding.severity], colour) + " " * (10 - len(label))
        block = [painted + body[0], *(" " * 10 + line for line in body[1:])]
        lines += _end_with(block, len(body[-1]) + 10, plain(finding.code, ascii_only=ascii_only), width)
    return lines


def plain(text: str, *, ascii_only: bool) -> str:
    """``text`` escaped for showing; with ``ascii_only``, typography spelt out and the rest as ``\\u{…}``."""
    shown = escape_untrusted(text, limit=4096)
    if not ascii_only:
        return shown
    spelt = shown.translate(_TYPOGRAPHY)
    return "".join(char if char.isascii() else f"\\u{{{ord(char):x}}}" for char in spelt)


def _render_check(check: Check, *, ascii_only: bool, colour: bool, width: int) -> list[str]:
    sign = (_ASCII_SIGNS if ascii_only else _SIGNS)[check.status]
    name = plain(check.step, ascii_only=ascii_only)
    indent = len(sign) + 1 + max(NAME_WIDTH, len(name) + 1)
    body = _body(check, ascii_only=ascii_only, room=width - indent)
    first = f"{_paint(sign, _COLOURS[check.status], colour)} {name:<{indent - len(sign) - 1}}{body[0]}"
    lines = [first.rstrip(), *(" " * indent + line for line in body[1:])]
    if check.status is not Status.FAIL:
        return lines
    code = plain(check.code, ascii_only=ascii_only)
    return _end_with(lines, indent + len(body[-1]), code, width, colour=_COLOURS[check.status], on=colour)


def _body(check: Check, *, ascii_only: bool, room: int) -> list[str]:
    """The message, and for a failure what was wanted and what was found: on one line where it fits."""
    message = plain(check.message, ascii_only=ascii_only)
    pairs = (("expected", check.expected), ("got", check.actual))
    # "built in B, wanted A" is not said again.
    told = check.message.endswith(f"{check.actual}, wanted {check.expected}")
    values = [
        f"{label} {plain(value, ascii_only=ascii_only)}"
        for label, value in pairs
        if check.status is Status.FAIL and value is not None and not told
    ]
    short = f"{message}: {', '.join(values)}"
    if values and len(short) + len(check.code) + 2 <= room:
        return [short]
    return [*(_wrap(message, room) or [""]), *values]


def _end_with(
    lines: list[str], used: int, code: str, width: int, *, colour: str = "", on: bool = False
) -> list[str]:
    """``code`` at the right edge of the last line (``used`` columns wide), or alone on the next."""
    painted = _paint(code, colour, on)
    if used + 2 + len(code) <= width:
        return [*lines[:-1], lines[-1] + " " * (width - used - len(code)) + painted]
    return [*lines, " " * max(0, width - len(code)) + painted]


def _wrap(text: str, room: int) -> list[str]:
    return textwrap.wrap(text, max(room, 20), break_long_words=False, break_on_hyphens=False)


def _paint(text: str, colour: str, on: bool) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if on and text else text
