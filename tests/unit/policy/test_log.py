"""How a log is judged, apart from any registry: what cannot be read is a failed check, and all is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glassclave.policy.checks.log import check_ends, check_log, check_run, describe_log, refused_log
from glassclave.results import Status
from tests.unit.flows.logged import RUN, TEXT, bent, job, made
from tests.unit.flows.published import GOOD

LOG = made()


def test_what_passes_has_record_and_text() -> None:
    judged = check_log(LOG.claim, LOG.record_file, LOG.text_file, GOOD, ended_well=True)
    assert judged.passed
    assert (judged.record, judged.text) == (LOG.record, TEXT)
    assert [check.status for check in judged.checks] == [Status.PASS]


@pytest.mark.parametrize("text", [b"", b"\0" * 100, LOG.text_file[:-1], LOG.text_file * 2])
@pytest.mark.parametrize("record", [LOG.record_file, b"", b"\xff", b"[]"])
def test_what_fails_has_neither(record: bytes, text: bytes) -> None:
    judged = check_log(LOG.claim, record, text, GOOD, ended_well=True)
    assert not judged.passed
    assert (judged.record, judged.text) == (None, None)
    (check,) = judged.checks
    assert check.status is Status.FAIL


def test_what_is_expected_and_what_is_there_are_told() -> None:
    judged = check_log(LOG.claim, b"{}", LOG.text_file, GOOD, ended_well=True)
    (check,) = judged.checks
    assert check.expected == LOG.claim.sha256.hex()
    assert check.actual is not None and check.actual != check.expected


def test_a_record_of_the_stated_size_is_not_yet_the_stated_record() -> None:
    record = LOG.record_file.replace(b"777", b"778")
    assert len(record) == LOG.claim.size
    for judged in (
        check_log(LOG.claim, record, LOG.text_file, GOOD, ended_well=True),
        check_log(replace(LOG.claim, size=9), LOG.record_file, LOG.text_file, GOOD, ended_well=True),
    ):
        assert [check.code for check in judged.checks] == ["log.digest.mismatch"]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        (replace(GOOD, source_repository_uri=None), "log.repository.mismatch"),
        (replace(GOOD, source_repository_uri="https://github.com/acme/hello/x"), "log.repository.mismatch"),
        (replace(GOOD, source_repository_uri="https://example.org/acme/hello"), "log.repository.mismatch"),
        (replace(GOOD, source_repository_digest=None), "log.commit.mismatch"),
        (replace(GOOD, run_invocation_uri=None), "log.run.mismatch"),
        (
            replace(GOOD, run_invocation_uri="https://github.com/acme/hello/actions/runs/777"),
            "log.run.mismatch",
        ),
        (
            replace(GOOD, run_invocation_uri="https://github.com/acme/hello/actions/runs/777/attempts/11"),
            "log.run.mismatch",
        ),
        (
            replace(GOOD, run_invocation_uri="https://github.com/acme/hello/actions/runs/1777/attempts/1"),
            "log.run.mismatch",
        ),
    ],
)
def test_a_certificate_of_another_run(claims: object, code: str) -> None:
    assert isinstance(claims, type(GOOD))
    assert check_run(LOG.record, GOOD) is None
    check = check_run(LOG.record, claims)
    assert check is not None
    assert (check.code, check.status) == (code, Status.FAIL)


@pytest.mark.parametrize("conclusion", ["failure", "cancelled", "timed_out", "skipped", "SUCCESS", "", None])
def test_anything_but_success_is_none(conclusion: str | None) -> None:
    log = made(job("first"), job("last", conclusion=conclusion))
    assert check_ends(LOG.record) is None
    check = check_ends(log.record)
    assert check is not None
    assert check.code == "log.job.failed"
    assert "last" in check.message
    assert check.actual == (conclusion or "not ended")
    whole = check_log(log.claim, log.record_file, log.text_file, GOOD, ended_well=False)
    assert whole.passed


def test_a_job_that_kept_its_log_itself_says_nothing_of_its_end() -> None:
    (one,) = LOG.record.jobs
    for conclusion, fails in ((None, False), ("success", False), ("failure", True)):
        log = bent(LOG, origin="job", jobs=(replace(one, conclusion=conclusion),))
        assert (check_ends(log.record) is not None) == fails


def test_what_is_said_of_a_log() -> None:
    assert describe_log(LOG.record) == "3 lines of build, from GitHub's API, 1 place masked"
    two = made(job(text=b"[truncated]\n" * 1200), job("sign", text=b"x\n"), run=RUN)
    assert describe_log(two.record) == (
        "1,201 lines of 2 jobs, from GitHub's API, says in line 1 that something was left out"
    )


def test_a_log_that_is_none() -> None:
    judged = refused_log("log.missing", "is gone", "a", "b")
    (check,) = judged.checks
    assert (check.step, check.code, check.expected, check.actual) == ("log", "log.missing", "a", "b")
    assert not judged.passed
