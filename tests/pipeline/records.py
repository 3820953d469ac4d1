"""What a run leaves behind: its jobs, their steps and every line of their logs, with times.

As documented of GitHub's REST API ("List jobs for a workflow run attempt") and as its log files look.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

_TICKS = 10_000_000  # of 100 ns in a second: seven digits


def now_ticks() -> int:
    """The time in steps of 100 ns, as runners write it."""
    return time.time_ns() // 100


def second(ticks: int | None) -> str | None:
    """As the API writes times: whole seconds."""
    return None if ticks is None else f"{datetime.fromtimestamp(ticks // _TICKS, UTC):%Y-%m-%dT%H:%M:%SZ}"


def moment(ticks: int) -> str:
    """As a line of a log begins: seven digits of a second."""
    return f"{datetime.fromtimestamp(ticks // _TICKS, UTC):%Y-%m-%dT%H:%M:%S}.{ticks % _TICKS:07d}Z"


@dataclass
class StepRecord:
    """A step; ``conclusion``: success, failure, skipped, or ``None`` while it runs."""

    name: str
    number: int
    started: int
    completed: int | None = None
    conclusion: str | None = None

    def shown(self) -> dict[str, object]:
        return {
            "name": self.name,
            "status": "in_progress" if self.conclusion is None else "completed",
            "conclusion": self.conclusion,
            "number": self.number,
            "started_at": second(self.started),
            "completed_at": second(self.completed),
        }


@dataclass
class JobRecord:
    """A job; its log grows until it is completed."""

    id: int
    name: str
    labels: tuple[str, ...] = ("ubuntu-24.04",)
    started: int = field(default_factory=now_ticks)
    completed: int | None = None
    conclusion: str | None = None
    steps: list[StepRecord] = field(default_factory=list)
    lines: list[tuple[int, str]] = field(default_factory=list)

    @property
    def runner_name(self) -> str:
        return f"GitHub Actions {self.id}"

    def say(self, text: str) -> None:
        """Lines of the log, with the time of now."""
        self.lines += [(now_ticks(), line) for line in text.splitlines() or [""]]

    def begin(self, name: str) -> StepRecord:
        step = StepRecord(name, len(self.steps) + 1, now_ticks())
        self.steps.append(step)
        return step

    @staticmethod
    def end(step: StepRecord, conclusion: str) -> None:
        step.completed = now_ticks()
        step.conclusion = conclusion

    def complete(self, conclusion: str) -> None:
        self.completed = now_ticks()
        self.conclusion = conclusion

    def text(self) -> bytes:
        """The log as it is downloaded: a byte order mark, then one time and one line each."""
        body = "".join(f"{moment(at)} {line}\n" for at, line in self.lines)
        return ("\ufeff" + body).encode()

    def shown(self, repository: str, run: int, attempt: int, sha: str) -> dict[str, object]:
        """As the API shows it, without the fields that are addresses of other things."""
        return {
            "id": self.id,
            "run_id": run,
            "run_attempt": attempt,
            "head_sha": sha,
            "html_url": f"https://github.com/{repository}/actions/runs/{run}/job/{self.id}",
            "name": self.name,
            "status": "in_progress" if self.conclusion is None else "completed",
            "conclusion": self.conclusion,
            "created_at": second(self.started),
            "started_at": second(self.started),
            "completed_at": second(self.completed),
            "steps": [step.shown() for step in self.steps],
            "labels": list(self.labels),
            "runner_id": self.id,
            "runner_name": self.runner_name,
            "runner_group_name": "GitHub Actions",
        }
