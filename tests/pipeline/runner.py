"""A GitHub runner small enough to read: `run:` and `uses:` steps, composite actions, the runner's files.

Each `uses:` of a workflow is a local action, or has a stand-in that refuses inputs that it does not know.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.pipeline.expressions import evaluate, holds

StandIn = Callable[["Job", Mapping[str, str]], None]


class StepFailedError(Exception):
    """A step that ended with another status than 0; what it said."""


@dataclass
class Job:
    """One job: ``github`` and ``secrets`` are contexts, ``environment`` what every step sees."""

    workspace: Path
    temporary: Path
    github: dict[str, str]
    environment: dict[str, str]
    actions: dict[str, Path] = field(default_factory=dict)
    stand_ins: dict[str, StandIn] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    with_more: dict[str, dict[str, str]] = field(default_factory=dict)
    """Inputs that this machine needs and a workflow does not set, by action."""
    log: list[str] = field(default_factory=list)
    summary: str = ""

    def run_steps(
        self, steps: list[dict[str, Any]], inputs: Mapping[str, str], place: Path | None
    ) -> dict[str, Any]:
        """Run steps in order; the ``steps`` context afterwards."""
        outputs: dict[str, Any] = {}
        for step in steps:
            context = {
                "inputs": inputs,
                "steps": outputs,
                "github": self.github,
                "secrets": self.secrets,
                "env": {},
            }
            if not holds(step.get("if", True), context):
                self.log.append(f"skipped: {step.get('name', step.get('id'))}")
                continue
            self.log.append(f"step: {step.get('name', step.get('id', step.get('uses')))}")
            known = {"name", "id", "if", "uses", "with", "run", "shell", "env", "working-directory"}
            if unknown := set(step) - known:
                raise ValueError(f"keys of a step that this runner does not know: {unknown}")
            env = {name: evaluate(str(value), context) for name, value in step.get("env", {}).items()}
            if "uses" in step:
                given = {name: _text(value, context) for name, value in step.get("with", {}).items()}
                found = self._use(step["uses"], given)
            else:
                if step.get("shell", "bash") != "bash":
                    raise ValueError("only bash is known here")
                found = self._script(evaluate(step["run"], context), env, place)
            outputs[str(step.get("id", ""))] = {"outputs": found}
        return outputs

    def _use(self, name: str, given: dict[str, str]) -> dict[str, str]:
        stand_in = self.stand_ins.get(name.partition("@")[0])
        if stand_in is not None:
            stand_in(self, given)
            return {}
        if name not in self.actions:
            raise ValueError(f"{name} is no local action and has no stand-in")
        place = self.actions[name]
        action = yaml.safe_load((place / "action.yml").read_text(encoding="utf-8"))
        given = given | self.with_more.get(name, {})
        if unknown := set(given) - set(action["inputs"]):
            raise ValueError(f"{name} has no inputs {sorted(unknown)}")
        context = {"github": self.github}
        inputs = {
            key: given.get(key, evaluate(str(entry.get("default", "")), context))
            for key, entry in action["inputs"].items()
        }
        steps = self.run_steps(action["runs"]["steps"], inputs, place)
        return {
            key: evaluate(entry["value"], {"steps": steps})
            for key, entry in action.get("outputs", {}).items()
        }

    def _script(self, script: str, env: Mapping[str, str], place: Path | None) -> dict[str, str]:
        files = {
            name: self.temporary / f"{name.lower()}-{len(self.log)}"
            for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV", "GITHUB_PATH")
        }
        for path in files.values():
            path.touch()
        environment = self.environment | {name: str(path) for name, path in files.items()} | dict(env)
        environment |= {
            f"GITHUB_{name.upper()}": value for name, value in self.github.items() if name != "token"
        }
        if place is not None:
            environment["GITHUB_ACTION_PATH"] = str(place)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.workspace,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        self.log += [line for line in (done.stdout + done.stderr).splitlines() if line]
        self.summary += files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
        if done.returncode != 0:
            raise StepFailedError(done.stdout + done.stderr)
        pairs = [
            line.partition("=") for line in files["GITHUB_OUTPUT"].read_text(encoding="utf-8").splitlines()
        ]
        return {name: value for name, _, value in pairs}


def _text(value: object, context: Mapping[str, Any]) -> str:
    return str(value).lower() if isinstance(value, bool) else evaluate(str(value), context)


def checkout(job: Job, given: Mapping[str, str]) -> None:
    """Stand-in for actions/checkout: the repository is in the workspace already."""
    if unknown := set(given) - {"persist-credentials", "fetch-depth"}:
        raise ValueError(f"checkout: unknown inputs {sorted(unknown)}")
    if not os.listdir(job.workspace):
        raise ValueError("checkout: the workspace is empty")
