"""What every benchmark measures with: a child's time and memory, rounds in turn, a table with its limits."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20
_SAMPLE_SECONDS = 0.02
HEADINGS = ("what", "median", "least", "ratio", "limit", "")
MET, MISSED = "met", "**missed**"


class LeftOut(Exception):  # noqa: N818 - it is no error: a program or the room for it is not here
    """This cannot be measured on this machine; the message says why."""


@dataclass(frozen=True)
class Run:
    """One child: wall clock, processor time, and the peaks that were seen (0 where nobody looked).

    ``private_bytes``: anonymous and shared memory, without what the system can throw away and read again.
    ``resident_bytes``: with it.
    """

    seconds: float
    cpu_seconds: float
    private_bytes: int = 0
    resident_bytes: int = 0


def run_child(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    watched: bool = False,
    accepted: Sequence[int] = (0,),
) -> Run:
    """Run a program to its end; what it says is shown only where it fails. ``watched``: sample its memory."""
    log = Path("/proc/self/fd") / str(os.memfd_create("log"))
    try:
        with log.open("w+b") as out:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            started = time.perf_counter()
            with subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, cwd=folder
            ) as child:
                watch = _Watch(child.pid) if watched else None
                child.wait()
                seconds = time.perf_counter() - started
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            private, resident = (0, 0) if watch is None else watch.end()
            if child.returncode not in accepted:
                out.seek(0)
                said = out.read()[-1500:].decode("utf-8", "replace")
                raise LeftOut(f"{Path(command[0]).name} ended with {child.returncode}: {said}")
    finally:
        os.close(int(log.name))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(seconds, cpu, private, resident)


class _Watch:
    """Samples a process's memory in a thread."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)
        self._private = self._resident = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> tuple[int, int]:
        self._ended.set()
        self._thread.join()
        return self._private, self._resident

    def _look(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            try:
                rollup = _kilobytes(self._folder / "smaps_rollup")
                status = _kilobytes(self._folder / "status")
            except OSError:  # it ended
                continue
            private = rollup.get("Anonymous", 0) + rollup.get("Pss_Shmem", 0)
            self._private = max(self._private, private << 10)
            self._resident = max(self._resident, status.get("VmHWM", 0) << 10)


def _kilobytes(path: Path) -> dict[str, int]:
    """The lines ``Name:  123 kB`` of a file of proc(5)."""
    words = (line.split() for line in path.read_text(encoding="ascii", errors="replace").splitlines())
    return {found[0].rstrip(":"): int(found[1]) for found in words if len(found) == 3 and found[2] == "kB"}


def in_turn(subjects: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each subject, round by round, so that what disturbs the machine disturbs all of them."""
    found: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            found[name].append(subject())
    return found


def timed(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes in this process."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@dataclass
class Table:
    """Rows of one subject. A ratio is one of medians of this run."""

    title: str
    notes: list[str] = field(default_factory=list)
    rows: list[tuple[str, ...]] = field(default_factory=list)
    samples: dict[str, list[float]] = field(default_factory=dict)

    def time(self, name: str, seconds: Sequence[float]) -> None:
        """A row that others are compared with."""
        self._add(name, seconds, "", "", "")

    def slower(self, name: str, seconds: Sequence[float], than: str, at_most: float | None = None) -> None:
        """A row that may take ``at_most`` times as long as ``than``; without a limit it only tells."""
        ratio = statistics.median(seconds) / self.median(than)
        limit = "" if at_most is None else f"≤ {at_most:g}"
        self._add(name, seconds, f"{ratio:.2f}", limit, _outcome(at_most is None or ratio <= at_most, limit))

    def later(self, name: str, seconds: Sequence[float], than: str, at_most: float) -> None:
        """A row that may take so many seconds more than ``than``."""
        more = statistics.median(seconds) - self.median(than)
        self._add(name, seconds, f"{more:+.2f} s", f"≤ +{at_most:g} s", _outcome(more <= at_most, "x"))

    def peer(self, name: str, seconds: Sequence[float], ours: str, at_least: float | None) -> None:
        """A peer's row; ``ours`` must be so many times faster."""
        ratio = statistics.median(seconds) / self.median(ours)
        limit = "" if at_least is None else f"≥ {at_least:g}"
        self._add(
            name, seconds, f"{ratio:.1f}", limit, _outcome(at_least is None or ratio >= at_least, limit)
        )

    def memory(self, name: str, size: int, below: int | None = None) -> None:
        """A row with a peak of memory."""
        limit = "" if below is None else f"< {below // MIB} MiB"
        shown = f"{size / MIB:,.0f} MiB"
        self._put(name, shown, "", "", limit, _outcome(below is None or size < below, limit))

    def left_out(self, name: str, reason: object) -> None:
        """A row that could not be measured."""
        self._put(name, "not measured", "", "", "", " ".join(str(reason).split())[:300])

    def median(self, name: str) -> float:
        """Of a row that is in the table already."""
        return statistics.median(self.samples[name])

    def missed(self) -> list[str]:
        """Names of the rows that missed their limits."""
        return [row[0] for row in self.rows if row[-1] == MISSED]

    def _add(self, name: str, seconds: Sequence[float], ratio: str, limit: str, outcome: str) -> None:
        self.samples[name] = list(seconds)
        shown = (_seconds(statistics.median(seconds)), _seconds(min(seconds)))
        self._put(name, *shown, ratio, limit, outcome)

    def _put(self, *row: str) -> None:
        self.rows.append(row)

    def text(self) -> str:
        """The table in Markdown, in columns that are easy to read as they are."""
        rows = [HEADINGS, *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
        lines = [
            "| " + " | ".join([*map(str.ljust, row[:-1], widths), row[-1]]).rstrip() + " |" for row in rows
        ]
        lines.insert(1, "|" + "|".join(["---", *["---:"] * 3, "---", "---"]) + "|")
        return "\n".join([f"## {self.title}", "", *lines, *(f"\n{note}" for note in self.notes)])


def _outcome(good: bool, limit: str) -> str:
    return "" if not limit else MET if good else MISSED


def _seconds(value: float) -> str:
    return (
        f"{value:.2f} s"
        if value >= 1
        else f"{value * 1e3:.1f} ms"
        if value >= 0.001
        else f"{value * 1e6:.0f} µs"
    )
