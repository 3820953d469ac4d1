"""A run of a workflow with several jobs and called workflows, as far as our files use them.

Each job has a workspace, a temporary folder and a home of its own, and no more rights than `permissions`
say: without ``id-token: write`` no identity, without ``packages: write`` no push, without ``actions: read``
no log.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from glassclave_sandbox.services import Services
from tests.pipeline.expressions import STATUS, evaluate, holds
from tests.pipeline.github_api import GithubApi
from tests.pipeline.records import JobRecord
from tests.pipeline.runner import Job, StandIn, StepFailedError

LEVELS = ("none", "read", "write")
JOB_KEYS = {
    "name", "needs", "if", "runs-on", "permissions", "outputs", "env", "steps", "timeout-minutes",
    "concurrency", "environment", "container",
}  # fmt: skip
CALL_KEYS = {"name", "needs", "if", "permissions", "uses", "with", "secrets"}
IDENTITY = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")


class StartupError(Exception):
    """A run that GitHub would not begin."""


@dataclass(frozen=True)
class Source:
    """A workflow's file at a commit; ``ref`` as `uses:` or the event names it."""

    repository: str
    path: str
    ref: str
    sha: str

    @property
    def name(self) -> str:
        """As the claims ``workflow_ref`` and ``job_workflow_ref`` have it."""
        return f"{self.repository}/{self.path}@{self.ref}"


@dataclass
class Outcome:
    """A job when it is over; ``job``: ``None`` where none was run."""

    name: str
    result: str
    outputs: dict[str, str] = field(default_factory=dict)
    job: Job | None = None
    failed: str | None = None


@dataclass
class Run:
    """One run. ``github``: the event's context; ``environment``: of every step of every job."""

    folder: Path
    github: Mapping[str, str]
    environment: Mapping[str, str]
    repositories: Mapping[str, Path]
    services: Services
    api: GithubApi
    stand_ins: Mapping[str, StandIn]
    actions: Mapping[str, Path] = field(default_factory=dict)
    with_more: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    jobs_left_out: frozenset[str] = frozenset()
    """Keys of jobs of the first workflow that count as done here, without outputs."""
    claims: Mapping[str, str] = field(default_factory=dict)
    """Claims that somebody's token has otherwise."""
    installed: Path | None = None
    """What our first step would install, for every runner to have already."""
    outcomes: list[Outcome] = field(default_factory=list)

    def start(self, path: str) -> dict[str, Outcome]:
        """Run the workflow at ``path`` of the repository of the event."""
        source = Source(self.github["repository"], path, self.github["ref"], self.github["sha"])
        top = _Level(self, source, top=source)
        top.check_permissions()
        return top.run({})

    def read(self, source: Source) -> dict[str, Any]:
        """A workflow's file, from the commit."""
        git = ["git", "-C", str(self.repositories[source.repository]), "show", f"{source.sha}:{source.path}"]
        found = subprocess.run(git, capture_output=True, text=True, check=False)
        if found.returncode:
            raise StartupError(f"{source.name} was not found")
        document: dict[str, Any] = yaml.safe_load(found.stdout)
        return document


@dataclass
class _Level:
    """The jobs of one workflow file, which the event or another workflow starts."""

    started: Run
    source: Source
    top: Source
    prefix: str = ""
    allowed: Mapping[str, str] | None = None
    document: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.document = self.started.read(self.source)

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.document["jobs"]
        return found

    def permissions(self, job: Mapping[str, Any]) -> Mapping[str, str]:
        found = job.get("permissions", self.document.get("permissions"))
        if not isinstance(found, dict):
            raise StartupError(f"{self.source.name}: a job without permissions of its own")
        return found

    def check_permissions(self) -> None:
        """No job of a called workflow may have more than the job that calls (GitHub begins no such run)."""
        for key, job in self.jobs.items():
            for scope, level in self.permissions(job).items():
                most = "write" if self.allowed is None else self.allowed.get(scope, "none")
                if LEVELS.index(level) > LEVELS.index(most):
                    raise StartupError(
                        f"the nested job {key!r} is requesting '{scope}: {level}',"
                        f" but is only allowed '{scope}: {most}'"
                    )
            if "uses" in job:
                self.called(key, job).check_permissions()

    def called(self, key: str, job: Mapping[str, Any]) -> _Level:
        name = f"{self.prefix}{job.get('name', key)} / "
        place: str = job["uses"]
        if place.startswith("./"):
            source = replace(self.source, path=place[2:])
        else:
            where, _, ref = place.partition("@")
            owner, repository, path = where.split("/", 2)
            source = Source(f"{owner}/{repository}", path, ref, ref)
        return _Level(self.started, source, self.top, name, self.permissions(job))

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Outcome]:
        """Every job, in the order that `needs` asks for."""
        done: dict[str, Outcome] = {}
        env = {}
        context = {"github": self.started.github, "inputs": inputs}
        for name, value in self.document.get("env", {}).items():
            env[name] = evaluate(str(value), context)
        for key in self.in_order():
            job = self.jobs[key]
            needed = [done[name] for name in _needs(job)]
            known = {
                name: {"outputs": done[name].outputs, "result": done[name].result} for name in _needs(job)
            }
            fine = all(outcome.result == "success" for outcome in needed)
            state = {"needs": known, STATUS: "success" if fine else "failure"}
            name = f"{self.prefix}{job.get('name', key)}"
            if not self.prefix and key in self.started.jobs_left_out:
                done[key] = Outcome(name, "success")
            elif not holds(job.get("if", True), context | state):
                done[key] = Outcome(name, "skipped")
                self.started.outcomes.append(done[key])
            elif "uses" in job:
                done[key] = self.call(key, job, context | state)
            else:
                done[key] = self.run_job(key, job, context | state, env)
        return done

    def in_order(self) -> Iterator[str]:
        left = dict(self.jobs)
        while left:
            ready = [key for key, job in left.items() if not set(_needs(job)) & set(left)]
            if not ready:
                raise StartupError(f"jobs that wait for each other: {sorted(left)}")
            yield ready[0]
            del left[ready[0]]

    def call(self, key: str, job: dict[str, Any], context: Mapping[str, Any]) -> Outcome:
        """Another workflow's jobs, with inputs of the types that it declares."""
        if unknown := set(job) - CALL_KEYS:
            raise ValueError(f"keys of a call that this runner does not know: {unknown}")
        inner = self.called(key, job)
        declared = _trigger(inner.document)
        given: dict[str, Any] = {
            name: value if isinstance(value, bool) else evaluate(str(value), context)
            for name, value in job.get("with", {}).items()
        } | dict(self.started.with_more.get(job["uses"], {}))
        outcomes = inner.run(_inputs(declared.get("inputs", {}), given, inner.source.name))
        results = {outcome.result for outcome in outcomes.values()}
        jobs = {name: {"outputs": outcome.outputs} for name, outcome in outcomes.items()}
        outputs = {
            name: evaluate(entry["value"], {"jobs": jobs})
            for name, entry in declared.get("outputs", {}).items()
        }
        failed = next((outcome.failed for outcome in outcomes.values() if outcome.failed), None)
        return Outcome(inner.prefix, "failure" if "failure" in results else "success", outputs, failed=failed)

    def run_job(
        self, key: str, described: dict[str, Any], context: Mapping[str, Any], env: Mapping[str, str]
    ) -> Outcome:
        """One job, in folders of its own."""
        if unknown := set(described) - JOB_KEYS:
            raise ValueError(f"keys of a job that this runner does not know: {unknown}")
        job = self.prepare(key, described, context, env)
        outcome = Outcome(job.record.name, "success", job=job)
        try:
            steps = job.run_steps(described["steps"], context.get("inputs", {}), None)
            outcome.outputs = {
                name: evaluate(str(value), {"steps": steps, "needs": job.needs})
                for name, value in described.get("outputs", {}).items()
            }
        except StepFailedError as error:
            outcome.result, outcome.failed = "failure", str(error)
        job.say("Cleaning up orphan processes")
        job.record.complete(outcome.result)
        self.started.outcomes.append(outcome)
        return outcome

    def prepare(
        self, key: str, described: dict[str, Any], context: Mapping[str, Any], env: Mapping[str, str]
    ) -> Job:
        run = self.started
        number = len(run.api.jobs)
        permissions = self.permissions(described)
        folder = run.folder / "jobs" / f"{number}-{key}"
        workspace, temporary, home = (folder / name for name in ("workspace", "temporary", "home"))
        workspace.mkdir(parents=True)
        temporary.mkdir()
        if run.installed is not None:
            (temporary / "glassclave").mkdir()
            subprocess.run(["cp", "-al", run.installed, temporary / "glassclave" / "venv"], check=True)
        shutil.copytree(run.folder / "home", home)
        record = JobRecord(9000 + number, f"{self.prefix}{described.get('name', key)}")
        run.api.jobs.append(record)
        token = run.api.grant(permissions)
        job = Job(
            workspace=workspace,
            temporary=temporary,
            github={**run.github, "token": token, "job": key},
            environment={
                **run.environment,
                "HOME": str(home),
                "TMPDIR": str(temporary),
                "RUNNER_TEMP": str(temporary),
                "GITHUB_WORKSPACE": str(workspace),
                "RUNNER_NAME": record.runner_name,
                **self.identity(permissions, described.get("environment", "")),
                **env,
            },
            permissions=permissions,
            actions=run.actions,
            stand_ins=run.stand_ins,
            secrets={"GITHUB_TOKEN": token},
            needs=context["needs"],
            with_more=run.with_more,
            deployment=described.get("environment", ""),
            record=record,
        )
        own = {"needs": job.needs, **job.context(context["inputs"])}
        job.environment |= {
            name: evaluate(str(value), own) for name, value in described.get("env", {}).items()
        }
        job.say("Current runner version: '2.330.0'\n##[group]GITHUB_TOKEN Permissions")
        job.say("".join(f"{scope}: {level}\n" for scope, level in permissions.items()) + "##[endgroup]")
        return job

    def identity(self, permissions: Mapping[str, str], deployment: str) -> dict[str, str]:
        """Where a job asks for a token, if it may: with the claims of its own workflow file."""
        if permissions.get("id-token") != "write":
            return {}
        github, top = self.started.github, self.top
        claims = {
            **{
                name: github[name]
                for name in ("repository", "sha", "ref", "event_name", "run_id", "run_attempt")
            },
            "workflow_ref": top.name,
            "workflow_sha": top.sha,
            "job_workflow_ref": self.source.name,
            "job_workflow_sha": self.source.sha,
            **({"environment": deployment} if deployment else {}),
            **self.started.claims,
        }
        environment = self.started.services.environment(**claims)
        return {name: environment[name] for name in IDENTITY}


def _needs(job: Mapping[str, Any]) -> list[str]:
    found = job.get("needs", [])
    return [found] if isinstance(found, str) else list(found)


def _trigger(document: Mapping[Any, Any]) -> dict[str, Any]:
    """``on: workflow_call``; YAML 1.1 reads ``on`` as true."""
    found = document.get("on", document.get(True))
    if not isinstance(found, dict) or "workflow_call" not in found:
        raise StartupError("the workflow is not to be called by others")
    return dict(found["workflow_call"] or {})


def _inputs(declared: Mapping[str, Any], given: Mapping[str, Any], name: str) -> dict[str, Any]:
    if unknown := set(given) - set(declared):
        raise StartupError(f"{name} has no inputs {sorted(unknown)}")
    found: dict[str, Any] = {}
    for key, entry in declared.items():
        if key not in given and entry.get("required"):
            raise StartupError(f"{name}: the input {key} is required")
        value = given.get(key, entry.get("default", ""))
        if entry["type"] == "boolean" and not isinstance(value, bool):
            if value not in ("true", "false"):
                raise StartupError(f"{name}: the input {key} is no boolean: {value!r}")
            value = value == "true"
        found[key] = value
    return found
