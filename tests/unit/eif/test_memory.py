"""Reading and writing take the same small memory, whatever the size of the image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RAMDISK_BYTES = 256 << 20
ALLOWED_BYTES = 24 << 20
COMMON = """
import os, sys, tracemalloc
from pathlib import Path
from glassclave.eif.format import Architecture
from glassclave.eif.inspection import inspect_image
from glassclave.eif.writer import ImagePlan, write_image
from glassclave.streams import open_source, write_atomically
path, size = Path(sys.argv[1]), int(sys.argv[2])
tracemalloc.start()
"""
WRITE = """
chunk = bytes(1 << 20)
def ramdisk():
    for _ in range(size >> 20):
        yield chunk
plan = ImagePlan(architecture=Architecture.X86_64, kernel=[b"k"], cmdline=b"c", metadata=b"null",
                 ramdisks=[[b"r"], ramdisk()])
with write_atomically(path) as out:
    print(write_image(out, plan).measurements.pcr0.hex())
print(tracemalloc.get_traced_memory()[1])
"""
READ = """
with open_source(path) as source:
    inspection = inspect_image(source, name="big")
assert not inspection.refused, inspection.findings
print(inspection.measurements.pcr0.hex())
print(tracemalloc.get_traced_memory()[1])
"""


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the large image is written, then read."""
    return tmp_path_factory.mktemp("memory") / "big.eif"


def run(script: str, path: Path) -> tuple[str, int]:
    command = [sys.executable, "-c", COMMON + script, str(path), str(RAMDISK_BYTES)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    pcr0, peak = finished.stdout.split()
    return pcr0, int(peak)


def test_memory_does_not_grow_with_the_image(big: Path) -> None:
    pcr0, writing = run(WRITE, big)
    assert big.stat().st_size > RAMDISK_BYTES
    again, reading = run(READ, big)
    big.unlink()
    assert again == pcr0
    assert writing < ALLOWED_BYTES
    assert reading < ALLOWED_BYTES
