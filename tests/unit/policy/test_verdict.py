from __future__ import annotations

from dataclasses import replace

import pytest

from glassclave.policy.verdict import PROVENANCE_STEPS, RANK, UNSTATED_CODE, Level, reached
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
    assert [str(level) for level in Level] == [
        "none",
        "unstated",
        "provenance",
        "attested-at",
        "live-unbound",
        "live",
    ]
    assert sorted(RANK, key=lambda level: RANK[level]) == list(Level)


@pytest.mark.parametrize("step", PROVENANCE_STEPS)
def test_one_check_of_a_step_that_was_left_out_takes_the_level_away(step: str) -> None:
    left_out = check(step, Status.NOT_CHECKED)
    assert reached((*WHOLE, left_out), None) is Level.NONE
    assert reached((left_out, *WHOLE, ENCLAVE), Level.LIVE_UNBOUND) is Level.NONE


NO_STATEMENT = Check(step="statement", code=UNSTATED_CODE, status=Status.NOT_CHECKED, message="")
UNSTATED = (*(one for one in WHOLE if one.step != "statement"), NO_STATEMENT)


def test_an_accepted_lack_of_a_statement_is_a_level_of_its_own_that_no_document_raises() -> None:
    assert reached(UNSTATED, None) is Level.UNSTATED
    for document in (Level.ATTESTED_AT, Level.LIVE_UNBOUND, Level.LIVE):
        assert reached((*UNSTATED, ENCLAVE), document) is Level.UNSTATED
        assert reached(UNSTATED, document) is Level.NONE
        assert reached((*UNSTATED, check("enclave", Status.NOT_CHECKED)), document) is Level.NONE
    assert RANK[Level.UNSTATED] < RANK[Level.PROVENANCE]


def test_a_statement_is_missing_or_there_and_never_both() -> None:
    assert reached((*UNSTATED, check("statement")), None) is Level.NONE
    assert reached((*UNSTATED, check("image", Status.FAIL)), None) is Level.NONE
    failed = replace(NO_STATEMENT, status=Status.FAIL)
    assert reached((*(one for one in UNSTATED if one is not NO_STATEMENT), failed), None) is Level.NONE


@pytest.mark.parametrize("step", [step for step in PROVENANCE_STEPS if step != "statement"])
def test_without_a_statement_every_other_step_is_needed(step: str) -> None:
    rest = tuple(one for one in UNSTATED if one.step != step)
    assert reached(rest, None) is Level.NONE
    assert reached((*rest, check(step, Status.NOT_CHECKED)), None) is Level.NONE


def test_no_checks_no_level() -> None:
    assert reached((), None) is Level.NONE
