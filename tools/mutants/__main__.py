"""``python -m tools.mutants [MODULE…]``: see ``make mutants``.

Tests are collected and traced once. A change of a function's body is put into the running modules of a
forked process, which runs the tests that reach it, the mirrored and the quick ones first, until one fails.
A change of a module's own code (a constant, a default) is imported in a fresh process instead. What was
killed stays killed while its module is as it was; survivors run again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from tools.mutants.cold import first_failure
from tools.mutants.coverage import Coverage, digest
from tools.mutants.operators import Mutant
from tools.mutants.patch import Source
from tools.mutants.processes import Job, run_jobs
from tools.mutants.report import Outcome, read_reasons, table, write_page
from tools.mutants.session import with_tests

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "glassclave"
NOTES = ROOT / ".mutants"
"""Between runs: what tests reach, what was killed. git ignores it."""
REASONS = Path(__file__).with_name("survivors.txt")
MODULES = (
    "policy/checks/*.py", "policy/*.py", "provenance/*.py", "attestation/**/*.py",
    "eif/structure.py", "eif/reader.py", "eif/signature.py", "eif/certificate.py", "eif/checksum.py",
    "eif/format.py",
    "buildlog/record.py", "flows/verify.py", "flows/evidence.py", "flows/stated.py", "flows/find_image.py",
    "flows/beside.py", "flows/log_referrer.py",
)  # fmt: skip
ROOMS = ("policy", "provenance", "attestation", "eif", "buildlog", "oci", "flows", "report")
TESTS = (
    *(f"tests/unit/{room}" for room in ROOMS),
    "tests/unit/cli/test_attestation.py", "tests/unit/cli/test_verify.py", "tests/property",
)  # fmt: skip
LONGEST_RUN, QUICK_RUN = 30.0, 4.0
"""Seconds of tests of other rooms for one change, as measured while traced: real runs are faster."""


def main() -> int:
    """0: every survivor has a reason; 1: one has none; 2: tests could not be collected."""
    options = _options()
    os.chdir(ROOT)
    patterns = [one.removeprefix("src/glassclave/") for one in options.modules] or MODULES
    paths = [path for one in patterns for path in sorted(PACKAGE.glob(one)) if path.stat().st_size]
    outcomes: list[Outcome] = []

    def work(items: Sequence[pytest.Item]) -> None:
        outcomes.extend(_run(paths, items, options))

    if options.remembered:
        for path in paths:
            outcomes += Run(Source.read(path, PACKAGE), [], Coverage(NOTES, ROOT), options).remembered()
    elif with_tests(TESTS, work) != pytest.ExitCode.OK:
        return 2
    reasons = read_reasons(REASONS)
    if options.page:
        write_page(Path(options.page), outcomes, reasons)
    open_ones = [one for one in outcomes if not one.by and (one.module, one.mutant) not in reasons]
    print("\n".join(table(outcomes)), f"survivors without a reason: {len(open_ones)}", sep="\n")
    return int(bool(open_ones))


def _run(
    paths: Sequence[Path], items: Sequence[pytest.Item], options: argparse.Namespace
) -> Iterator[Outcome]:
    traced = sorted({path for one in MODULES for path in PACKAGE.glob(one)} | set(paths))
    coverage = Coverage(NOTES, ROOT)
    coverage.complete(items, traced, options.workers)
    for path in paths:
        found = Run(Source.read(path, PACKAGE), items, coverage, options).outcomes()
        if not found:
            continue
        for one in found:
            if not one.by:
                print(f"  lives  {one.module}:{one.line}  {one.mutant}", flush=True)
        print(table(found)[2], flush=True)
        yield from found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="e.g. 'policy/*.py'; default: all that judge")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--quick", action="store_true", help="fewer tests of other rooms, nothing imported anew"
    )
    parser.add_argument("--remembered", action="store_true", help="runs nothing: what earlier runs found")
    parser.add_argument("--page", help="page of evidence that is to be written anew")
    return parser.parse_args()


class Run:
    """The changes of one module."""

    def __init__(
        self, source: Source, items: Sequence[pytest.Item], coverage: Coverage, options: argparse.Namespace
    ) -> None:
        self._source, self._coverage = source, coverage
        self._workers, self._quick = options.workers, options.quick
        self._items = {item.nodeid: item for item in items}
        self._path = str(source.path.relative_to(ROOT))
        self._notes = NOTES / (source.name.replace("/", "-") + ".json")
        self._unfit: set[str] = set()
        self._complete = False

    def outcomes(self) -> list[Outcome]:
        """Of every change, in the order of lines."""
        killed = self._killed_before()
        todo = [one for one in self._source.mutants if one.name not in killed]
        if todo:
            self._find_unfit()
        for count, (job, end, answer) in enumerate(run_jobs([self._job(one) for one in todo], self._workers)):
            by = answer["by"] if answer else {"died": "crash"}.get(end, end)
            if by:
                killed[job.subject.name] = by
            if count % 50 == 49 or count == len(todo) - 1:
                self._notes.write_text(
                    json.dumps(
                        {
                            "source": digest(self._source.path),
                            "killed": killed,
                            "complete": count == len(todo) - 1,
                        }
                    )
                )
        return self._as_outcomes(killed)

    def remembered(self) -> list[Outcome]:
        """Of a module that was run as it is now; nothing of any other."""
        killed = self._killed_before()
        return self._as_outcomes(killed) if killed and self._complete else []

    def _as_outcomes(self, killed: dict[str, str]) -> list[Outcome]:
        return [
            Outcome(self._source.name, one.name, one.lines[0], killed.get(one.name, ""))
            for one in self._source.mutants
        ]

    def _killed_before(self) -> dict[str, str]:
        if not self._notes.exists():
            return {}
        notes = json.loads(self._notes.read_text("utf-8"))
        if notes["source"] != digest(self._source.path):
            return {}
        self._complete = notes.get("complete", True)
        found: dict[str, str] = notes["killed"]
        return found

    def _find_unfit(self) -> None:
        """Tests that fail in this order without any change."""
        while True:
            job = Job(None, partial(self._run, None, self._tests(None)), 600)
            _, end, answer = next(run_jobs([job], 1))
            if end != "done":
                raise SystemExit(f"mutants: the tests of {self._source.name} end with: {end}")
            if not answer["by"]:
                return
            print(f"  unfit  {answer['by']}", flush=True)
            self._unfit.add(answer["by"])

    def _tests(self, lines: tuple[int, int] | None) -> list[str]:
        found, left = [], QUICK_RUN if self._quick else LONGEST_RUN
        for nodeid, seconds in self._coverage.tests(self._path, lines):
            left -= seconds
            if nodeid in self._items and nodeid not in self._unfit and left > 0:
                found.append(nodeid)
        return found

    def _job(self, mutant: Mutant) -> Job:
        hot = self._source.is_hot(mutant)
        run = self._run if hot else self._run_anew
        tests = self._tests(mutant.lines if hot else None)
        return Job(mutant, partial(run, mutant, tests), 4 * LONGEST_RUN)

    def _run(self, mutant: Mutant | None, tests: Sequence[str]) -> dict[str, str]:
        if mutant is not None:
            self._source.exchange(mutant)
        return {"by": first_failure([self._items[one] for one in tests]) or ""}

    def _run_anew(self, mutant: Mutant, tests: Sequence[str]) -> dict[str, str]:
        try:
            rebound = self._source.rebind(mutant)
        except Exception as error:  # noqa: BLE001 - the module cannot be imported with the change
            return {"by": f"import: {type(error).__name__}"}
        found = self._run(None, tests) if rebound else {"by": ""}
        if self._quick:
            return found
        # What tests or classes made of the old value while they were imported is only found in a new process.
        return found if found["by"] else self._run_cold(mutant, tests)

    def _run_cold(self, mutant: Mutant, tests: Sequence[str]) -> NoReturn:
        request = Path(tempfile.gettempdir()) / "request.json"
        record = {
            "path": str(self._source.path),
            "package": str(PACKAGE),
            "mutant": mutant.name,
            "tests": tests,
        }
        request.write_text(json.dumps(record), "utf-8")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execv(sys.executable, [sys.executable, "-m", "tools.mutants.cold", str(request)])


if __name__ == "__main__":
    raise SystemExit(main())
