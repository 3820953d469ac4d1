from __future__ import annotations

import pytest

from glassclave.escaping import escape_bytes, escape_untrusted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – ünïcode 漢字", "plain – ünïcode 漢字"),
        ("\x1b[31mred", "\\u{1b}[31mred"),
        ("line\r\nbreak", "line\\u{d}\\u{a}break"),
        ("abc\u202egpj", "abc\\u{202e}gpj"),
        ("zero\u200bwidth", "zero\\u{200b}width"),
        ("\u2028\u2029\x85\x9b\ufeff", "\\u{2028}\\u{2029}\\u{85}\\u{9b}\\u{feff}"),
        ("\ud800", "\\u{d800}"),
        ("\U000e0041", "\\u{e0041}"),
    ],
)
def test_nothing_untrusted_moves_or_hides_output(text: str, shown: str) -> None:
    assert escape_untrusted(text) == shown


def test_long_text_is_cut_with_a_note() -> None:
    assert escape_untrusted("x" * 30, limit=10) == "x" * 10 + "… (20 more characters)"


def test_bytes_that_are_no_text_are_shown_as_bytes() -> None:
    assert escape_bytes(b"a\xff\x1b") == "a\\xff\\u{1b}"
