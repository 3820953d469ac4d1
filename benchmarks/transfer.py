"""Push and pull of one large blob beside oras, whole processes, with a real registry on loopback."""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import count
from pathlib import Path

from benchmarks.measure import Table, in_turn, run_child
from benchmarks.setting import GIB, Setting, alone, peer

ROOT = Path(__file__).resolve().parents[1]
MEGABYTE = 10**6
THEIRS = {"push": "oras push", "pull": "oras pull"}
OURS = {"push": "glassclave's push", "pull": "glassclave's pull"}


def transfer(setting: Setting) -> Table:
    """Every push goes to a repository of its own: nothing is there already."""
    size = (50 if setting.quick else 500) * MEGABYTE
    setting.need_room(12 * GIB)
    oras = peer("oras-1.3", "oras")
    table = Table(f"push and pull, {size // MEGABYTE} MB")
    numbers = count()
    with setting.part("transfer") as folder, setting.registry() as registry:
        noise = random.Random(2)
        with (folder / "blob").open("wb") as file:
            for _ in range(size // MEGABYTE):
                file.write(noise.randbytes(MEGABYTE))
        environment = setting.environment()

        def push(*, ours: bool) -> float:
            reference = f"{registry.address}/r{next(numbers)}/blob:1"
            theirs: list[str | Path] = [
                oras,
                "push",
                "--plain-http",
                reference,
                "blob:application/octet-stream",
            ]
            command = _worker("push", reference) if ours else theirs
            return run_child(command, folder=folder, environment=environment).seconds

        def pull(*, ours: bool) -> float:
            target = folder / "pulled"
            target.mkdir()
            reference = f"{registry.address}/r0/blob:1"
            theirs: list[str | Path] = [oras, "pull", "--plain-http", reference]
            command = _worker("pull", reference) if ours else theirs
            seconds = run_child(command, folder=target, environment=environment).seconds
            assert (target / "blob").stat().st_size == size
            subprocess.run(["rm", "-r", target], check=True)
            return seconds

        rounds = setting.rounds(5)
        for name, work in (("push", push), ("pull", pull)):
            found = in_turn(
                {
                    THEIRS[name]: lambda work=work: work(ours=False),  # type: ignore[misc]
                    OURS[name]: lambda work=work: work(ours=True),  # type: ignore[misc]
                },
                rounds,
            )
            table.time(THEIRS[name], found[THEIRS[name]])
            table.slower(OURS[name], found[OURS[name]], THEIRS[name], 1)
    return table


def _worker(verb: str, reference: str) -> list[str | Path]:
    return [sys.executable, ROOT / "benchmarks" / "transfer_worker.py", verb, reference]


if __name__ == "__main__":
    alone(transfer)
