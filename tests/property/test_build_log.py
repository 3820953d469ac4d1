"""Whatever a build prints and an API says of its steps: a log that can be kept, shown and read back."""

from __future__ import annotations

import contextlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassclave.buildlog.collect import Run, RunJob, RunStep, collect_jobs
from glassclave.buildlog.record import LogRecord, Scan, parse_record, record_json
from glassclave.buildlog.text import MAX_TEXT, compress, decompress, line_count, normalize_text
from glassclave.errors import GlassclaveError

RUN = Run(repository="acme/hello", run_id=777, attempt=1, commit="7f3e" * 10)
SCAN = Scan(detector="kingfisher", version="2.14.0", rules=900)
PIECES = (
    *"\r\n\t\x00\x07\x08\x0b\x1b\x7f\x85\x90\x9b\x9c\x9d[]();0m?\\ aé漢🙂",
    *"\u061c\u200b\u200e\u202e\u2028\u2066\u206f\ufeff\ufffd\ufff9\U000e0041",
    *("\r\n", "\x1b[", "\x1b]0;", "\x1b\\", "***", "[truncated]", "::error::", "##[group]Run a"),
    *(f"2026-11-24T10:00:0{second}.1234567Z " for second in range(4)),
)
PRINTED = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
RAW = st.one_of(st.binary(max_size=200), PRINTED.map(str.encode))
HIDES = frozenset({"Cc", "Zl", "Zp", "Cs"})
DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
NAMES = st.text(max_size=12)
TIMES = st.none() | st.sampled_from([f"2026-11-24T10:00:0{second}Z" for second in range(4)]) | NAMES
CONCLUSIONS = st.sampled_from([None, "success", "failure", "skipped", "cancelled"])


@st.composite
def steps(draw: st.DrawFn, *, texts: bool) -> RunStep:
    return RunStep(
        number=draw(st.integers(0, 9)),
        name=draw(NAMES),
        conclusion=draw(CONCLUSIONS),
        started_at=draw(TIMES),
        text=draw(RAW) if texts else None,
    )


@st.composite
def jobs(draw: st.DrawFn) -> RunJob:
    whole = draw(st.booleans())
    return RunJob(
        name=draw(NAMES),
        job_id=draw(st.none() | st.integers(1, 1 << 40)),
        conclusion=draw(CONCLUSIONS),
        steps=tuple(draw(st.lists(steps(texts=not whole), max_size=6))),
        text=draw(RAW) if whole else None,
    )


@given(RAW)
def test_normalised_twice_is_the_same_and_nothing_hides(raw: bytes) -> None:
    once = normalize_text(raw)
    again = normalize_text(once.data)
    assert (again.data, again.removed) == (once.data, 0)
    text = once.data.decode("utf-8")
    assert {char for char in text if unicodedata.category(char) in HIDES} <= {"\n", "\t"}
    assert DIRECTIONS.isdisjoint(text)
    assert once.data == b"" or once.data.endswith(b"\n")
    assert once.removed >= 0 and once.replaced >= 0


@given(RAW)
def test_no_line_is_lost(raw: bytes) -> None:
    ends = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n")
    assert line_count(normalize_text(raw).data) in (ends, ends + 1)


@given(st.lists(jobs(), max_size=4))
def test_every_line_is_of_one_job_and_of_no_two_steps(run: list[RunJob]) -> None:
    try:
        log = collect_jobs(RUN, "github-api", run)
    except GlassclaveError as error:
        assert error.code == "log.empty"
        return
    seen: list[int] = []
    for job, asked in zip(log.jobs, run, strict=True):
        whole = list(range(job.first_line, job.first_line + job.lines))
        parts = [line for step in job.steps for line in range(step.first_line, step.first_line + step.lines)]
        ran = asked.text is None or any(one.started_at and one.conclusion != "skipped" for one in asked.steps)
        assert parts == (whole if ran else [])
        assert [step.number for step in job.steps] == [step.number for step in asked.steps]
        seen += whole
    assert seen == list(range(1, line_count(log.text) + 1))
    record = log.record(SCAN)
    assert parse_record(record_json(record)) == record


def sample() -> tuple[LogRecord, bytes]:
    step = RunStep(number=1, name="Run make", conclusion="success", started_at="2026-11-24T10:00:01Z")
    text = b"2026-11-24T10:00:00Z a\n2026-11-24T10:00:02Z b ***\n"
    job = RunJob(name="build", job_id=5, conclusion="success", steps=(step,), text=text)
    record = collect_jobs(RUN, "github-api", [job]).record(SCAN)
    return record, record_json(record)


RECORD, FILE = sample()
PACKED = compress(b"a line\n" * 20)


@given(st.integers(0, len(FILE) * 8 - 1))
def test_a_record_with_one_bit_changed_is_another_or_none(bit: int) -> None:
    data = bytearray(FILE)
    data[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(GlassclaveError):
        assert parse_record(bytes(data)) != RECORD or bytes(data).split() == FILE.split()


@given(st.binary(max_size=300) | st.recursive(st.none(), st.lists).map(lambda value: repr(value).encode()))
def test_no_record_raises_anything_untyped(data: bytes) -> None:
    with pytest.raises(GlassclaveError):
        parse_record(data)


@given(st.data())
def test_a_record_with_any_value_anywhere(data: st.DataObject) -> None:
    values = st.one_of(
        st.sampled_from(
            ["null", "true", "-1", "1e3", "1e999", "9" * 30, '""', "[]", "{}", '"\\ud800"', "NaN"]
        )
    )
    spots = [at for at in range(len(FILE)) if FILE[at : at + 2] == b": "]
    at = data.draw(st.sampled_from(spots)) + 2
    end = min(FILE.find(b",", at) % len(FILE), FILE.find(b"\n", at))
    with contextlib.suppress(GlassclaveError):
        parse_record(FILE[:at] + data.draw(values).encode() + FILE[end:])


@given(st.binary(max_size=2000))
def test_what_was_compressed_comes_back(text: bytes) -> None:
    assert decompress(compress(text), len(text)) == text


@given(st.binary(max_size=200), st.integers(0, MAX_TEXT * 2))
def test_no_archive_raises_anything_untyped(data: bytes, size: int) -> None:
    with pytest.raises(GlassclaveError):
        decompress(data, size)


@given(st.integers(0, len(PACKED) * 8 - 1), st.integers(0, 300))
def test_a_text_with_one_bit_changed_is_the_same_or_none(bit: int, size: int) -> None:
    data = bytearray(PACKED)
    data[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(GlassclaveError):
        assert decompress(bytes(data), size) == b"a line\n" * 20  # of the header nothing is in the text


def test_a_bomb_takes_no_more_than_was_announced() -> None:
    import tracemalloc

    bomb = compress(b"\0" * MAX_TEXT)
    tracemalloc.start()
    try:
        with pytest.raises(GlassclaveError):
            decompress(bomb, 1000)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
