"""`build` of real images, beside the least work that it takes, and beside the peers' ways."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.build_peers import BY_HAND, DOCKER, EifBuild, by_hand, docker_engine, through_docker
from benchmarks.images import TAG, Image, layer_paths, make_image
from benchmarks.measure import MIB, LeftOut, Table, in_turn, run_child, timed
from benchmarks.setting import GIB, GLASSCLAVE, Setting, alone
from glassclave.image.codecs import Codec, decoded

FLOOR = "SHA-384 of the result + layers decoded and digested"
OURS = "glassclave build"
MOST_MEMORY = 128 * MIB
_PIECE = 256 << 10


def floor(image: Image, result: Path) -> None:
    """The least to be done, in one thread: layers decoded, both digests of each, one pass over the result."""
    with result.open("rb") as file:
        hashlib.file_digest(file, "sha384")
    for path in layer_paths(image):
        stored, plain = hashlib.sha256(), hashlib.sha256()
        with path.open("rb") as file:

            def pieces() -> object:
                while piece := file.read(_PIECE):
                    stored.update(piece)  # noqa: B023
                    yield piece

            for piece in decoded(Codec.GZIP, pieces()):  # type: ignore[arg-type]
                plain.update(piece)


def _measured(
    table: Table, setting: Setting, image: Image, folder: Path, *, rounds: int, at_most: float | None
) -> None:
    """Our row, the floor's, and our memory."""
    output = folder / "ours.eif"
    command: list[str | Path] = [
        GLASSCLAVE,
        "build",
        f"oci:{image.layout}:{TAG}",
        "-o",
        output,
        "--spool-dir",
        folder,
    ]
    environment = setting.environment()

    def ours() -> float:
        output.unlink()  # a file that is replaced costs time: its blocks are given back
        return run_child(command, environment=environment).seconds

    # The first run is watched, and not timed: looking at memory takes time.
    memory = run_child(command, environment=environment, watched=True)
    found = in_turn(
        {
            FLOOR: lambda: timed(lambda: floor(image, output)),
            OURS: ours,
        },
        setting.rounds(rounds),
    )
    table.time(FLOOR, found[FLOOR])
    table.slower(OURS, found[OURS], FLOOR, at_most)
    table.memory(f"{OURS}: memory, anonymous and shared", memory.private_bytes, MOST_MEMORY)
    output.unlink()


def _peers(table: Table, setting: Setting, image: Image, folder: Path, *, rounds: int, docker: bool) -> None:
    """The rows of the peers that are here."""
    with ExitStack() as stack:
        try:
            writer = EifBuild(folder)
        except LeftOut as reason:
            for name in (BY_HAND, *([DOCKER] if docker else [])):
                table.left_out(name, reason)
            return
        ways: dict[str, Callable[[], Callable[[], float]]] = {
            BY_HAND: lambda: by_hand(setting, image, writer)
        }
        if docker:
            ways[DOCKER] = lambda: through_docker(
                setting, image, writer, stack.enter_context(docker_engine(setting))
            )
        for name, way in ways.items():
            try:
                seconds = in_turn({name: way()}, setting.rounds(rounds))[name]
            except LeftOut as reason:
                table.left_out(name, reason)
            else:
                table.peer(name, seconds, OURS, None if name == DOCKER else 10)
        if writer.resident_bytes:
            table.memory("eif_build: memory, resident", writer.resident_bytes)


def build_usual(setting: Setting) -> Table:
    """300 MB in 30,000 files."""
    least = (3_000, 30) if setting.quick else (30_000, 300)
    setting.need_room(8 * GIB)
    with setting.part("usual") as folder:
        image = make_image(
            folder / "layout",
            least_files=least[0],
            least_bytes=least[1] * 10**6,
            largest_file=100_000,
            layers=3,
            debian=not setting.quick,
        )
        table = Table(f"build: {image.words}")
        _measured(table, setting, image, folder, rounds=5, at_most=2)
        _peers(table, setting, image, folder, rounds=2, docker=True)
    table.notes.append(
        f"The ratio of a peer is how many times faster `{OURS}` is. “{DOCKER}” is only a part of what"
        " `nitro-cli build-enclave` does: linuxkit, which turns the export into a ramdisk there, is in no"
        " package registry."
    )
    return table


def build_large(setting: Setting) -> Table:
    """3 GB."""
    least = 100 if setting.quick else 3_000
    setting.need_room((2 if setting.quick else 24) * GIB)
    setting.need_memory((1 if setting.quick else 8) * GIB)
    with setting.part("large") as folder:
        image = make_image(
            folder / "layout",
            least_files=0,
            least_bytes=least * 10**6,
            largest_file=64 << 20,
            layers=5,
            debian=not setting.quick,
        )
        table = Table(f"build: {image.words}")
        _measured(table, setting, image, folder, rounds=2, at_most=2)
        _peers(table, setting, image, folder, rounds=1, docker=False)
    return table


def build_many_files(setting: Setting) -> Table:
    """100,000 files."""
    setting.need_room(3 * GIB)
    with setting.part("many") as folder:
        image = make_image(
            folder / "layout",
            least_files=10_000 if setting.quick else 100_000,
            least_bytes=0,
            largest_file=8_000,
            layers=2,
            debian=False,
        )
        table = Table(f"build: {image.words}")
        _measured(table, setting, image, folder, rounds=3, at_most=None)
    return table


def build_many_layers(setting: Setting) -> Table:
    """40 layers."""
    setting.need_room(3 * GIB)
    with setting.part("layers") as folder:
        image = make_image(
            folder / "layout",
            least_files=1_000 if setting.quick else 12_000,
            least_bytes=0,
            largest_file=1_000_000,
            layers=40 if setting.quick else 36,
            debian=not setting.quick,
        )
        table = Table(f"build: {image.words}")
        _measured(table, setting, image, folder, rounds=3, at_most=2)
    return table


if __name__ == "__main__":
    alone(build_usual, build_large, build_many_files, build_many_layers)
