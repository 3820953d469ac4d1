from __future__ import annotations

import pytest

from glassclave.clients.retries import (
    MOST_FAILING_SECONDS,
    MOST_WAITING_SECONDS,
    Failing,
    TransientError,
    Waiting,
    retrying,
)
from glassclave.errors import UnavailableError


def test_a_server_that_asks_to_wait_at_every_request_is_not_waited_for_without_end() -> None:
    slept: list[float] = []
    waiting = Waiting(slept.append)

    def operation() -> None:
        error = TransientError("registry.rate-limited", "no")
        error.wait = 45.0
        raise error

    for _ in range(5):
        with pytest.raises(TransientError):
            retrying(operation, waiting)
    assert sum(slept) <= MOST_WAITING_SECONDS


def test_a_server_that_fails_at_every_request_is_not_asked_without_end() -> None:
    now, tries = [0.0], list[float]()
    failing = Failing(lambda: now[0])

    def operation() -> None:
        tries.append(now[0])
        now[0] += 60.0
        raise TransientError("registry.unavailable", "does not answer in time", source="r.example:443")

    for _ in range(9):
        with pytest.raises(UnavailableError, match="does not answer in time") as error:
            retrying(lambda: failing.bearing(operation), lambda wait: None)
        assert error.value.source == "r.example:443"
    assert now[0] == MOST_FAILING_SECONDS
    assert len(tries) == 5


def test_what_succeeds_costs_no_patience() -> None:
    now = [0.0]
    failing = Failing(lambda: now[0])

    def operation() -> float:
        now[0] += 100.0
        return now[0]

    assert [failing.bearing(operation) for _ in range(9)][-1] == 900.0


def test_what_is_no_outage_is_not_tried_again() -> None:
    tries: list[int] = []

    def operation() -> None:
        tries.append(1)
        raise UnavailableError("registry.tls", "no")

    with pytest.raises(UnavailableError):
        retrying(operation, lambda wait: None)
    assert tries == [1]
