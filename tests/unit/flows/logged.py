"""A log of the run of `published.GOOD`, a detector that finds what it is told to, and an image with a log."""

from __future__ import annotations

from dataclasses import dataclass, replace

from glassclave.buildlog.collect import Run, RunJob, RunStep, collect_jobs
from glassclave.buildlog.record import LogRecord, Scan, record_json
from glassclave.flows.log import LogArchive, archive
from glassclave.provenance.claimed import BuildLogClaim
from glassclave.provenance.claims import Claims
from glassclave.provenance.logged import LOG_PREDICATE_TYPE, log_predicate
from glassclave.provenance.predicate import MeasurementPredicate
from glassclave.provenance.statement import build_statement
from tests.unit.flows.published import COMMIT, GOOD, NAME, Published, seal

RUN = Run(repository="acme/hello", run_id=777, attempt=1, commit=COMMIT)
SCAN = Scan(detector="kingfisher", version="2.14.0", rules=488)
TEXT = (
    b"2026-11-23T06:10:00.0000000Z Set up\n"
    b"2026-11-23T06:10:01.0000000Z ##[group]Run make\n"
    b"2026-11-23T06:10:02.0000000Z token ***\n"
)
STEPS = (
    RunStep(number=1, name="Set up job", conclusion="success", started_at="2026-11-23T06:10:00Z"),
    RunStep(number=2, name="Run make", conclusion="success", started_at="2026-11-23T06:10:01Z"),
)


@dataclass(frozen=True)
class Find:
    """A `Secret`."""

    line: int
    kind: str


@dataclass(frozen=True)
class Detector:
    """A `Scanner`."""

    finds: tuple[Find, ...] = ()

    def scan(self, text: bytes) -> tuple[Scan, tuple[Find, ...]]:
        return SCAN, self.finds


def job(name: str = "build", *, conclusion: str | None = "success", text: bytes = TEXT) -> RunJob:
    return RunJob(name=name, job_id=5, conclusion=conclusion, steps=STEPS, text=text)


def made(*jobs: RunJob, run: Run = RUN) -> LogArchive:
    """The archive of these jobs, of one that went well where there is none."""
    return archive(collect_jobs(run, "github-api", jobs or (job(),)), Detector())


def bent(log: LogArchive, **change: object) -> LogArchive:
    """With another record, as somebody writes it who may sign it: nothing is compared with the text."""
    record: LogRecord = replace(log.record, **change)  # type: ignore[arg-type]  # of any field
    return LogArchive(record_json(record), log.text_file, record)


def state(published: Published, claim: BuildLogClaim | None, claims: Claims = GOOD, *, log: int = 3) -> None:
    """A measurement statement that names a log."""

    def bend(predicate: MeasurementPredicate) -> MeasurementPredicate:
        return replace(predicate, claimed=replace(predicate.claimed, build_log=claim))

    published.state(claims, log=log, bend=bend)


def state_run(
    published: Published,
    predicate: BuildLogClaim | dict[str, object],
    claims: Claims = GOOD,
    *,
    log: int = 9,
    digest: str | None = None,
    kind: str = LOG_PREDICATE_TYPE,
) -> None:
    """A statement about the log of a whole run."""
    said = predicate if isinstance(predicate, dict) else log_predicate(predicate)
    statement = build_statement(NAME, (digest or published.digest)[7:], said, predicate_type=kind)
    published.refer(seal(statement, claims, log=log))


def with_log(log: LogArchive | None = None, *, stated: BuildLogClaim | None = None) -> Published:
    """Published and signed with a log, as `glassclave publish --log` does it. ``stated``: another claim."""
    kept = log or made()
    published = Published()
    published.sign()
    published.keep_log(kept.record_file, kept.text_file)
    state(published, stated or kept.claim)
    return published
