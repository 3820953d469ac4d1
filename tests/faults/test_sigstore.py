"""`publish` against a Sigstore whose services fail at each of its requests, in each way."""

from __future__ import annotations

from functools import partial

import pytest

from tests.faults.kinds import KINDS, SLOW, once, since
from tests.faults.other_keys import PATHS, other_key, router
from tests.faults.promises import broken_promises
from tests.faults.sweep import MODES, SECONDS, Pool, Result, count_requests, judge_publish
from tests.faults.world import Runner, World

pytestmark = pytest.mark.interop

STEPS = {
    1: "token, before anything",
    2: "token, to sign",
    3: "certificate",
    4: "time-stamp of the .sig signature",
    5: "log entry of the .sig signature",
    6: "time-stamp of the first bundle",
    7: "log entry of the first bundle",
    8: "time-stamp of the second bundle",
    9: "log entry of the second bundle",
}


def publish_round(world: World, kind: str, mode: str, step: int, runner: Runner) -> Result:
    with world.round(sigstore=MODES[mode](step, KINDS[kind])) as one:
        done = one.publish(runner)
        broken = list(judge_publish(one, done, "", mode, runner, again=True))
        return f"{kind} {mode} at {step}, {STEPS[step]}", done, broken


def test_the_table_is_complete(world: World) -> None:
    assert count_requests(world)[1] == len(STEPS)


@pytest.mark.parametrize(
    ("kind", "step", "code"),
    [
        ("echo", 1, "sign.identity.unavailable"),
        ("echo", 3, "sign.certificate.failed"),
        ("html", 7, "sign.signature.failed"),
        ("500", 8, "sign.signature.failed"),
    ],
)
def test_a_service_that_fails(world: World, kind: str, step: int, code: str) -> None:
    """The program as it is shipped."""
    with world.round(sigstore=since(step, KINDS[kind])) as one:
        done = one.publish()
        assert broken_promises(one, done, seconds=60) == []
        assert (done.status, done.code) == (3, code)
        assert one.tag() == one.world.old


@pytest.mark.parametrize("step", [1, 3, 9])
def test_a_service_that_says_nothing(world: World, step: int) -> None:
    with world.round(sigstore=once(step, SLOW["silence"])) as one:
        done = one.publish(patience=1.0)
        assert broken_promises(one, done, seconds=60) == []


@pytest.mark.parametrize("skip", [0, 1, 2])
@pytest.mark.parametrize("which", PATHS)
def test_a_service_with_another_key(world: World, pool: Pool, which: str, skip: int) -> None:
    if skip >= {"oidc": 2, "tsa": 3, "rekor": 3}.get(which, 1):
        return  # it is asked less often
    with (
        other_key(world.services, which) as addresses,
        world.round(upstream=router(addresses, PATHS[which], skip=skip)) as one,
        pool.runner() as runner,
    ):
        done = one.publish(runner)
        assert broken_promises(one, done, seconds=SECONDS) == []
        assert done.status == 3, done.stdout
        assert done.code.startswith("sign.")
        assert one.tag() == one.world.old


@pytest.mark.acceptance
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_step(world: World, pool: Pool, kind: str, mode: str) -> None:
    outcome = pool.outcome(partial(publish_round, world, kind, mode, step) for step in STEPS)
    print(f"sigstore | {kind} | {mode} | {outcome.told()}")
    assert outcome.broken == []
