"""A build's log on its way into an archive: collected, looked through for secrets, written, loaded again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from glassclave.buildlog.collect import SKIPPED, CollectedLog, Run, RunJob, RunStep, collect_jobs
from glassclave.buildlog.record import (
    MAX_RECORD,
    LogRecord,
    Scan,
    parse_record,
    record_digest,
    record_json,
)
from glassclave.buildlog.text import MAX_COMPRESSED, MAX_TEXT, compress, decompress
from glassclave.errors import LimitError, ParseError, RefusedError, UsageError
from glassclave.oci.log_artifact import RECORD_NAME, TEXT_NAME
from glassclave.provenance.claimed import BuildLogClaim
from glassclave.streams import make_folder, read_small_file, write_atomically

_SHOWN = 5


class Secret(Protocol):
    """A find: line from 1, kind."""

    @property
    def line(self) -> int:
        """In the text that was looked through."""
        ...

    @property
    def kind(self) -> str:
        """The rule's name."""
        ...


class Scanner(Protocol):
    """Looks for secrets. `glassclave.clients.secret_scan.SecretScanner` does."""

    def scan(self, text: bytes) -> tuple[Scan, Sequence[Secret]]:
        """Who looked, and what was found."""
        ...


class JobLogs(Protocol):
    """Knows the jobs of a run. `glassclave.clients.github.GithubApi` does."""

    def list_jobs(self, repository: str, run_id: int, attempt: int) -> tuple[RunJob, ...]:
        """All of them, without logs."""
        ...

    def fetch_log(self, repository: str, job_id: int) -> bytes:
        """The log of one that has ended."""
        ...


@dataclass(frozen=True, slots=True)
class LogArchive:
    """A log that may be kept: its record's file, its text compressed, and the record read."""

    record_file: bytes
    text_file: bytes
    record: LogRecord

    @property
    def claim(self) -> BuildLogClaim:
        """What a statement says of it."""
        return BuildLogClaim(size=len(self.record_file), sha256=record_digest(self.record_file))


def collect_run(
    run: Run, wanted: Sequence[str], *, api: JobLogs, scanner: Scanner, runner: str | None = None
) -> LogArchive:
    """The logs of the jobs named, of all that have ended where none is. A name matches whole, or behind the
    last ``/`` of a job of a called workflow (``caller / build``). Where a run calls that workflow several
    times, ``runner``, the name of the machine that asks, says in which of the calls the job is.

    Raises `UsageError` ``log.job.*``, `RefusedError` ``log.secret``, and the API's errors.
    """
    jobs = api.list_jobs(run.repository, run.run_id, run.attempt)
    # A skipped job has no log.
    chosen = [job for job in jobs if job.conclusion not in (None, SKIPPED)]
    if wanted:
        chosen = list(dict.fromkeys(_named(jobs, name, _call_of(jobs, runner)) for name in wanted))
    logged: list[RunJob] = []
    room = MAX_TEXT
    for job in chosen:
        text = api.fetch_log(run.repository, job.job_id or 0)
        room -= len(text)
        if room < 0:  # before the rest is fetched, too
            raise LimitError("log.size", f"has more than the {MAX_TEXT} bytes that are kept", source="log")
        logged.append(replace(job, text=text))
    return archive(collect_jobs(run, "github-api", logged), scanner)


def _call_of(jobs: Sequence[RunJob], runner: str | None) -> str | None:
    """What stands before the names of all jobs of the call that asks: a machine runs one job at a time."""
    own = [job for job in jobs if job.conclusion is None and runner and job.runner == runner]
    return own[0].name.rpartition(" / ")[0] if len(own) == 1 else None


def _named(jobs: Sequence[RunJob], name: str, call: str | None) -> RunJob:
    found = [job for job in jobs if job.name == name] or [
        job for job in jobs if job.name.rpartition(" / ")[2] == name
    ]
    if len(found) > 1 and call is not None:
        found = [job for job in found if job.name.rpartition(" / ")[0] == call] or found
    if len(found) != 1:
        known = ", ".join(job.name for job in jobs[:20])
        raise UsageError(
            "log.job.unknown" if not found else "log.job.several",
            f"{len(found)} jobs of this run have that name",
            field=name[:200],
            hint=f"the run has: {known}",
        )
    if found[0].conclusion == SKIPPED:
        raise UsageError("log.job.skipped", "did not run: it has no log", field=name[:200])
    if found[0].conclusion is None:
        raise UsageError(
            "log.job.running",
            "has not ended: a log is whole only then",
            field=name[:200],
            hint="collect it in a job that `needs` this one",
        )
    return found[0]


def collect_files(run: Run, job: str, files: Sequence[tuple[str, bytes]], *, scanner: Scanner) -> LogArchive:
    """The log that a job kept of its own steps: pairs of a step's name and its text."""
    steps = tuple(
        RunStep(number=number, name=name, text=text) for number, (name, text) in enumerate(files, 1)
    )
    kept = RunJob(name=job, job_id=None, conclusion=None, steps=steps)
    return archive(collect_jobs(run, "job", [kept]), scanner)


def archive(log: CollectedLog, scanner: Scanner) -> LogArchive:
    """The archive of a log in which no secret is found.

    Raises `RefusedError` ``log.secret``: where, never what; ``log.record`` for a record that no reader would
    take: it would be signed and then believed by nobody.
    """
    scan, found = scanner.scan(log.text)
    if found:
        places = ", ".join(f"line {one.line} ({one.kind})" for one in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise RefusedError(
            "log.secret",
            f"the log seems to hold secrets: {places}{more}",
            hint="it was readable on GitHub: replace the secret, mask it (::add-mask::), and build again",
        )
    record = log.record(scan)
    data = record_json(record)
    try:
        parse_record(data)
    except ParseError as error:
        raise RefusedError(
            "log.record",
            f"the record of this log could not be read: {error}",
            hint="shorter names, or fewer jobs and steps (--job)",
        ) from error
    return LogArchive(data, compress(log.text), record)


def write_archive(log: LogArchive, folder: Path) -> None:
    """`build-log.json` and `build-log.txt.gz`; the record last, for without it there is no archive."""
    make_folder(folder)
    (folder / RECORD_NAME).unlink(missing_ok=True)
    for name, data in ((TEXT_NAME, log.text_file), (RECORD_NAME, log.record_file)):
        with write_atomically(folder / name) as file:
            file.write(data)


def load_archive(folder: Path) -> LogArchive:
    """What `write_archive` wrote. `ParseError` ``log.*``, `UnavailableError` ``file.*``."""
    path = folder / RECORD_NAME
    record_file = read_small_file(path, limit=MAX_RECORD)
    text_file = read_small_file(folder / TEXT_NAME, limit=MAX_COMPRESSED)
    record = parse_record(record_file, source=str(path))
    text = decompress(text_file, record.text_size)
    if hashlib.sha256(text).digest() != record.text_sha256:
        raise ParseError("log.text.mismatch", "the text is not the record's", source=str(folder / TEXT_NAME))
    return LogArchive(record_file, text_file, record)
