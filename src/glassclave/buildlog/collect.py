"""From the logs of jobs to one text with its record: pure, so that any origin gives the same archive."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from glassclave.buildlog.record import LoggedJob, LoggedStep, LogRecord, Scan
from glassclave.buildlog.text import (
    MASK,
    MAX_TEXT,
    NormalizedText,
    line_count,
    normalize_text,
    truncation_marks,
)
from glassclave.errors import LimitError, UsageError
from glassclave.sources import is_commit, is_repository

# What a runner writes before each line: RFC 3339 in UTC, with seven digits of a second.
_TIMED = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?Z ")
_BEGINS = (
    b"##[group]Run ", b"##[group]Prepare", b"Post job cleanup.",
    b"Evaluate and set job outputs", b"Cleaning up orphan processes",
)  # fmt: skip
"""How the first line of a step looks: that decides between steps of the same second."""
SKIPPED = "skipped"
_BEYOND = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """A step as the runner knows it. ``started_at``: RFC 3339 to the second, ``None`` for one that was
    skipped; ``text``: its own log, where steps have one each."""

    number: int
    name: str
    conclusion: str | None = None
    started_at: str | None = None
    text: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJob:
    """A job of a run. ``text``: its whole log, ``None`` where each step has its own; ``runner``: the name of
    the machine that runs it, where that is known."""

    name: str
    job_id: int | None
    conclusion: str | None
    steps: tuple[RunStep, ...]
    text: bytes | None = None
    runner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Which run of which workflow's repository; ``commit``: the one that started it.

    Raises `UsageError` ``log.run`` for one that no record could name.
    """

    repository: str
    run_id: int
    attempt: int
    commit: str

    def __post_init__(self) -> None:
        wrong = next(
            (
                name
                for name, right in (
                    ("repository", is_repository(self.repository)),
                    ("run", 1 <= self.run_id < _BEYOND),
                    ("attempt", 1 <= self.attempt < _BEYOND),
                    ("commit", is_commit(self.commit)),
                )
                if not right
            ),
            None,
        )
        if wrong is not None:
            raise UsageError(
                "log.run",
                "names no run: OWNER/NAME, two numbers from 1, and a commit of 40 or 64 hex digits",
                field=wrong,
            )


@dataclass(frozen=True, slots=True)
class CollectedLog:
    """A text, and the jobs that it is of; not yet looked through for secrets."""

    run: Run
    origin: str
    text: bytes
    removed: int
    replaced: int
    jobs: tuple[LoggedJob, ...]

    def record(self, scan: Scan) -> LogRecord:
        """The record, once somebody has looked for secrets."""
        return LogRecord(
            repository=self.run.repository,
            run_id=self.run.run_id,
            run_attempt=self.run.attempt,
            commit=self.run.commit,
            origin=self.origin,
            text_size=len(self.text),
            text_lines=line_count(self.text),
            text_sha256=hashlib.sha256(self.text).digest(),
            masks=self.text.count(MASK),
            removed=self.removed,
            replaced=self.replaced,
            truncated=truncation_marks(self.text),
            scan=scan,
            jobs=self.jobs,
        )


def collect_jobs(run: Run, origin: str, jobs: Sequence[RunJob]) -> CollectedLog:
    """The logs of ``jobs`` one behind the other. `UsageError` ``log.empty``, `LimitError` ``log.size``."""
    parts: list[NormalizedText] = []
    logged: list[LoggedJob] = []
    at = 1
    _check_size(jobs)
    for job in jobs:
        found, steps = _whole(job, at) if job.text is not None else _by_steps(job, at)
        parts += found
        lines = sum(line_count(part.data) for part in found)
        logged.append(
            LoggedJob(
                name=job.name,
                job_id=job.job_id,
                conclusion=job.conclusion,
                first_line=at,
                lines=lines,
                steps=steps,
            )
        )
        at += lines
        if sum(len(part.data) for part in parts) > MAX_TEXT:
            raise LimitError("log.size", f"has more than the {MAX_TEXT} bytes that are kept", source="log")
    text = b"".join(part.data for part in parts)
    if not text:
        raise UsageError("log.empty", "there is no line to keep", hint="name a job that has ended, or a file")
    removed, replaced = sum(part.removed for part in parts), sum(part.replaced for part in parts)
    return CollectedLog(run, origin, text, removed, replaced, tuple(logged))


def _check_size(jobs: Sequence[RunJob]) -> None:
    """Before anything is done with them."""
    size = sum(len(job.text or b"") + sum(len(step.text or b"") for step in job.steps) for job in jobs)
    if size > MAX_TEXT:
        raise LimitError("log.size", f"has {size} bytes, at most {MAX_TEXT} are kept", source="log")


def _by_steps(job: RunJob, at: int) -> tuple[list[NormalizedText], tuple[LoggedStep, ...]]:
    parts = [normalize_text(step.text or b"", source=step.name) for step in job.steps]
    steps: list[LoggedStep] = []
    for step, part in zip(job.steps, parts, strict=True):
        lines = line_count(part.data)
        steps.append(_logged(step, at, lines))
        at += lines
    return parts, tuple(steps)


def _whole(job: RunJob, at: int) -> tuple[list[NormalizedText], tuple[LoggedStep, ...]]:
    """A log that has no marks between steps: a line belongs to the last step that had begun at its time."""
    part = normalize_text(job.text or b"", source=job.name)
    lines = part.data.split(b"\n")[:-1]
    starts = _starts([step for step in job.steps if _ran(step)], lines)
    spans = pairwise([*starts, len(lines)])
    logged: list[LoggedStep] = []
    end = 0
    for step in job.steps:
        start, end = next(spans) if _ran(step) else (end, end)
        logged.append(_logged(step, at + start, end - start))
    return [part], tuple(logged)


def _ran(step: RunStep) -> bool:
    return bool(step.started_at) and step.conclusion != SKIPPED


def _starts(steps: Sequence[RunStep], lines: Sequence[bytes]) -> list[int]:
    """Index of each step's first line, never before that of the step before it."""
    seconds: list[bytes] = []
    known = b""
    for line in lines:
        match = _TIMED.match(line)
        known = match[1] if match else known  # lines without a time go on with what was before
        seconds.append(known)
    starts: list[int] = []
    at = 0
    for step in steps:
        begun = (step.started_at or "").removesuffix("Z").encode()[:19]
        while at < len(lines) and seconds[at] < begun:
            at += 1
        # What the runner says before the first step is that step's.
        at = (_mark(lines, seconds, at, begun) or at) if starts else 0
        starts.append(at)
        at = _past_the_mark(lines, seconds, at, begun)
    return starts


def _past_the_mark(lines: Sequence[bytes], seconds: Sequence[bytes], at: int, begun: bytes) -> int:
    """The next line at which another step may begin, in the second in which this one did; else the one behind
    that second. A step that ran has at least one line."""
    mark = _mark(lines, seconds, at + 1, begun)
    if mark is not None:
        return mark
    at = min(at + 1, len(lines))
    while at < len(lines) and seconds[at] <= begun:
        at += 1
    return at


def _mark(lines: Sequence[bytes], seconds: Sequence[bytes], at: int, begun: bytes) -> int | None:
    """The first line from ``at`` that looks like a step's first, not after the second in which it began."""
    while at < len(lines) and seconds[at] <= begun:
        said = lines[at][len(match[0]) :] if (match := _TIMED.match(lines[at])) else lines[at]
        if said.startswith(_BEGINS):
            return at
        at += 1
    return None


def _logged(step: RunStep, first: int, lines: int) -> LoggedStep:
    return LoggedStep(
        number=step.number, name=step.name, conclusion=step.conclusion, first_line=first, lines=lines
    )
