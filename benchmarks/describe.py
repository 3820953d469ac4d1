"""`describe` of a 512 MiB image, beside one SHA-384 of the file and the real nitro-cli."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import MIB, LeftOut, Table, in_turn, run_child
from benchmarks.setting import GIB, GLASSCLAVE, Setting, alone, peer

OPENSSL = "openssl dgst -sha384"
OURS = "glassclave describe"
THEIRS = "nitro-cli describe-eif"


def make_image(folder: Path, size: int) -> Path:
    """An image of ``size`` bytes and a little more: always the same one."""
    root, image = folder / "root", folder / "big.eif"
    root.mkdir()
    noise = random.Random(1)
    with (root / "file").open("wb") as file:
        for _ in range(size // MIB):
            file.write(noise.randbytes(MIB))
    run_child([GLASSCLAVE, "build", f"dir:{root}", "--cmd", "/file", "-o", image])
    (root / "file").unlink()
    image.with_suffix(".measurements.json").unlink()
    return image


def describe(setting: Setting) -> Table:
    """Whole processes over a file in the page cache; two threads hash, so a second core is used."""
    size = (64 if setting.quick else 512) * MIB
    setting.need_room(3 * GIB)
    table = Table(f"describe, {size // MIB} MiB")
    commands: dict[str, list[str | Path]] = {}
    with setting.part("describe") as folder:
        image = make_image(folder, size)
        commands[OPENSSL] = [peer("openssl"), "dgst", "-sha384", image]
        commands[OURS] = [GLASSCLAVE, "describe", image]
        try:
            commands[THEIRS] = [peer("nitro-cli"), "describe-eif", "--eif-path", image]
        except LeftOut as reason:
            table.left_out(THEIRS, reason)
        found = in_turn({name: _timer(words) for name, words in commands.items()}, setting.rounds(7))
        table.time(OPENSSL, found[OPENSSL])
        table.slower(OURS, found[OURS], OPENSSL, 1.3)
        memory = run_child(commands[OURS], watched=True)
        table.memory(f"{OURS}: memory, resident", memory.resident_bytes, 64 * MIB)
        if THEIRS in found:
            table.slower(THEIRS, found[THEIRS], OPENSSL)
            table.memory(
                f"{THEIRS}: memory, resident", run_child(commands[THEIRS], watched=True).resident_bytes
            )
    return table


def _timer(command: list[str | Path]) -> Callable[[], float]:
    return lambda: run_child(command).seconds


if __name__ == "__main__":
    alone(describe)
