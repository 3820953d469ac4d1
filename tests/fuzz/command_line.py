"""The real program on one input, in bounded memory: what it says, how it ends, what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2] / "src"
SECONDS = 60
"""Generous: a row takes one or two, on a machine that has nothing else to do."""
DATA_BYTES = 400 << 20
"""What the kernel gives the program at all (RLIMIT_DATA)."""
PEAK_BYTES = 300 << 20
"""What a row may be seen to use, mapped files included (ru_maxrss)."""
# A small process starts the program, so that the peak is the program's and not pytest's before its fork.
RUNNER = """
import json, resource, subprocess, sys
most = int(sys.argv[1])
limit = lambda: resource.setrlimit(resource.RLIMIT_DATA, (most, most))
done = subprocess.run(sys.argv[2:], stdin=sys.stdin, capture_output=True, preexec_fn=limit)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
texts = [text.decode("utf-8", "backslashreplace") for text in (done.stdout, done.stderr)]
print(json.dumps([done.returncode, *texts, peak]))
"""


@dataclass(frozen=True)
class Case:
    """``make`` writes into a folder and gives the words of the command. ``code``: of the error, or of a
    finding where a judgement is possible (status 1, or 0 for what decides nothing). ``place``: what must say
    where (``offset``, ``field``, ``source``)."""

    name: str
    make: Callable[[Path], Sequence[str | Path]]
    code: str
    place: str = "source"
    status: int = 3
    stdin: str = os.devnull
    peak: int = PEAK_BYTES


@dataclass(frozen=True)
class Ended:
    """How a run ended. ``document``: what ``--json`` printed."""

    status: int
    document: dict[str, Any]
    peak: int


def run(words: Sequence[str | Path], folder: Path, stdin: str = os.devnull) -> Ended:
    """``glassclave … --json`` in ``folder``; an assertion where it did not end in one JSON document."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "TMPDIR": str(folder / "spool")}
    program = [sys.executable, "-m", "glassclave", *words, "--json"]
    with open(stdin, "rb") as given:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", RUNNER, str(DATA_BYTES), *program],
            cwd=folder,
            env=environment,
            stdin=given,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
    status, out, err, peak = json.loads(done.stdout)
    assert "Traceback" not in out + err, err[-2000:]
    return Ended(status, json.loads(out), peak)


def check(case: Case, folder: Path) -> None:
    """One row: status, code, place, memory, and nothing left in ``out`` or in the scratch folder."""
    for name in ("in", "out", "spool"):
        (folder / name).mkdir()
    ended = run(case.make(folder / "in"), folder, case.stdin)
    error = ended.document.get("error")
    if error is None:
        assert case.code in _codes(ended.document), ended.document
        assert ended.status == case.status < 2
    else:
        assert (error["code"], ended.status) == (case.code, case.status), error
        assert case.place in error, error
        assert len(json.dumps(error)) < 8000, "an error says what is wrong, not all that came"
    assert ended.peak <= case.peak, f"{ended.peak >> 20} MiB"
    for name in ("out", "spool"):
        assert list((folder / name).iterdir()) == []


def _codes(document: dict[str, Any]) -> set[str]:
    """Codes of findings, or of checks that failed."""
    findings = document.get("Findings") or document.get("findings") or []
    failed = [check for check in document.get("checks", []) if check["status"] == "fail"]
    return {str(one.get("code") or one.get("Code")) for one in [*findings, *failed]}
