"""Which line is whose: logs as GitHub's API hands them out, and steps as it lists them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from glassclave.buildlog.collect import CollectedLog, Run, RunJob, RunStep, collect_jobs
from glassclave.buildlog.record import Scan
from glassclave.buildlog.text import MAX_TEXT
from glassclave.errors import LimitError, UsageError

RUN = Run(repository="acme/hello", run_id=777, attempt=1, commit="7f3e" * 10)
SCAN = Scan(detector="kingfisher", version="2.14.0", rules=900)


def line(second: int, said: str, fraction: str = ".1234567") -> str:
    return f"2026-11-24T10:00:{second:02}{fraction}Z {said}\n"


def step(number: int, second: int | None, name: str = "", conclusion: str | None = "success") -> RunStep:
    began = None if second is None else f"2026-11-24T10:00:{second:02}Z"
    return RunStep(number=number, name=name or f"step {number}", conclusion=conclusion, started_at=began)


def job(text: str, *steps: RunStep) -> RunJob:
    return RunJob(name="build", job_id=5, conclusion="success", steps=steps, text=text.encode())


def spans(text: str, *steps: RunStep) -> list[tuple[int, int]]:
    """First line and number of lines of each step."""
    (logged,) = collect_jobs(RUN, "github-api", [job(text, *steps)]).jobs
    return [(one.first_line, one.lines) for one in logged.steps]


LOG = (
    "\ufeff"
    + line(0, "Current runner version: '2.330.0'")
    + line(0, "##[group]Runner Image")
    + line(1, "Complete job name: build")
    + line(2, "##[group]Run actions/checkout@v6")
    + line(3, "Syncing repository: acme/hello")
    + line(4, "##[group]Run make")
    + line(4, "\x1b[36;1mmake\x1b[0m")
    + line(5, "cc -o hello hello.c")
    + line(6, "Post job cleanup.")
    + line(6, "Cleaning up orphan processes")
)
STEPS = (
    step(1, 0, "Set up job"),
    step(2, 2, "Run actions/checkout@v6"),
    step(3, 4, "Run make"),
    step(9, 6, "Post Run actions/checkout@v6"),
    step(10, 6, "Complete job"),
)


def test_the_log_of_a_job() -> None:
    assert spans(LOG, *STEPS) == [(1, 3), (4, 2), (6, 3), (9, 1), (10, 1)]


def test_windows_line_ends_change_nothing() -> None:
    assert spans(LOG.replace("\n", "\r\n"), *STEPS) == spans(LOG, *STEPS)


def test_steps_of_the_same_second_begin_at_their_first_lines() -> None:
    text = "".join(
        line(7, said)
        for said in ("Prepare", "##[group]Run a", "a", "##[group]Run b", "b", "b", "##[group]Run c")
    )
    assert spans(text, *(step(number, 7) for number in (1, 2, 3, 4))) == [(1, 1), (2, 2), (4, 3), (7, 1)]


def test_what_a_step_says_in_the_second_of_the_next_stays_its_own() -> None:
    text = line(1, "##[group]Run a") + line(3, "a", ".1") + line(3, "##[group]Run b", ".2") + line(4, "b")
    assert spans(text, step(1, 1), step(2, 3)) == [(1, 2), (3, 2)]


def test_without_a_first_line_that_is_known_the_second_decides() -> None:
    text = line(1, "a") + line(3, "b") + line(3, "b")
    assert spans(text, step(1, 1), step(2, 3)) == [(1, 1), (2, 2)]


def test_a_skipped_step_has_no_lines() -> None:
    text = line(1, "##[group]Run a") + line(2, "##[group]Run c") + line(2, "c")
    found = spans(text, step(1, 1), step(2, 1, conclusion="skipped"), step(3, None), step(4, 2))
    assert found == [(1, 1), (2, 0), (2, 0), (2, 2)]


def test_a_line_without_a_time_goes_on_with_what_was_before() -> None:
    text = "first\n" + line(1, "##[error]one") + "two\nthree\n" + line(2, "##[group]Run b") + "b\n"
    assert spans(text, step(1, 1), step(2, 2)) == [(1, 4), (5, 2)]


@pytest.mark.parametrize("fraction", ["", ".1", ".123456", ".1234567", ".123456789"])
def test_any_fraction_of_a_second_is_read(fraction: str) -> None:
    text = line(1, "a", fraction) + line(2, "b", fraction)
    assert spans(text, step(1, 1), step(2, 2)) == [(1, 1), (2, 1)]


def test_steps_after_the_last_line_have_none() -> None:
    assert spans(line(1, "a"), step(1, 1), step(2, 5), step(3, 9)) == [(1, 1), (2, 0), (2, 0)]


def test_steps_that_do_not_follow_each_other_in_time_lie_one_behind_the_other() -> None:
    text = "".join(line(second, "x") for second in range(10))
    found = spans(text, step(1, 8), step(2, 3), step(3, 5))
    ends = [first + lines for first, lines in found]
    assert [first for first, _ in found][1:] == ends[:-1]
    assert ends[-1] == 11


def test_two_steps_of_one_number_have_lines_of_their_own() -> None:
    text = line(1, "a") + line(2, "b") + line(3, "c")
    assert spans(text, step(1, 1), step(2, 2), step(2, 3)) == [(1, 1), (2, 1), (3, 1)]


def test_a_time_that_is_none_is_the_last() -> None:
    odd = RunStep(number=2, name="odd", conclusion="success", started_at="yesterday é")
    assert spans(line(1, "a") + line(2, "b"), step(1, 1), odd) == [(1, 2), (3, 0)]


def test_a_job_of_which_no_step_ran_has_lines_of_nobody() -> None:
    log = collect_jobs(RUN, "github-api", [job("a\nb\n", step(1, None))])
    assert (log.jobs[0].lines, log.jobs[0].steps[0].lines) == (2, 0)


def kept(*texts: bytes) -> CollectedLog:
    steps = tuple(RunStep(number=n, name=f"s{n}", text=text) for n, text in enumerate(texts, 1))
    return collect_jobs(RUN, "job", [RunJob(name="build", job_id=None, conclusion=None, steps=steps)])


def test_steps_with_logs_of_their_own() -> None:
    log = kept(b"a\nb", b"", b"\xef\xbb\xbfc\r\n")
    assert log.text == b"a\nb\nc\n"
    assert [(one.first_line, one.lines) for one in log.jobs[0].steps] == [(1, 2), (3, 0), (3, 1)]


def test_jobs_follow_each_other() -> None:
    log = collect_jobs(RUN, "github-api", [job("a\nb\n"), replace(job(""), name="empty"), job("c\n")])
    assert [(one.first_line, one.lines) for one in log.jobs] == [(1, 2), (3, 0), (3, 1)]


def test_the_record_says_what_the_text_is() -> None:
    log = kept(b"\x1b[31m***\xff ***\n[truncated]\n")
    record = log.record(SCAN)
    assert record.text_sha256 == hashlib.sha256(log.text).digest()
    assert (record.text_size, record.text_lines, record.masks) == (len(log.text), 2, 2)
    assert (record.removed, record.replaced, record.truncated) == (5, 1, (2,))
    assert record.run_uri == "https://github.com/acme/hello/actions/runs/777/attempts/1"


@pytest.mark.parametrize("texts", [(), (b"",), (b"", b"\xef\xbb\xbf"), (b"\x1b[0m",)])
def test_a_log_without_a_line_is_none(texts: tuple[bytes, ...]) -> None:
    with pytest.raises(UsageError) as error:
        kept(*texts)
    assert error.value.code == "log.empty"


def test_more_than_is_kept_is_refused_in_all() -> None:
    half = b"x" * (MAX_TEXT // 2)
    with pytest.raises(LimitError) as error:
        kept(half, half, b"y")
    assert error.value.code == "log.size"
    with pytest.raises(LimitError) as error:
        kept(b"\xff" * (MAX_TEXT // 4), b"\xff" * (MAX_TEXT // 4))  # three bytes each, in the end
    assert error.value.code == "log.size"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"repository": "acme"}, "repository"),
        ({"repository": "../evil"}, "repository"),
        ({"repository": "acme/hello\n"}, "repository"),
        ({"run_id": 0}, "run"),
        ({"run_id": -777}, "run"),
        ({"run_id": 1 << 63}, "run"),
        ({"attempt": 0}, "attempt"),
        ({"commit": "main"}, "commit"),
        ({"commit": "7F3E" * 10}, "commit"),
    ],
)
def test_a_run_that_no_record_could_name_is_refused(change: dict[str, object], field: str) -> None:
    with pytest.raises(UsageError) as error:
        replace(RUN, **change)  # type: ignore[arg-type]  # of every field, one at a time
    assert (error.value.code, error.value.field) == ("log.run", field)
