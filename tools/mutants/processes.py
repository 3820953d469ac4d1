"""Jobs in forked processes, some at a time, each with a time limit and an answer as JSON."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.004
LONGEST_PAUSE = 5.0
"""Seconds between two looks at the jobs, however busy the machine is."""


@dataclass(frozen=True, slots=True)
class Job:
    """``run`` is called in a process of its own. ``seconds``: how long it may take."""

    subject: Any
    run: Callable[[], object]
    seconds: float


@dataclass(slots=True)
class _Running:
    job: Job
    folder: Path
    deadline: float


def run_jobs(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, str, Any]]:
    """Each job with how it ended (``done``, ``died``, ``timeout``) and what it answered, as they end."""
    waiting = list(reversed(jobs))
    running: dict[int, _Running] = {}
    seen = time.monotonic()
    while waiting or running:
        # Where this process was stopped for a while, its jobs were too: that is no time of theirs.
        paused, seen = time.monotonic() - seen, time.monotonic()
        for one in running.values():
            one.deadline += paused if paused > LONGEST_PAUSE else 0
        while waiting and len(running) < workers:
            job = waiting.pop()
            folder = Path(tempfile.mkdtemp(prefix="mutant-"))
            running[_fork(job, folder)] = _Running(job, folder, time.monotonic() + job.seconds)
        for pid in list(running):
            ended, _ = os.waitpid(pid, os.WNOHANG)
            one = running[pid]
            late = not ended and time.monotonic() > one.deadline
            if late:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            if ended or late:
                del running[pid]
                answer = one.folder / "answer.json"
                found = json.loads(answer.read_text("utf-8")) if answer.exists() else None
                shutil.rmtree(one.folder, ignore_errors=True)
                yield one.job, "timeout" if late else "died" if found is None else "done", found
        time.sleep(POLL_SECONDS)


def _fork(job: Job, folder: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setpgid(0, 0)
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        answer = job.run()
        (folder / "answer.json").write_text(json.dumps(answer), "utf-8")
        status = 0
    except BaseException:  # noqa: BLE001 - the fork must never return into its parent's work
        traceback.print_exc()
    finally:
        os._exit(status)
