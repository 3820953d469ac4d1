"""All benchmarks, one after the other, and the page `docs/benchmarks.md` (`make bench`).

``python -m benchmarks [--quick] [NAME …]``; with names or --quick the page is not written.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.attestation import attestation
from benchmarks.build import build_large, build_many_files, build_many_layers, build_usual
from benchmarks.describe import describe
from benchmarks.measure import LeftOut, Table
from benchmarks.setting import Benchmark, open_setting
from benchmarks.startup import startup
from benchmarks.transfer import transfer
from benchmarks.verify import verify

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- written by make bench -->\n", "<!-- end of what make bench writes -->\n"
BENCHMARKS: dict[str, Benchmark] = {
    "startup": startup,
    "describe": describe,
    "attestation": attestation,
    "verify": verify,
    "transfer": transfer,
    "build": build_usual,
    "many-files": build_many_files,
    "many-layers": build_many_layers,
    "large": build_large,
}


def machine() -> str:
    """Date, processor, kernel, Python, and how busy the machine is; no name and no path of it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {os.cpu_count()} cores,"
        f" {models[0] if models else 'unknown'}, {memory:.0f} GiB; Linux {platform.release()};"
        f" Python {platform.python_version()};"
        f" load at the start {os.getloadavg()[0]:.1f}."
    )


def run(names: list[str], *, quick: bool) -> Iterator[str]:
    """The text of each benchmark."""
    for name in names:
        with open_setting(quick) as setting:
            try:
                table = BENCHMARKS[name](setting)
            except LeftOut as reason:
                table = Table(name)
                table.notes.append(f"Not measured: {' '.join(str(reason).split())[:300]}")
        yield table.text()


def write_page(texts: list[str], about: str) -> None:
    """The part of the page between its marks; what people wrote around it stays."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    written = "\n".join(["", about, *(f"\n{text}" for text in texts)])
    PAGE.write_text(f"{before}{BEGIN}{written}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Prints each table as it is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="small inputs; the ratios then say little")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    about, started = machine(), time.monotonic()
    print(about, flush=True)
    texts = []
    for text in run(options.names or list(BENCHMARKS), quick=options.quick):
        print(f"\n{text}", flush=True)
        texts.append(text)
    if not options.quick and not options.names:
        write_page(texts, f"{about} The whole run took {(time.monotonic() - started) / 60:.0f} minutes.")


if __name__ == "__main__":
    main()
