"""A GitHub runner small enough to read: `run:` and `uses:` steps, composite actions, the runner's files.

Each `uses:` of a workflow is a local action, or has a stand-in that refuses inputs that it does not know.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.pipeline.expressions import STATUS, evaluate, holds
from tests.pipeline.records import JobRecord

StandIn = Callable[["Job", Mapping[str, str]], Mapping[str, str]]

FILES = ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV", "GITHUB_PATH")
KEYS = {"name", "id", "if", "uses", "with", "run", "shell", "env", "working-directory", "timeout-minutes"}
SHELLS = {
    "": ["bash", "-e"],
    "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"],
}
"""Without a name it is bash all the same, with fewer options."""
_COMMAND = re.compile(r"::(error|warning|notice|group|endgroup|debug)(?: [^:]*)?::(.*)", re.DOTALL)
_BEFORE_VALUE = re.compile(r"([^=<]+)<<(.+)")


class StepFailedError(Exception):
    """A step that ended with another status than 0; what it said."""


@dataclass
class Job:
    """One job: ``github``, ``needs`` and ``secrets`` are contexts, ``environment`` what every step sees."""

    workspace: Path
    temporary: Path
    github: dict[str, str]
    environment: dict[str, str]
    permissions: Mapping[str, str]
    actions: Mapping[str, Path] = field(default_factory=dict)
    stand_ins: Mapping[str, StandIn] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, Any] = field(default_factory=dict)
    with_more: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Inputs that this machine needs and a workflow does not set, by action."""
    record: JobRecord = field(default_factory=lambda: JobRecord(1, "job"))
    deployment: str = ""
    """The environment that the job deploys to, in GitHub's sense of the word."""
    log: list[str] = field(default_factory=list)
    summary: str = ""
    steps: dict[str, Any] = field(default_factory=dict)
    """The ``steps`` context of the job, as far as it came."""

    def say(self, text: str) -> None:
        """Into the log; what is served of it has the token blotted out, as on GitHub."""
        self.log += text.splitlines()
        token = self.github.get("token", "")
        self.record.say(text.replace(token, "***") if token else text)

    def run_steps(
        self, steps: list[dict[str, Any]], inputs: Mapping[str, Any], place: Path | None
    ) -> dict[str, Any]:
        """Run steps in order; the ``steps`` context afterwards. `StepFailedError` when all were looked at."""
        outputs: dict[str, Any] = {}
        failed: StepFailedError | None = None
        if place is None:
            self.steps = outputs
        for number, step in enumerate(steps):
            if unknown := set(step) - KEYS:
                raise ValueError(f"keys of a step that this runner does not know: {unknown}")
            context = self.context(inputs) | {
                "steps": outputs,
                STATUS: "success" if failed is None else "failure",
            }
            name = str(step.get("name", step.get("id", step.get("uses", "run"))))
            key = str(step.get("id", f"(step {number})"))
            recorded = None if place is not None else self.record.begin(name)
            outcome, outputs[key] = "skipped", {"outputs": {}, "outcome": "skipped"}
            if holds(step.get("if", True), context):
                self.log.append(f"step: {name}")
                try:
                    found, outcome = self._step(step, context, place), "success"
                    outputs[key] = {"outputs": found, "outcome": outcome}
                except StepFailedError as error:
                    failed, outcome = error, "failure"
                    outputs[key]["outcome"] = outcome
            else:
                self.log.append(f"skipped: {name}")
            if recorded is not None:
                self.record.end(recorded, outcome)
        if failed is not None:
            raise failed
        return outputs

    def context(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What expressions can name anywhere in this job."""
        return {
            "inputs": inputs,
            "github": self.github,
            "secrets": self.secrets,
            "needs": self.needs,
            "runner": {"temp": str(self.temporary), "os": "Linux", "arch": "X64"},
            "env": dict(self.environment),
        }

    def _step(self, step: dict[str, Any], context: dict[str, Any], place: Path | None) -> dict[str, str]:
        env = {name: _text(value, context) for name, value in step.get("env", {}).items()}
        if "uses" in step:
            given = {name: _text(value, context) for name, value in step.get("with", {}).items()}
            return self._use(step["uses"], given)
        if "${{" in step["run"]:
            raise ValueError("an expression in a script: values reach scripts through the environment")
        folder = self.workspace / _text(step.get("working-directory", "."), context)
        return self._script(step["run"], str(step.get("shell", "")), env, place, folder)

    def _use(self, name: str, given: dict[str, str]) -> dict[str, str]:
        stand_in = self.stand_ins.get(name.partition("@")[0])
        if stand_in is not None:
            self.say(f"##[group]Run {name}\nwith:")
            self.say("".join(f"  {key}: {value}\n" for key, value in given.items()) + "##[endgroup]")
            return dict(stand_in(self, given))
        if name not in self.actions:
            raise ValueError(f"{name} is no local action and has no stand-in")
        place = self.actions[name]
        action = yaml.safe_load((place / "action.yml").read_text(encoding="utf-8"))
        given = given | dict(self.with_more.get(name, {}))
        if unknown := set(given) - set(action["inputs"]):
            raise ValueError(f"{name} has no inputs {sorted(unknown)}")
        inputs = {
            key: given.get(key, evaluate(str(entry.get("default", "")), {"github": self.github}))
            for key, entry in action["inputs"].items()
        }
        steps = self.run_steps(action["runs"]["steps"], inputs, place)
        return {
            key: evaluate(entry["value"], {"steps": steps})
            for key, entry in action.get("outputs", {}).items()
        }

    def _script(
        self, script: str, shell: str, env: Mapping[str, str], place: Path | None, folder: Path
    ) -> dict[str, str]:
        files = {name: self.temporary / f"{name.lower()}-{len(self.log)}" for name in FILES}
        for path in files.values():
            path.touch()
        text = self.temporary / f"script-{len(self.log)}.sh"
        text.write_text(script, encoding="utf-8")
        environment = self.environment | {name: str(path) for name, path in files.items()} | dict(env)
        environment |= {
            f"GITHUB_{name.upper()}": value for name, value in self.github.items() if name != "token"
        }
        if place is not None:
            environment["GITHUB_ACTION_PATH"] = str(place)
        self.say(f"##[group]Run {script.splitlines()[0]}")
        self.say("\n".join(f"\x1b[36;1m{line}\x1b[0m" for line in script.splitlines()))
        self.say(f"shell: {' '.join(SHELLS[shell])} {{0}}\n##[endgroup]")
        said = self._run([*SHELLS[shell], str(text)], folder, environment)
        self.summary += files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
        if said is not None:
            raise StepFailedError(said)
        self.environment |= read_pairs(files["GITHUB_ENV"])
        added = files["GITHUB_PATH"].read_text(encoding="utf-8").split()
        self.environment["PATH"] = ":".join([*reversed(added), self.environment["PATH"]])
        return read_pairs(files["GITHUB_OUTPUT"])

    def _run(self, command: list[str], folder: Path, environment: Mapping[str, str]) -> str | None:
        """Run it, line by line into the log; all that it said where it failed."""
        said: list[str] = []
        process = subprocess.Popen(
            command, cwd=folder, env=environment, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        with process:
            for line in process.stdout or ():
                said.append(line)
                self._hear(line.rstrip("\n"))
        if process.returncode:
            self.say(f"##[error]Process completed with exit code {process.returncode}.")
        return "".join(said) if process.returncode else None

    def _hear(self, line: str) -> None:
        """A line of a script: a command to the runner is shown in the form that the log has for it."""
        if match := _COMMAND.fullmatch(line):
            self.log.append(line)
            token = self.github.get("token", "")
            shown = f"##[{match[1]}]{match[2]}"
            self.record.say(shown.replace(token, "***") if token else shown)
        else:
            self.say(line)


def read_pairs(path: Path) -> dict[str, str]:
    """``NAME=value`` and ``NAME<<END`` of a file that a step wrote for the runner."""
    found: dict[str, str] = {}
    lines = iter(path.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if match := _BEFORE_VALUE.fullmatch(line):
            value = []
            for inner in lines:
                if inner == match[2]:
                    break
                value.append(inner)
            found[match[1]] = "\n".join(value)
            continue
        name, equals, text = line.partition("=")
        if not equals:
            raise ValueError(f"{os.fspath(path)}: {line!r} is no NAME=value")
        found[name] = text
    return found


def _text(value: object, context: Mapping[str, Any]) -> str:
    return str(value).lower() if isinstance(value, bool) else evaluate(str(value), context)
