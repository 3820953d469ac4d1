"""Which job of a run is meant by a name, where a workflow is called more than once."""

from __future__ import annotations

import pytest

from glassclave.buildlog.collect import RunJob
from glassclave.errors import UsageError
from glassclave.flows.log import _call_of, _named


def job(number: int, name: str, conclusion: str | None = "success", runner: str | None = None) -> RunJob:
    return RunJob(name=name, job_id=number, conclusion=conclusion, steps=(), runner=runner or f"r{number}")


TWICE = (
    job(1, "api / build"),
    job(2, "web / build"),
    job(3, "api / sign", None),
    job(4, "web / sign", None),
    job(5, "build / extra"),
)


@pytest.mark.parametrize(("runner", "found"), [("r3", 1), ("r4", 2)])
def test_a_job_is_looked_for_in_the_call_that_asks(runner: str, found: int) -> None:
    assert _named(TWICE, "build", _call_of(TWICE, runner)).job_id == found


@pytest.mark.parametrize("runner", [None, "", "r1", "r9"])
def test_who_asks_has_to_be_one_job_that_runs(runner: str | None) -> None:
    assert _call_of(TWICE, runner) is None
    with pytest.raises(UsageError, match=r"log\.job\.several"):
        _named(TWICE, "build", None)


def test_two_jobs_on_one_machine_say_nothing() -> None:
    assert _call_of((job(1, "a / sign", None, "x"), job(2, "b / sign", None, "x")), "x") is None


def test_a_whole_name_needs_no_call() -> None:
    assert _named(TWICE, "web / build", _call_of(TWICE, "r3")).job_id == 2
    assert _named((job(1, "build"), job(2, "sign", None)), "build", "").job_id == 1
