"""A record is read strictly: each test changes one thing of a good one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from glassclave.buildlog.record import (
    LoggedJob,
    LoggedStep,
    LogRecord,
    Scan,
    parse_record,
    record_digest,
    record_json,
)
from glassclave.errors import LimitError, ParseError

STEPS = (
    LoggedStep(number=1, name="Set up job", conclusion="success", first_line=1, lines=2),
    LoggedStep(number=2, name="Run make", conclusion="success", first_line=3, lines=3),
)
RECORD = LogRecord(
    repository="acme/hello",
    run_id=777,
    run_attempt=1,
    commit="7f3e" * 10,
    origin="github-api",
    text_size=60,
    text_lines=6,
    text_sha256=bytes(range(32)),
    masks=1,
    removed=2,
    replaced=3,
    truncated=(6,),
    scan=Scan(detector="kingfisher", version="2.14.0", rules=900),
    jobs=(
        LoggedJob(name="build", job_id=5, conclusion="success", first_line=1, lines=5, steps=STEPS),
        LoggedJob(name="after", job_id=None, conclusion=None, first_line=6, lines=1, steps=()),
    ),
)
Document = dict[str, Any]


def changed(change: Callable[[Document], object]) -> bytes:
    document: Document = json.loads(record_json(RECORD))
    change(document)
    return json.dumps(document).encode()


def test_what_was_written_is_read() -> None:
    data = record_json(RECORD)
    assert parse_record(data) == RECORD
    assert data.isascii()
    assert data.endswith(b"}\n")
    assert record_digest(data).hex() == "4f4d5ee2ade401224cef5e435ef6ccb9341273c9b79af8fd79e1400258a4d795"


def test_names_are_anybodys() -> None:
    jobs = (replace(RECORD.jobs[0], name="\x1b[2J\u202e\n::error::x 🙂"), RECORD.jobs[1])
    record = replace(RECORD, jobs=jobs)
    data = record_json(record)
    assert parse_record(data) == record
    assert data.isascii() and b"\x1b" not in data


def put(name: str, value: object) -> Callable[[Document], object]:
    def change(document: Document) -> None:
        *path, last = name.split(".")
        inside: Any = document
        for part in path:
            inside = inside[int(part) if part.isdecimal() else part]
        inside[last] = value

    return change


def drop(name: str) -> Callable[[Document], object]:
    def change(document: Document) -> None:
        *path, last = name.split(".")
        inside: Any = document
        for part in path:
            inside = inside[int(part) if part.isdecimal() else part]
        del inside[last]

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (put("schema", "https://glassclave.github.io/spec/build-log/v2"), "log.record"),
        (put("more", 1), "field.unknown"),
        (put("run.more", 1), "field.unknown"),
        (put("text.more", 1), "field.unknown"),
        (put("scan.more", 1), "field.unknown"),
        (put("jobs.0.more", 1), "field.unknown"),
        (put("jobs.0.steps.0.more", 1), "field.unknown"),
        (drop("repository"), "field.missing"),
        (drop("scan"), "field.missing"),
        (drop("jobs.0.id"), "field.missing"),
        (drop("jobs.0.conclusion"), "field.missing"),
        (drop("jobs.0.steps.0.conclusion"), "field.missing"),
        (put("repository", "acme"), "log.record"),
        (put("repository", "acme/hello/x"), "log.record"),
        (put("repository", "acme/hello\n"), "log.record"),
        (put("commit", "7f3e"), "log.record"),
        (put("commit", "7F3E" * 10), "log.record"),
        (put("origin", "elsewhere"), "log.record"),
        (put("run.id", 0), "field.range"),
        (put("run.id", "777"), "field.type"),
        (put("run.id", True), "field.type"),
        (put("run.attempt", 0), "field.range"),
        (put("text.size", -1), "field.range"),
        (put("text.size", 1 << 63), "field.range"),
        (put("text.size", 60.0), "field.type"),
        (put("text.lines", 7), "log.record"),
        (put("text.lines", 10**18), "log.record"),
        (put("text.sha256", "00" * 31), "hex.size"),
        (put("text.sha256", bytes(range(32)).hex().upper()), "log.record"),
        (put("text.truncated", [0]), "log.record"),
        (put("text.truncated", [7]), "log.record"),
        (put("text.truncated", [True]), "log.record"),
        (put("text.truncated", ["1"]), "log.record"),
        (put("scan.rules", 0), "field.range"),
        (put("scan.rules", None), "field.type"),
        (put("scan.detector", None), "field.type"),
        (put("jobs", []), "log.record"),
        (put("jobs.0.id", 0), "field.range"),
        (put("jobs.0.firstLine", 0), "field.range"),
        (put("jobs.0.firstLine", 2), "log.record"),
        (put("jobs.0.lines", 4), "log.record"),
        (put("jobs.1.firstLine", 7), "log.record"),
        (put("jobs.1.firstLine", 5), "log.record"),
        (put("jobs.1.lines", 0), "log.record"),
        (put("jobs.1.lines", 10**18), "log.record"),
        (put("jobs.0.steps.0.firstLine", 0), "field.range"),
        (put("jobs.0.steps.0.lines", 3), "log.record"),
        (put("jobs.0.steps.1.firstLine", 2), "log.record"),
        (put("jobs.0.steps.1.lines", 4), "log.record"),
        (put("jobs.0.steps.1.firstLine", 10**18), "log.record"),
        (put("jobs.0.steps.0.number", -1), "field.range"),
        (put("jobs.0.name", "\ud800"), "json.encoding"),
    ],
)
def test_what_is_not_exactly_right_is_refused(change: Callable[[Document], object], code: str) -> None:
    with pytest.raises(ParseError) as error:
        parse_record(changed(change))
    assert error.value.code == code


def test_a_log_of_nobody_is_none() -> None:
    def empty(document: Document) -> None:
        document["jobs"].clear()
        document["text"] |= {"lines": 0, "truncated": []}

    with pytest.raises(ParseError, match="must name a job"):
        parse_record(changed(empty))


def test_a_gap_between_steps_is_the_jobs() -> None:
    """What the runner says before and behind its steps."""
    assert parse_record(changed(put("jobs.0.steps.1.lines", 1))).jobs[0].steps[1].lines == 1


EMPTY_JOB: Document = {
    "name": "x", "id": None, "conclusion": None, "firstLine": 7, "lines": 0, "steps": [],
}  # fmt: skip
EMPTY_STEP: Document = {"number": 3, "name": "x", "conclusion": None, "firstLine": 6, "lines": 0}


@pytest.mark.parametrize(
    ("most", "beyond"),
    [
        (
            lambda document: document["jobs"].extend([EMPTY_JOB] * 254),
            lambda document: document["jobs"].extend([EMPTY_JOB] * 255),
        ),
        (
            lambda document: document["jobs"][0]["steps"].extend([EMPTY_STEP] * 998),
            lambda document: document["jobs"][0]["steps"].extend([EMPTY_STEP] * 999),
        ),
        (put("text.truncated", [1] * 256), put("text.truncated", [1] * 257)),
        *(
            (put(name, "x" * 1024), put(name, "x" * 1025))
            for name in (
                "scan.detector",
                "scan.version",
                "jobs.0.name",
                "jobs.0.conclusion",
                "jobs.0.steps.0.name",
                "jobs.0.steps.0.conclusion",
            )
        ),
    ],
)
def test_as_much_as_is_read_and_one_more(
    most: Callable[[Document], object], beyond: Callable[[Document], object]
) -> None:
    parse_record(changed(most))
    with pytest.raises(LimitError) as error:
        parse_record(changed(beyond))
    assert error.value.code == "field.size"


def test_the_longest_record_is_read_and_a_byte_more_is_not() -> None:
    longest = record_json(RECORD).ljust(1 << 20)
    assert parse_record(longest) == RECORD
    with pytest.raises(LimitError) as error:
        parse_record(longest + b" ")
    assert error.value.code == "json.size"


@pytest.mark.parametrize("name", ["run.id", "run.attempt", "scan.rules", "jobs.0.id"])
def test_what_is_counted_from_one_may_be_one(name: str) -> None:
    parse_record(changed(put(name, 1)))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b'{"schema": NaN}', b"[" * 5000])
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse_record(data)
