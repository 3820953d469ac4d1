"""Many rounds at once: every position of a request, every kind of fault."""

from __future__ import annotations

import json
import queue
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from tests.faults.kinds import OUTAGES, SLOW, once, since
from tests.faults.promises import broken_promises
from tests.faults.proxy import Plan
from tests.faults.world import PATIENCE, Done, Forks, Round, Runner, World

MODES: dict[str, Callable[..., Plan]] = {"once": once, "since": since}
SECONDS = 30.0
"""Four tries that wait `PATIENCE` for a byte each, and pauses of 3.5 s in all: done long before."""


@dataclass
class Outcome:
    """How many rounds ended how, and what they broke."""

    ends: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    longest: float = 0.0
    again: int = 0

    def note(self, name: str, done: Done, broken: Iterable[str]) -> None:
        self.ends["done" if done.status == 0 else f"{done.status} {done.code or done.refusal}"] += 1
        self.longest = max(self.longest, done.seconds)
        self.broken += [f"{name}: {line}" for line in broken]

    def told(self) -> str:
        ends = ", ".join(f"{number} x {end}" for end, number in self.ends.most_common())
        again = f", {self.again} tried again" if self.again else ""
        return f"{sum(self.ends.values())} rounds{again}, longest {self.longest:.1f} s: {ends}"


Result = tuple[str, Done, list[str]]
"""Of one round: its name, what came out, and the promises that it broke."""
Attempt = Callable[[Runner], Result]


class Pool:
    """Processes that fork command lines, as many as rounds run at once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: queue.Queue[Forks] = queue.Queue()
        for _ in range(size):
            self._free.put(Forks(PATIENCE))

    @contextmanager
    def runner(self) -> Iterator[Runner]:
        """One of them, for one round."""
        forks = self._free.get()
        try:
            yield forks.run
        finally:
            self._free.put(forks)

    def each(self, rounds: Iterable[Callable[[Runner], None]]) -> None:
        """All rounds, `size` at once."""

        def run(one: Callable[[Runner], None]) -> None:
            with self.runner() as runner:
                one(runner)

        with ThreadPoolExecutor(self._size) as executor:
            for done in [executor.submit(run, one) for one in rounds]:
                done.result()

    def outcome(self, rounds: Iterable[Attempt]) -> Outcome:
        """All rounds, judged. One that took too long beside the others is tried once more, alone: how busy
        the machine is may not decide."""
        outcome = Outcome()
        late: list[Attempt] = []

        def one(attempt: Attempt, runner: Runner) -> None:
            result = attempt(runner)
            if result[1].seconds > SECONDS:
                late.append(attempt)
            else:
                outcome.note(*result)

        self.each(partial(one, attempt) for attempt in rounds)
        outcome.again = len(late)
        for attempt in late:
            with self.runner() as runner:
                outcome.note(*attempt(runner))
        return outcome

    def close(self) -> None:
        for _ in range(self._size):
            self._free.get().close()


def judge_publish(
    one: Round, done: Done, kind: str, mode: str, runner: Runner, *, again: bool
) -> Iterator[str]:
    """What a publish under a fault, and where asked for another one without, did not keep."""
    yield from broken_promises(one, done, seconds=SECONDS)
    if done.status == 0:
        digest = json.loads(done.stdout)["digest"]
        if one.tag() != digest or not one.is_signed(digest):
            yield f"status 0, and the tag names {one.tag()}"
    elif mode == "once" and kind in OUTAGES:
        yield f"an outage that is over at once is not overcome: {done.code}"
    if again:
        one.mend()
        second = one.publish(runner)
        if second.status != 0:
            yield f"a second publish fails: {second.code} {second.stderr[-200:]}"
        judged = one.verify(runner=runner)
        if judged.status != 0:
            yield f"what a second publish left does not verify: {judged.stdout[-300:]}"


def positions(number: int, kind: str) -> range:
    """Every request; for what takes long, every fourth."""
    return range(1, number + 1, 4 if kind in SLOW else 1)


def count_requests(world: World) -> tuple[int, int]:
    """Of a publish without faults: to the registry, to Sigstore."""
    with world.round() as one:
        assert one.publish().status == 0
        return len(one.registry.requests), len(one.sigstore.requests)
