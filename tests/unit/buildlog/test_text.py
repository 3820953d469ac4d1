"""Texts as runners and the commands of a build print them; what is kept of them is safe to show."""

from __future__ import annotations

import gzip
import time
import zlib

import pytest

from glassclave.buildlog.text import (
    MAX_COMPRESSED,
    MAX_TEXT,
    compress,
    decompress,
    line_count,
    normalize_text,
    truncation_marks,
)
from glassclave.errors import LimitError, ParseError

T = "2026-11-24T10:00:00.1234567Z "


@pytest.mark.parametrize(
    ("raw", "kept", "removed"),
    [
        ("", "", 0),
        (f"\ufeff{T}one\n", f"{T}one\n", 0),
        (f"\ufeff{T}one\r\n{T}two\r\n", f"{T}one\n{T}two\n", 0),
        (f"{T}10 %\r20 %\r\n", f"{T}10 %\n20 %\n", 0),
        ("no end", "no end\n", 0),
        (f"{T}\n", f"{T}\n", 0),
        (f"{T}\x1b[36;1mmake all\x1b[0m\n", f"{T}make all\n", 11),
        (f"{T}\x1b[?25l\x1b[2K\x1b[1A=> done\n", f"{T}=> done\n", 14),
        ("\x1b]8;;https://example.org\x07link\x1b]8;;\x1b\\\n", "link\n", 32),
        ("a\x9b31mb\x9d0;title\x9cc\n", "abc\n", 13),
        ("a\x1b(Bb\x1b7c\x1bMd\x1b\n", "abcd\n", 8),
        ("a\x1b[12", "a12\n", 2),
        ("tab\tstays, \x00\x08\x0b\x0c\x7f\x85go\n", "tab\tstays, go\n", 6),
        ("evil\u202etxt.exe\u2066\u200b\u00ad\n", "eviltxt.exe\n", 4),
        ("tag\U000e0041\U000e007f\n", "tag\n", 2),
        ("one\u2028two\u2029three\n", "onetwothree\n", 2),
        ("ünï 🙂 漢字\n", "ünï 🙂 漢字\n", 0),
        ("a\ufeffb\n", "ab\n", 1),
        ("\x1b\x1b[[31mx\n", "31mx\n", 4),
    ],
)  # fmt: skip
def test_what_is_kept(raw: str, kept: str, removed: int) -> None:
    found = normalize_text(raw.encode())
    assert (found.data.decode(), found.removed, found.replaced) == (kept, removed, 0)
    assert normalize_text(found.data).data == found.data


def test_what_is_taken_out_leaves_no_sequence_behind() -> None:
    found = normalize_text("a\x1b[\x1b[31m31mb\x9b\x9b0mc".encode())
    assert b"\x1b" not in found.data
    assert normalize_text(found.data).data == found.data


def test_a_sequence_without_end_takes_no_line_with_it() -> None:
    """`ESC ]` before lines that nobody is to read."""
    found = normalize_text(b"\x1b]0;one\ntwo\nthree\x07\n")
    assert found.data == b"0;one\ntwo\nthree\n"


def test_bytes_that_are_no_utf8_are_counted() -> None:
    found = normalize_text(b"a\xff\xfeb\xe2\x82\n" + "\ufffd".encode())
    assert (found.data.decode(), found.replaced) == ("a\ufffd\ufffdb\ufffd\n\ufffd\n", 3)


def test_secrets_stay_masked() -> None:
    assert normalize_text(b"token \x1b[31m***\x1b[0m\n").data == b"token ***\n"


def test_blocks_are_not_seen() -> None:
    """Lines longer and shorter than what is worked on at once."""
    raw = "ü\x1b[0m".encode() * 400_000 + b"\r\n" + b"x\r\n" * 600_000 + b"\xf0\x9f\n"
    found = normalize_text(raw)
    assert found.data == "ü".encode() * 400_000 + b"\n" + b"x\n" * 600_000 + "\ufffd\n".encode()
    assert (found.removed, found.replaced) == (1_600_000, 1)


@pytest.mark.parametrize(
    "piece", ["\x9d", "\x1b]", "\x9b", "\x1b[0", "\x1b", "\x1b ", "\x1b]\x9d", "\r", "\x9b;", "\x1b[ "]
)
def test_no_text_takes_more_time_than_its_length(piece: str) -> None:
    raw = piece.encode() * (2_000_000 // len(piece.encode()))
    started = time.process_time()
    normalize_text(raw)
    assert time.process_time() - started < 10


def test_a_text_that_is_too_large_is_refused() -> None:
    with pytest.raises(LimitError) as error:
        normalize_text(b"x" * (MAX_TEXT + 1))
    assert error.value.code == "log.size"


def test_a_text_that_grows_too_large_is_refused() -> None:
    with pytest.raises(LimitError) as error:
        normalize_text(b"\xff" * (MAX_TEXT // 3 + 1))
    assert error.value.code == "log.size"


def test_lines_are_counted() -> None:
    assert [line_count(text) for text in (b"", b"\n", b"a\nb\n")] == [0, 1, 2]


def test_what_was_left_out_is_found() -> None:
    text = (
        b"one\n#7 [output clipped, log limit 2MiB reached]\nlog output was truncated, [truncated]\n"
        b"[output clipped, log limit\n2MiB reached]\nLOG TRUNCATED\n"
    )
    assert truncation_marks(text) == (2, 3, 6)
    assert truncation_marks(b"[truncated]\n" * 1000) == tuple(range(1, 257))


def test_compressed_is_the_same_everywhere() -> None:
    data = compress(b"a line\n" * 1000)
    assert data == compress(b"a line\n" * 1000)
    assert gzip.decompress(data) == b"a line\n" * 1000
    assert data[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"  # no name, no time
    assert decompress(data, 7000) == b"a line\n" * 1000


TEXT = b"a line\n" * 100
GOOD = compress(TEXT)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (GOOD, 699),
        (GOOD, 701),
        (GOOD, 0),
        (GOOD + b"\0", 700),
        (GOOD + GOOD, 700),
        (GOOD + GOOD, 1400),
        (GOOD[:-1], 700),
        (GOOD[:-5] + bytes([GOOD[-5] ^ 1]) + GOOD[-4:], 700),
        (GOOD[:-1] + b"\1", 700),
        (zlib.compress(TEXT), 700),
        (TEXT, 700),
        (b"", 0),
        (b"", 700),
    ],
)
def test_what_is_not_exactly_that_text_is_refused(data: bytes, size: int) -> None:
    with pytest.raises(ParseError) as error:
        decompress(data, size)
    assert error.value.code == "log.gzip"


def test_an_empty_text_is_one() -> None:
    assert decompress(compress(b""), 0) == b""


@pytest.mark.parametrize(
    ("data", "size"), [(GOOD, MAX_TEXT + 1), (b"\0" * (MAX_COMPRESSED + 1), 1), (GOOD, 1 << 62)]
)
def test_more_than_is_read_is_refused(data: bytes, size: int) -> None:
    with pytest.raises(LimitError) as error:
        decompress(data, size)
    assert error.value.code == "log.size"
