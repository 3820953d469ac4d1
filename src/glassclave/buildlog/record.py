"""The record of a log (``docs/spec/build-log-v1.md``): of which run it is, and what the text is.

Its SHA-256 is what a signed statement names; the text hangs on it by its own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from glassclave.errors import ParseError
from glassclave.fields import Fields, parse_json
from glassclave.sources import is_commit, is_repository

SCHEMA = "https://glassclave.github.io/spec/build-log/v1"
"""Also the predicate type of a statement about a log."""
ORIGINS = ("github-api", "job")
"""Who hands the text over: GitHub's API after a job's end, or the job itself, of its own steps."""
MAX_RECORD = 1 << 20
MAX_JOBS = 256
MAX_STEPS = 1000
MAX_NAME = 1024
"""Characters of a name."""

_SHA256_SIZE = 32
_MAX_MARKS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedStep:
    """A step; its lines are numbered from 1 in the whole text. ``conclusion``: ``None`` where nobody says."""

    number: int
    name: str
    conclusion: str | None
    first_line: int
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedJob:
    """A job, ``job_id`` ``None`` for one that kept its log itself."""

    name: str
    job_id: int | None
    conclusion: str | None
    first_line: int
    lines: int
    steps: tuple[LoggedStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Who looked for secrets in the text and found none: name, version, number of rules."""

    detector: str
    version: str
    rules: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """``text_size``, ``text_lines``, ``text_sha256`` (32 bytes): of the normalised text, not compressed.

    ``masks``: places where the runner hid a secret; ``removed``, ``replaced``: characters that normalising
    took out and bytes that were no UTF-8; ``truncated``: lines that say that something was left out.
    """

    repository: str
    run_id: int
    run_attempt: int
    commit: str
    origin: str
    text_size: int
    text_lines: int
    text_sha256: bytes
    masks: int
    removed: int
    replaced: int
    truncated: tuple[int, ...]
    scan: Scan
    jobs: tuple[LoggedJob, ...]

    @property
    def run_uri(self) -> str:
        """As a certificate's claim names the run."""
        return f"https://github.com/{self.repository}/actions/runs/{self.run_id}/attempts/{self.run_attempt}"


def record_json(record: LogRecord) -> bytes:
    """The record's file: ASCII JSON, keys in the order of the specification, one line end."""
    document = {
        "schema": SCHEMA,
        "repository": record.repository,
        "run": {"id": record.run_id, "attempt": record.run_attempt},
        "commit": record.commit,
        "origin": record.origin,
        "text": {
            "size": record.text_size,
            "lines": record.text_lines,
            "sha256": record.text_sha256.hex(),
            "masks": record.masks,
            "removed": record.removed,
            "replaced": record.replaced,
            "truncated": list(record.truncated),
        },
        "scan": {
            "detector": record.scan.detector,
            "version": record.scan.version,
            "rules": record.scan.rules,
        },
        "jobs": [
            {
                "name": job.name,
                "id": job.job_id,
                "conclusion": job.conclusion,
                "firstLine": job.first_line,
                "lines": job.lines,
                "steps": [_step_record(step) for step in job.steps],
            }
            for job in record.jobs
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"


def record_digest(data: bytes) -> bytes:
    """32 bytes of SHA-256 of a record's file: what a statement names."""
    return hashlib.sha256(data).digest()


def parse_record(data: bytes, *, source: str = "log record") -> LogRecord:
    """Strictly read: an unknown, missing or contradicting field is an error.

    Raises `ParseError` ``json.*``, ``field.*``, ``hex.*``, ``log.record``.
    """
    fields = Fields.of(parse_json(data, source=source, limit=MAX_RECORD), source=source)
    fields.only("schema", "repository", "run", "commit", "origin", "text", "scan", "jobs")
    run, text, scan = fields.child("run"), fields.child("text"), fields.child("scan")
    run.only("id", "attempt")
    text.only("size", "lines", "sha256", "masks", "removed", "replaced", "truncated")
    scan.only("detector", "version", "rules")
    _demand(fields, "schema", fields.text("schema") == SCHEMA, f"must be {SCHEMA}")
    _demand(fields, "repository", is_repository(fields.text("repository")), "must be OWNER/NAME")
    _demand(fields, "commit", is_commit(fields.text("commit")), "must be 40 or 64 lower-case hex digits")
    _demand(fields, "origin", fields.text("origin") in ORIGINS, f"must be one of {', '.join(ORIGINS)}")
    sha256 = text.text("sha256")
    _demand(text, "sha256", sha256 == sha256.lower(), "must be lower-case")
    record = LogRecord(
        repository=fields.text("repository"),
        run_id=run.integer("id", least=1),
        run_attempt=run.integer("attempt", least=1),
        commit=fields.text("commit"),
        origin=fields.text("origin"),
        text_size=text.integer("size"),
        text_lines=text.integer("lines"),
        text_sha256=text.hex("sha256", size=_SHA256_SIZE),
        masks=text.integer("masks"),
        removed=text.integer("removed"),
        replaced=text.integer("replaced"),
        truncated=_line_numbers(text, text.integer("lines")),
        scan=Scan(
            detector=scan.text("detector", limit=MAX_NAME),
            version=scan.text("version", limit=MAX_NAME),
            rules=scan.integer("rules", least=1),
        ),
        jobs=tuple(_parse_job(job) for job in fields.objects("jobs", limit=MAX_JOBS)),
    )
    _cover(fields, record)
    return record


def _step_record(step: LoggedStep) -> dict[str, object]:
    return {
        "number": step.number,
        "name": step.name,
        "conclusion": step.conclusion,
        "firstLine": step.first_line,
        "lines": step.lines,
    }


def _demand(fields: Fields, name: str, holds: object, message: str) -> None:
    if not holds:
        raise ParseError("log.record", message, field=fields.at(name), source=fields.source)


def _line_numbers(text: Fields, lines: int) -> tuple[int, ...]:
    numbers: list[int] = []
    for number in text.array("truncated", limit=_MAX_MARKS):
        right = isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= lines
        _demand(text, "truncated", right, "must hold numbers of lines")
        assert isinstance(number, int)  # noqa: S101 - just demanded
        numbers.append(number)
    return tuple(numbers)


def _parse_job(fields: Fields) -> LoggedJob:
    fields.only("name", "id", "conclusion", "firstLine", "lines", "steps")
    fields.value("id"), fields.value("conclusion")
    job = LoggedJob(
        name=fields.text("name", limit=MAX_NAME),
        job_id=fields.integer("id", least=1) if fields.has("id") else None,
        conclusion=fields.optional_text("conclusion", limit=MAX_NAME),
        first_line=fields.integer("firstLine", least=1),
        lines=fields.integer("lines"),
        steps=tuple(_parse_step(step) for step in fields.objects("steps", limit=MAX_STEPS)),
    )
    at = job.first_line
    for step in job.steps:
        _demand(fields, "steps", step.first_line >= at, "must lie one behind the other")
        at = step.first_line + step.lines
    _demand(fields, "steps", at <= job.first_line + job.lines, "must lie inside of their job")
    return job


def _parse_step(fields: Fields) -> LoggedStep:
    fields.only("number", "name", "conclusion", "firstLine", "lines")
    fields.value("conclusion")
    return LoggedStep(
        number=fields.integer("number"),
        name=fields.text("name", limit=MAX_NAME),
        conclusion=fields.optional_text("conclusion", limit=MAX_NAME),
        first_line=fields.integer("firstLine", least=1),
        lines=fields.integer("lines"),
    )


def _cover(fields: Fields, record: LogRecord) -> None:
    """No line of the text belongs to nobody: jobs follow each other from the first line to the last."""
    at = 1
    _demand(fields, "jobs", record.jobs, "must name a job")
    for job in record.jobs:
        _demand(fields, "jobs", job.first_line == at, "must follow each other without gap")
        at += job.lines
    _demand(fields, "jobs", at == record.text_lines + 1, "must cover the text to its end")
