"""kill -9: what is left is nothing, the old thing, or the whole new one, and the next run succeeds."""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.faults.proxy import Asked, Exchange, Fault
from tests.faults.sweep import Pool
from tests.faults.world import Round, Runner, World, run_child

pytestmark = pytest.mark.interop

POINTS = 50
_SIZE = 24 << 20


def seed_of_this_run() -> int:
    """Printed, so that a run can be had again: ``GLASSCLAVE_FAULT_SEED``."""
    return int(os.environ.get("GLASSCLAVE_FAULT_SEED", secrets.randbits(32)))


def killed_after(
    seconds: float, words: list[str], environment: dict[str, str], begun: Path | None = None
) -> bool:
    """Whether the kill came before the end. ``begun``: from when this file is there."""
    program = subprocess.Popen(
        [sys.executable, "-m", "glassclave", *words],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while begun is not None and program.poll() is None and not begun.exists():
        time.sleep(0.0005)
    with suppress(subprocess.TimeoutExpired):
        program.wait(seconds)
    program.send_signal(signal.SIGKILL)
    return program.wait(30) == -signal.SIGKILL


def digest_of(path: Path) -> str | None:
    if not path.exists():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class Bench:
    """Two sources, and what they are built to."""

    folder: Path
    wanted: tuple[str | None, str | None]
    old: tuple[str | None, str | None]
    seconds: float

    @property
    def output(self) -> Path:
        return self.folder / "out" / "app.eif"

    def state(self) -> tuple[str | None, str | None]:
        """The image and its measurements."""
        return digest_of(self.output), digest_of(self.output.with_suffix(".measurements.json"))

    def words(self, source: str) -> list[str]:
        return ["build", f"dir:{self.folder / source}", "-o", str(self.output), "--cmd", "/data"]

    def build(self, source: str) -> float:
        started = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "glassclave", *self.words(source)], check=True, capture_output=True
        )
        return time.monotonic() - started

    def clear(self) -> None:
        for path in self.output.parent.iterdir():
            path.unlink()

    def round(self, point: float, *, replaces: bool, writes: bool) -> tuple[bool, str]:
        """Build, killed at a point of the time that it takes, or of the time in which it writes; then once
        more. Whether it was killed, and what stood there then."""
        self.clear()
        if replaces:
            for path in (self.folder / "kept").iterdir():
                shutil.copy(path, self.output.parent)
        begun = self.output.parent / f".{self.output.name}.partial" if writes else None
        seconds = point * self.seconds * (0.2 if writes else 1)
        was_killed = killed_after(seconds, self.words("new"), dict(os.environ), begun)
        before = self.old if replaces else (None, None)
        # No measurements beside an image: the next build writes both. Never those of another image.
        fine = {(before[0], None): "before, alone", before: "before"}
        fine |= {self.wanted: "new", (self.wanted[0], None): "new, alone"}
        state = self.state()
        assert state in fine, f"killed after {seconds:.3f} s: {state}"
        self.seconds = self.build("new")  # as long as it takes now: the machine has other work too
        assert self.state() == self.wanted
        assert sorted(os.listdir(self.output.parent)) == ["app.eif", "app.measurements.json"]
        return was_killed, fine[state]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("kills")
    for name in ("old", "new", "out"):
        (folder / name).mkdir()
    for name in ("old", "new"):
        (folder / name / "data").write_bytes(random.Random(name).randbytes(_SIZE))
    made = Bench(folder, (None, None), (None, None), 0.0)
    made.build("old")
    made.old = made.state()
    shutil.copytree(made.output.parent, folder / "kept")
    made.seconds = made.build("new")
    made.wanted = made.state()
    return made


def sweep_of_builds(bench: Bench, points: int) -> str:
    seed = seed_of_this_run()
    chance = random.Random(seed)
    ends: dict[str, int] = {}
    for number in range(points):
        writes = number % 4 > 1
        was_killed, state = bench.round(chance.random(), replaces=number % 2 == 0, writes=writes)
        name = f"{'killed' if was_killed else 'ended'}{' writing' if writes else ''}, {state}"
        ends[name] = ends.get(name, 0) + 1
    return f"build: seed {seed}, {points} points, the last build took {bench.seconds:.2f} s: {ends}"


def test_a_build_that_is_killed(bench: Bench) -> None:
    print(sweep_of_builds(bench, 4))


@pytest.mark.acceptance
@pytest.mark.timeout(1800)
def test_a_build_that_is_killed_at_many_points(bench: Bench) -> None:
    print(sweep_of_builds(bench, POINTS))


def start_publish(one: Round) -> subprocess.Popen[bytes]:
    words = ["publish", str(one.world.image), one.reference, "--trust-config", str(one.folder / "trust.json")]
    return subprocess.Popen(
        [sys.executable, "-m", "glassclave", *words],
        env=one.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def judge_after_kill(one: Round, runner: Runner = run_child) -> str:
    """What the tag names; and that publishing again succeeds."""
    named = one.tag()
    assert named in (None, one.world.old) or one.is_signed(str(named)), f"the tag names {named}"
    one.mend()
    again = one.publish(runner)
    assert again.status == 0, again.stdout + again.stderr
    judged = one.verify(runner=runner)
    assert judged.status == 0, judged.stdout
    return "before" if named in (None, one.world.old) else "signed"


def kill_at(children: list[subprocess.Popen[bytes]], *, done: bool) -> Fault:
    """Before the request is answered, its work ``done`` or not."""

    def fault(exchange: Exchange) -> None:
        if done:
            exchange.forward()
        children[0].send_signal(signal.SIGKILL)
        exchange.hang_up()

    return fault


def killed_at_request(world: World, number: int, done: bool, runner: Runner = run_child) -> str:
    children: list[subprocess.Popen[bytes]] = []
    fault = kill_at(children, done=done)

    def plan(asked: Asked) -> Fault | None:
        return fault if asked.number == number else None

    with world.round(registry=plan) as one:
        children.append(start_publish(one))
        assert children[0].wait(60) == -signal.SIGKILL
        return judge_after_kill(one, runner)


@pytest.mark.parametrize(
    ("number", "done", "state"),
    [(17, True, "before"), (53, False, "before"), (53, True, "signed")],
)
def test_a_publish_that_is_killed_at_a_request(
    world: World, pool: Pool, number: int, done: bool, state: str
) -> None:
    with pool.runner() as runner:
        assert killed_at_request(world, number, done, runner) == state


@pytest.mark.acceptance
@pytest.mark.timeout(1800)
def test_a_publish_that_is_killed_at_every_request(world: World, pool: Pool) -> None:
    ends: list[str] = []

    def one_round(number: int, done: bool, runner: Runner) -> None:
        ends.append(killed_at_request(world, number, done, runner))

    pool.each(partial(one_round, number, done) for number in range(1, 55) for done in (False, True))
    print(f"publish: killed at each of 54 requests, before and after it was done: {len(ends)} rounds")
    print(f"the tag named what it did before {ends.count('before')} times, the signed {ends.count('signed')}")


@pytest.mark.acceptance
@pytest.mark.timeout(1800)
def test_a_publish_that_is_killed_at_many_points(world: World, pool: Pool) -> None:
    seed = seed_of_this_run()
    chance = random.Random(seed)
    with world.round() as one:
        longest = one.publish().seconds
    ends: Counter[str] = Counter()

    def one_round(after: int, seconds: float, seeded: bool, runner: Runner) -> None:
        begun = threading.Event()

        def plan(asked: Asked) -> Fault | None:
            if asked.number >= after:
                begun.set()
            return None

        with world.round(registry=plan, seeded=seeded) as one:
            child = start_publish(one)
            if after:
                assert begun.wait(60)
            with suppress(subprocess.TimeoutExpired):
                child.wait(seconds)
            child.send_signal(signal.SIGKILL)
            was_killed = child.wait(30) == -signal.SIGKILL
            how = "killed" if was_killed else "ended"
            ends[f"{how}{' between requests' if after else ''}, {judge_after_kill(one, runner)}"] += 1

    # Half by the clock; half by the requests, as a busy machine hardly gets to the last ones in time.
    points = [(0, chance.uniform(0, longest)) for _ in range(POINTS // 2)]
    points += [(chance.randint(1, 54), chance.uniform(0, 0.1)) for _ in range(POINTS // 2)]
    pool.each(partial(one_round, *point, number % 2 == 0) for number, point in enumerate(points))
    print(f"publish: seed {seed}, {POINTS} points within {longest:.2f} s: {dict(ends)}")
