"""`publish` against a registry that misbehaves at each of its requests, in each way."""

from __future__ import annotations

from functools import partial

import pytest

from tests.faults.kinds import KINDS, OUTAGES, SLOW, WRONG, once, since
from tests.faults.promises import broken_promises
from tests.faults.sweep import MODES, Pool, Result, count_requests, judge_publish, positions
from tests.faults.world import Runner, World

pytestmark = pytest.mark.interop

REQUESTS = 54
"""Of one publish, with the token's; a test counts them."""


def publish_round(world: World, kind: str, mode: str, number: int, again: bool, runner: Runner) -> Result:
    with world.round(registry=MODES[mode](number, KINDS[kind])) as one:
        done = one.publish(runner)
        broken = list(judge_publish(one, done, kind, mode, runner, again=again))
        return f"{kind} {mode} at request {number}", done, broken


def test_the_table_is_complete(world: World) -> None:
    assert count_requests(world)[0] == REQUESTS


@pytest.mark.parametrize(
    ("kind", "number", "code"),
    [
        ("500", 30, "registry.unavailable"),
        ("401", 52, "registry.unauthorized"),
        ("echo", 2, "registry.unauthorized"),
        ("elsewhere", 5, "registry.answer"),
    ],
)
def test_a_registry_that_goes_on_failing(world: World, kind: str, number: int, code: str) -> None:
    """The program as it is shipped, with all its patience."""
    with world.round(registry=since(number, KINDS[kind])) as one:
        done = one.publish()
        assert broken_promises(one, done, seconds=60) == []
        assert (done.status, done.code) == (3, code)
        one.mend()
        assert one.publish().status == 0
        assert one.verify().status == 0


def test_an_outage_is_overcome(world: World) -> None:
    with world.round(registry=once(16, OUTAGES["429"])) as one:
        done = one.publish()
        assert (done.status, broken_promises(one, done, seconds=60)) == (0, [])


def test_a_diagonal_of_the_table(world: World, pool: Pool) -> None:
    """Every kind of fault, each at another request; the whole table is for `make acceptance`."""
    rounds = [
        partial(publish_round, world, kind, "once", 1 + (index * 7) % REQUESTS, False)
        for index, kind in enumerate([*OUTAGES, *WRONG])
    ]
    rounds += [
        partial(publish_round, world, kind, "once", 5 + index * 17, False) for index, kind in enumerate(SLOW)
    ]
    assert pool.outcome(rounds).broken == []


@pytest.mark.acceptance
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_request_of_publish(world: World, pool: Pool, kind: str, mode: str) -> None:
    outcome = pool.outcome(
        partial(publish_round, world, kind, mode, number, number % 6 == 0)
        for number in positions(REQUESTS, kind)
    )
    print(f"publish | {kind} | {mode} | {outcome.told()}")
    assert outcome.broken == []
