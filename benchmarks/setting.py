"""Where a benchmark runs: a folder of its own on a disk, real programs, and how much is asked of it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.measure import LeftOut, Table
from glassclave.image.spool import is_in_memory
from tests.interop.peers import PEERS, Registry, listening
from tests.interop.peers import peer as find_peer

GIB = 1 << 30
GLASSCLAVE = Path(sys.executable).with_name("glassclave")
REGISTRY_CONFIG = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{storage}"}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:0"}}
"""


@dataclass(frozen=True)
class Setting:
    """``folder`` is empty, on a disk, and goes away. ``quick``: small inputs, for trying a benchmark out."""

    folder: Path
    quick: bool = False

    def rounds(self, wanted: int) -> int:
        """So many, or two."""
        return min(wanted, 2) if self.quick else wanted

    def environment(self, **more: str) -> dict[str, str]:
        """A peer keeps its state to itself and reaches nothing but loopback."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        nobody = "http://127.0.0.1:9"
        return {
            "PATH": f"{PEERS / 'bin'}:{os.environ['PATH']}",
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "TMPDIR": str(self.folder),
            "TUF_ROOT": str(home / "tuf"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "HTTP_PROXY": nobody,
            "HTTPS_PROXY": nobody,
            "NO_PROXY": "127.0.0.1,localhost",
        } | more

    def need_room(self, size: int) -> None:
        """Raises `LeftOut` where the disk has not so many bytes."""
        free = shutil.disk_usage(self.folder).free
        if free < size:
            raise LeftOut(f"{size / GIB:.0f} GiB of disk are needed, {free / GIB:.0f} are free")

    def need_memory(self, size: int) -> None:
        """Raises `LeftOut` where so many bytes of memory are not to be had."""
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
        if (found[0] if found else available) < size:
            raise LeftOut(f"{size / GIB:.0f} GiB of memory are needed")

    @contextmanager
    def part(self, name: str) -> Iterator[Path]:
        """A folder below that goes away with the block: large things do not pile up."""
        folder = self.folder / name
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    @contextmanager
    def registry(self) -> Iterator[Registry]:
        """Debian's docker-registry, empty, on loopback."""
        program = peer("docker-registry")
        with self.part("registry") as folder:
            configuration = folder / "config.yml"
            configuration.write_text(REGISTRY_CONFIG.format(storage=folder / "storage"), encoding="utf-8")
            with listening([program, "serve", configuration], folder, self.environment()) as registry:
                yield registry


def peer(*names: str) -> Path:
    """The first of these programs that is here; `LeftOut` with the reason where none is."""
    reasons = []
    for name in names:
        try:
            return find_peer(name, brought_by="make peers")
        except pytest.skip.Exception as reason:
            reasons.append(str(reason))
    raise LeftOut("; ".join(reasons))


Benchmark = Callable[[Setting], Table]


@contextmanager
def open_setting(quick: bool) -> Iterator[Setting]:
    """A setting below the system's folder for temporary files, or below GLASSCLAVE_BENCH_DIR."""
    parent = Path(os.environ.get("GLASSCLAVE_BENCH_DIR") or tempfile.gettempdir())
    if is_in_memory(parent):
        raise SystemExit(f"{parent} is memory: name a folder on a disk with GLASSCLAVE_BENCH_DIR")
    with tempfile.TemporaryDirectory(prefix="glassclave-bench-", dir=parent) as folder:
        yield Setting(Path(folder), quick)


def alone(*benchmarks: Benchmark) -> None:
    """What a benchmark does when it is run by itself (``python -m benchmarks.NAME [--quick]``)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="small inputs")
    quick = parser.parse_args().quick
    for benchmark in benchmarks:
        with open_setting(quick) as setting:
            try:
                print(benchmark(setting).text(), flush=True)
            except LeftOut as reason:
                print(f"{benchmark.__module__}: not measured: {reason}", flush=True)
