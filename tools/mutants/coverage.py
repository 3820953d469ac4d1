"""Which test executes which line of the modules under test, and for how long it runs.

Each test runs in a process of its own, forked after all tests were collected: what one test leaves in a
cache would otherwise hide the lines behind it from all others.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tools.mutants.patch import forget
from tools.mutants.processes import Job, run_jobs
from tools.mutants.session import run_test


class Tracer:
    """Notes the lines of some files. Frames of other files are not traced, which keeps tests fast."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = {str(path): set[int]() for path in paths}

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        """The global trace function."""
        lines = self._paths.get(frame.f_code.co_filename)
        if lines is None:
            return None

        def local(inner: FrameType, what: str, argument: Any) -> Any:
            if what == "line":
                lines.add(inner.f_lineno)
            return local

        return local

    def lines(self) -> dict[str, list[int]]:
        """What was noted."""
        return {path: sorted(lines) for path, lines in self._paths.items() if lines}


def digest(path: Path) -> str:
    """Of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


class Coverage:
    """The notes, kept in ``folder`` between runs; a test file that changed is run again."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._file = folder / "coverage.json"
        self._root = root
        self._tests: dict[str, Any] = json.loads(self._file.read_text("utf-8")) if self._file.exists() else {}

    def complete(self, items: Sequence[pytest.Item], sources: Sequence[Path], workers: int) -> None:
        """Runs what is not known yet."""
        now = {str(path): digest(path) for path in {Path(item.path) for item in items}}
        known = self._tests
        missing = [item for item in items if known.get(item.nodeid, {}).get("file") != now[str(item.path)]]
        if not missing:
            return
        print(f"mutants: {len(missing)} tests to be traced", flush=True)
        digests = {str(path): digest(path) for path in sources}
        jobs = [Job(item, partial(_trace, item, sources), 600) for item in missing]
        for count, (job, _, answer) in enumerate(run_jobs(jobs, workers)):
            found = answer or {"seconds": 600, "passed": False, "lines": {}}
            found["lines"] = {
                str(Path(path).relative_to(self._root)): {"of": digests[path], "numbers": numbers}
                for path, numbers in found["lines"].items()
            }
            known[job.subject.nodeid] = {**found, "file": now[str(job.subject.path)]}
            if count % 200 == 199:
                self._write()
        self._write()

    def _write(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self._tests), "utf-8")

    def tests(self, source: str, lines: tuple[int, int] | None) -> list[tuple[str, float]]:
        """Passed tests that reach ``lines`` of ``source`` (``None``: any), and their seconds: those that
        mirror the module, then those of its room, which all count as quick, then others, the quick first."""
        now, found = digest(self._root / source), []
        for nodeid, one in self._tests.items():
            covered = one["lines"].get(source)
            if one["passed"] and covered and _reaches(covered, now, lines):
                found.append((nodeid, one["seconds"]))
        ranked = sorted((_distance(nodeid, source), seconds, nodeid) for nodeid, seconds in found)
        return [(nodeid, seconds if far > 1 else 0) for far, seconds, nodeid in ranked]

    def failed(self) -> list[str]:
        """Tests that fail without any change: they can show nothing."""
        return [nodeid for nodeid, one in self._tests.items() if not one["passed"]]


def _reaches(covered: dict[str, Any], now: str, lines: tuple[int, int] | None) -> bool:
    if lines is None or covered["of"] != now:
        return True  # or it may: lines moved since the test was traced
    return any(lines[0] <= number <= lines[1] for number in covered["numbers"])


def _distance(nodeid: str, source: str) -> int:
    path = Path(source)
    if f"/test_{path.stem}.py" in nodeid:
        return 0
    return 1 if f"/unit/{path.parts[2]}/" in nodeid else 2


def _trace(item: pytest.Item, sources: Sequence[Path]) -> dict[str, object]:
    tracer = Tracer(sources)
    forget()
    threading.settrace(tracer)
    started = time.monotonic()
    sys.settrace(tracer)
    passed = run_test(item)
    sys.settrace(None)
    return {"seconds": time.monotonic() - started, "passed": passed, "lines": tracer.lines()}
