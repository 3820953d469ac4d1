"""From a run or from files to an archive, and back: what is chosen, what is refused, what is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from glassclave.buildlog.collect import RunJob
from glassclave.buildlog.record import MAX_JOBS, MAX_STEPS, parse_record, record_digest
from glassclave.buildlog.text import MAX_TEXT, compress, decompress
from glassclave.errors import (
    GlassclaveError,
    LimitError,
    ParseError,
    RefusedError,
    UnavailableError,
    UsageError,
)
from glassclave.flows.log import LogArchive, collect_files, collect_run, load_archive, write_archive
from glassclave.oci.log_artifact import RECORD_NAME, TEXT_NAME
from tests.unit.flows.logged import RUN, STEPS, TEXT, Detector, Find, made


@dataclass
class Jobs:
    """A `JobLogs`. ``size``: of each log, instead of a small one."""

    jobs: tuple[RunJob, ...]
    size: int = 0
    fetched: list[int] = field(default_factory=list)

    def list_jobs(self, repository: str, run_id: int, attempt: int) -> tuple[RunJob, ...]:
        assert (repository, run_id, attempt) == (RUN.repository, RUN.run_id, RUN.attempt)
        return self.jobs

    def fetch_log(self, repository: str, job_id: int) -> bytes:
        self.fetched.append(job_id)
        return b"x" * self.size if self.size else b"log of %d\n" % job_id


def job(number: int, name: str, conclusion: str | None = "success") -> RunJob:
    return RunJob(name=name, job_id=number, conclusion=conclusion, steps=STEPS)


RUNNING = Jobs(
    (
        job(1, "call / build"),
        job(2, "test", "failure"),
        job(3, "lint", "skipped"),
        job(4, "sign", None),
        job(5, "other / build"),
    )
)


def collected(*wanted: str, jobs: Jobs = RUNNING) -> LogArchive:
    return collect_run(RUN, wanted, api=replace(jobs, fetched=[]), scanner=Detector())


def refusal(action: Callable[[], object], kind: type[GlassclaveError]) -> GlassclaveError:
    with pytest.raises(GlassclaveError) as error:
        action()
    assert type(error.value) is kind
    return error.value


def names(log: LogArchive) -> list[str]:
    return [one.name for one in log.record.jobs]


def test_all_that_have_ended_are_kept() -> None:
    log = collected()
    assert names(log) == ["call / build", "test", "other / build"]
    assert log.record.origin == "github-api"
    assert decompress(log.text_file, log.record.text_size) == b"log of 1\nlog of 2\nlog of 5\n"
    assert log.claim.sha256 == record_digest(log.record_file)
    assert log.claim.size == len(log.record_file)


def test_jobs_by_name_in_the_order_named() -> None:
    assert names(collected("test", "call / build")) == ["test", "call / build"]
    assert names(collected("test", "test")) == ["test"]


def test_a_job_of_a_called_workflow_by_its_own_name() -> None:
    assert names(collected("test", jobs=Jobs((job(1, "a / test"), job(2, "b / build"))))) == ["a / test"]
    both = Jobs((job(1, "a / test"), job(2, "test")))
    assert names(collected("test", jobs=both)) == ["test"], "a whole name first"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("gone", "log.job.unknown"),
        ("", "log.job.unknown"),
        ("build", "log.job.several"),
        ("sign", "log.job.running"),
        ("lint", "log.job.skipped"),
    ],
)
def test_a_job_that_cannot_be_meant(name: str, code: str) -> None:
    assert refusal(lambda: collected("test", name), UsageError).code == code


def test_nothing_has_ended() -> None:
    assert refusal(lambda: collected(jobs=Jobs((job(4, "sign", None),))), UsageError).code == "log.empty"


def test_no_more_is_fetched_than_is_kept() -> None:
    jobs = Jobs(tuple(job(number, f"j{number}") for number in range(1, 9)), size=MAX_TEXT // 2)
    error = refusal(lambda: collect_run(RUN, (), api=jobs, scanner=Detector()), LimitError)
    assert (error.code, jobs.fetched) == ("log.size", [1, 2, 3])


def kept(*files: tuple[str, bytes], finds: int = 0, name: str = "build") -> LogArchive:
    found = tuple(Find(number, f"kind {number}") for number in range(1, finds + 1))
    return collect_files(RUN, name, files, scanner=Detector(found))


def test_files_of_the_steps_of_a_job() -> None:
    log = kept(("Install", b"one"), ("Build", b"two\nthree\n"))
    (one,) = log.record.jobs
    assert (one.name, one.job_id, one.conclusion, log.record.origin) == ("build", None, None, "job")
    assert [(step.number, step.name, step.conclusion, step.lines) for step in one.steps] == [
        (1, "Install", None, 1),
        (2, "Build", None, 2),
    ]


@pytest.mark.parametrize(
    ("finds", "said"),
    [
        (1, "line 1 (kind 1)"),
        (5, "line 5 (kind 5)"),
        (7, "line 5 (kind 5) and 2 more"),
    ],
)
def test_secrets_are_told_by_place_and_not_kept(finds: int, said: str) -> None:
    error = refusal(lambda: kept(("Build", b"hunter2\n" * 9), finds=finds), RefusedError)
    assert error.code == "log.secret"
    assert error.message.endswith(said)
    assert "hunter2" not in f"{error} {error.hint}"


@pytest.mark.parametrize(
    ("name", "files", "said"),
    [
        ("x" * 1025, 1, "jobs[0].name"),
        ("\ud800", 1, "surrogate"),
        ("build", MAX_STEPS + 1, "jobs[0].steps"),
    ],
)
def test_a_record_that_nobody_could_read_is_not_made(name: str, files: int, said: str) -> None:
    error = refusal(lambda: kept(*[("s", b"x\n")] * files, name=name), RefusedError)
    assert error.code == "log.record"
    assert said in error.message


def test_more_jobs_than_a_record_names_are_refused_and_some_can_be_chosen() -> None:
    jobs = Jobs(tuple(job(number, f"j{number}") for number in range(1, MAX_JOBS + 2)))
    assert refusal(lambda: collected(jobs=jobs), RefusedError).code == "log.record"
    assert names(collected("j1", f"j{MAX_JOBS + 1}", jobs=jobs)) == ["j1", f"j{MAX_JOBS + 1}"]


def test_what_was_written_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    write_archive(made(), folder)
    assert load_archive(folder) == made()
    assert sorted(path.name for path in folder.iterdir()) == [RECORD_NAME, TEXT_NAME]
    write_archive(kept(("Build", b"x")), folder)
    assert load_archive(folder) == kept(("Build", b"x"))


def test_a_text_that_cannot_be_written_leaves_no_record(tmp_path: Path) -> None:
    write_archive(made(), tmp_path)
    (tmp_path / TEXT_NAME).unlink()
    (tmp_path / TEXT_NAME).mkdir()
    with pytest.raises(UnavailableError):
        write_archive(made(), tmp_path)
    assert not (tmp_path / RECORD_NAME).exists()


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        (TEXT_NAME, compress(TEXT.replace(b"make", b"fake")), "log.text.mismatch"),
        (TEXT_NAME, compress(TEXT + b"x"), "log.gzip"),
        (TEXT_NAME, b"", "log.gzip"),
        (RECORD_NAME, b"{}", "field.missing"),
        (RECORD_NAME, made().record_file.replace(b'"masks": 1', b'"masks": -1'), "field.range"),
    ],
)
def test_what_was_changed_is_not_loaded(name: str, data: bytes, code: str, tmp_path: Path) -> None:
    write_archive(made(), tmp_path)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ParseError) as error:
        load_archive(tmp_path)
    assert error.value.code == code


@pytest.mark.parametrize("name", [RECORD_NAME, TEXT_NAME])
def test_half_an_archive_is_none(name: str, tmp_path: Path) -> None:
    write_archive(made(), tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UnavailableError) as error:
        load_archive(tmp_path)
    assert error.value.code == "file.unreadable"


def test_what_an_archive_says_is_what_is_in_it() -> None:
    log = made()
    assert parse_record(log.record_file) == log.record
    assert decompress(log.text_file, log.record.text_size) == TEXT
