"""The time-outs as they are shipped: a whole minute of silence, and answers that drip for two."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from glassclave.clients.http import GRACE_SECONDS, SILENCE_SECONDS
from glassclave.clients.retries import MOST_FAILING_SECONDS
from tests.faults.kinds import SLOW, once, since
from tests.faults.promises import broken_promises
from tests.faults.proxy import Plan
from tests.faults.world import Done, World

pytestmark = [pytest.mark.interop, pytest.mark.acceptance, pytest.mark.timeout(1800)]

BOUND = MOST_FAILING_SECONDS + GRACE_SECONDS + 60
"""What failed tries may take in all, the try that goes past that, and the work itself on a busy machine."""


@dataclass(frozen=True)
class Case:
    """One run: of which verb, which service is silent, and how it must end (a code's beginning)."""

    verb: str
    service: str
    kind: str
    plan: Callable[..., Plan]
    number: int
    wanted: str

    def __str__(self) -> str:
        return f"{self.verb}: {self.service}, {self.kind} {self.plan.__name__} {self.number}"


CASES = (
    *(Case("publish", "registry", "silence", since, number, "registry.") for number in (1, 17, 30, 44, 53)),
    *(Case("publish", "registry", "silence", once, number, "") for number in (5, 20, 40, 53)),
    *(Case("publish", "registry", kind, since, 17, "registry.") for kind in SLOW if kind != "silence"),
    *(Case("verify", "registry", kind, since, 4, "registry.") for kind in SLOW),
    Case("verify", "registry", "silence", once, 4, ""),
    *(Case("publish", "sigstore", "silence", since, step, "sign.") for step in range(1, 10)),
    *(Case("publish", "sigstore", kind, since, 5, "sign.") for kind in SLOW if kind != "silence"),
    Case("publish", "sigstore", "silence", once, 1, ""),
)


def run(world: World, case: Case) -> tuple[Done, list[str]]:
    plan = case.plan(case.number, SLOW[case.kind])
    with world.round() as one:
        if case.verb == "verify":
            assert one.publish().status == 0
            one.registry.requests.clear()
        behind = one.registry if case.service == "registry" else one.sigstore
        behind.plan = plan
        done = one.publish() if case.verb == "publish" else one.verify()
        broken = broken_promises(one, done, seconds=BOUND)
        ended = (3, done.code.startswith(case.wanted)) if case.wanted else (0, True)
        if (done.status, True) != ended:
            broken.append(f"ended with {done.status} {done.code}")
        if done.seconds < SILENCE_SECONDS:
            broken.append(f"took {done.seconds:.0f} s only: nothing was silent")
        if case.wanted and case.verb == "publish" and one.tag() != world.old:
            broken.append("the tag moved")
        return done, broken


def test_silence_as_long_as_it_is_borne(world: World) -> None:
    """All at once: they wait."""
    with ThreadPoolExecutor(len(CASES)) as executor:
        found = list(executor.map(lambda case: run(world, case), CASES))
    for case, (done, _) in zip(CASES, found, strict=True):
        print(f"{case}: {done.status} {done.code} after {done.seconds:.0f} s")
    broken = [f"{case}: {line}" for case, (_, lines) in zip(CASES, found, strict=True) for line in lines]
    assert broken == []
