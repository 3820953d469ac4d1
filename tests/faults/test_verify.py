"""`verify` against a registry that misbehaves at each of its requests, in each way: a fault is no verdict."""

from __future__ import annotations

from functools import partial

import pytest

from tests.faults.kinds import KINDS, OUTAGES, SLOW, WRONG
from tests.faults.sweep import MODES, Pool, Result, positions
from tests.faults.truths import MAKERS, Truth, make_truths
from tests.faults.world import Runner, World

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def truths(world: World, pool: Pool) -> dict[str, Truth]:
    """Published once: `verify` changes nothing."""
    with pool.runner() as runner:
        return make_truths(world, runner)


def verify_round(world: World, truth: Truth, kind: str, mode: str, number: int, runner: Runner) -> Result:
    done, broken = truth.verify(world, MODES[mode](number, KINDS[kind]), runner)
    if mode == "once" and kind in OUTAGES and done.status != truth.wanted[0]:
        broken.append(f"an outage that is over at once is not overcome: {done.code}")
    broken += truth.broken(kind, done)
    return f"{truth.repository} for {truth.asked}: {kind} {mode} at request {number}", done, broken


def test_a_diagonal_of_the_table(world: World, pool: Pool, truths: dict[str, Truth]) -> None:
    """Every kind of fault, each at another request; the whole table is for `make acceptance`."""
    every, modes = list(truths.values()), list(MODES)
    rounds = []
    for index, kind in enumerate([*OUTAGES, *WRONG, *SLOW]):
        truth = every[index % len(every)]
        number = 1 + (index * 5) % truth.requests
        rounds.append(partial(verify_round, world, truth, kind, modes[index % 2], number))
    assert pool.outcome(rounds).broken == []


@pytest.mark.acceptance
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MAKERS)
def test_every_request(
    world: World, pool: Pool, truths: dict[str, Truth], name: str, kind: str, mode: str
) -> None:
    truth = truths[name]
    outcome = pool.outcome(
        partial(verify_round, world, truth, kind, mode, number) for number in positions(truth.requests, kind)
    )
    print(f"verify | {name} | {kind} | {mode} | {outcome.told()}")
    assert outcome.broken == []
