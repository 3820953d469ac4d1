from __future__ import annotations

import pytest

from glassclave.policy.verdict import PROVENANCE_STEPS, RANK, Level, reached
from glassclave.results import Check, Status


def check(step: str, status: Status = Status.PASS) -> Check:
    return Check(step=step, code=step, status=status, message="")


WHOLE = tuple(check(step) for step in PROVENANCE_STEPS)
ENCLAVE = check("enclave")


def test_a_level_needs_every_step() -> None:
    assert reached(WHOLE, None) is Level.PROVENANCE
    assert reached((*WHOLE, ENCLAVE), Level.ATTESTED_AT) is Level.ATTESTED_AT
    assert reached((*WHOLE, ENCLAVE), Level.LIVE_UNBOUND) is Level.LIVE_UNBOUND


@pytest.mark.parametrize("step", PROVENANCE_STEPS)
def test_a_step_that_is_missing_failed_or_left_out_takes_the_level_away(step: str) -> None:
    rest = tuple(one for one in WHOLE if one.step != step)
    assert reached(rest, None) is Level.NONE
    assert reached((*rest, check(step, Status.NOT_CHECKED)), None) is Level.NONE
    assert reached((*WHOLE, check(step, Status.FAIL)), None) is Level.NONE


def test_a_document_that_was_not_judged_gives_no_level_of_its_own() -> None:
    assert reached(WHOLE, Level.LIVE_UNBOUND) is Level.NONE
    assert reached((*WHOLE, check("enclave", Status.NOT_CHECKED)), Level.LIVE_UNBOUND) is Level.NONE
    assert reached((*WHOLE, ENCLAVE, check("enclave", Status.FAIL)), Level.LIVE_UNBOUND) is Level.NONE


def test_the_steps_and_levels_are_those_of_the_specification() -> None:
    assert PROVENANCE_STEPS == ("artifact", "signature", "identity", "statement", "image")
    assert [str(level) for level in Level] == ["none", "provenance", "attested-at", "live-unbound", "live"]
    assert sorted(RANK, key=lambda level: RANK[level]) == list(Level)


@pytest.mark.parametrize("step", PROVENANCE_STEPS)
def test_one_check_of_a_step_that_was_left_out_takes_the_level_away(step: str) -> None:
    left_out = check(step, Status.NOT_CHECKED)
    assert reached((*WHOLE, left_out), None) is Level.NONE
    assert reached((left_out, *WHOLE, ENCLAVE), Level.LIVE_UNBOUND) is Level.NONE


def test_no_checks_no_level() -> None:
    assert reached((), None) is Level.NONE
