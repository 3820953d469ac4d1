"""How fast an image is written and measured, beside what the machine's hash alone can do (`make bench`)."""

import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from glassclave.eif.format import Architecture
from glassclave.eif.reader import measure_image, read_image
from glassclave.eif.writer import ImagePlan, write_image
from glassclave.streams import open_source

MEGABYTE = 10**6
PIECE = os.urandom(MEGABYTE)
SIZE = int(os.environ.get("BENCH_MEGABYTES", "400"))
ROUNDS = 3


def pieces(count: int) -> Iterator[bytes]:
    """``count`` megabytes, always the same."""
    return (PIECE for _ in range(count))


def write(path: Path) -> None:
    """An image with a ramdisk of the benchmark's size."""
    plan = ImagePlan(
        architecture=Architecture.X86_64,
        kernel=pieces(3),
        cmdline=b"quiet",
        metadata=b"{}",
        ramdisks=[pieces(1), pieces(SIZE)],
    )
    with path.open("w+b") as file:
        write_image(file, plan, file_digests=False)


def measure(path: Path) -> None:
    """What `describe` and `verify` do with an image: read strictly, then measure."""
    with open_source(path) as source:
        measure_image(read_image(source, name=path.name))


def digest(path: Path) -> None:
    """One SHA-384 over the file: the floor."""
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha384")


def best(run: Callable[[Path], None], path: Path) -> float:
    """Seconds of the quickest of some rounds."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run(path)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Prints one line a step."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.eif"
        for name, run in (("write", write), ("measure", measure), ("sha384", digest)):
            seconds = best(run, path)
            print(f"{name:8} {SIZE} MB {seconds:6.2f} s {SIZE / seconds:8,.0f} MB/s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
