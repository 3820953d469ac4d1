"""A release, and the weeks after it: the workflows of `init --rebuild` where ghcr.io and GitHub are here.

    unshare --net --mount python -m tests.pipeline.weekly FOLDER

FOLDER is that of `tests.pipeline.inside`; ``workspace`` is a git repository. Prints one JSON document.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from glassclave_sandbox.services import Services
from tests.interop.network import raise_loopback
from tests.pipeline import github
from tests.pipeline.expressions import evaluate, holds
from tests.pipeline.ghcr import HOST, Front
from tests.pipeline.inside import REPOSITORY, ROOT, consumer, job_for
from tests.pipeline.runner import Job
from tests.unit.clients.tls import certificate

RELEASE, WEEKLY = ".github/workflows/enclave.yml", ".github/workflows/enclave-rebuild.yml"


def workflow(folder: Path, path: str) -> dict[str, Any]:
    text = (folder / "workspace" / path).read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def with_needs(value: Any, needs: dict[str, Any]) -> Any:
    """The document with what it asks of other jobs filled in."""
    if isinstance(value, dict):
        return {key: with_needs(one, needs) for key, one in value.items()}
    if isinstance(value, list):
        return [with_needs(one, needs) for one in value]
    return evaluate(value, {"needs": needs}) if isinstance(value, str) and "needs." in value else value


class Runs:
    """Starts jobs, each on a fresh runner, one after the other."""

    def __init__(self, folder: Path, scenario: dict[str, Any], api: str, token: str) -> None:
        self.folder, self.scenario, self.api, self.token = folder, scenario, api, token
        self.log: list[str] = []
        self._count = 0

    def job(self, services: Services, trusted: Path, claims: dict[str, str]) -> Job:
        self._count += 1
        place = self.folder / f"runner-{self._count}"
        place.mkdir()
        for name in ("workspace", "wheels", "home"):
            (place / name).symlink_to(self.folder / name)
        job = job_for(place, services, self.scenario | {"claims": claims}, trusted, self.token)
        # Only the first runner installs for real: on the others all requirements are met already.
        first = self.folder / "runner-1" / "runner-temp" / "glassclave" / "venv"
        if first.exists():
            (job.temporary / "glassclave").mkdir()
            subprocess.run(["cp", "-al", first, job.temporary / "glassclave" / "venv"], check=True)
        name, _, commit = self.scenario["uses"].partition("@")
        again, tell = f"{name}/rebuild@{commit}", f"{name}/rebuild/issue@{commit}"
        more = {again: {"trust-config": str(services.trust_config)}}
        environment = job.environment | {
            "GIT_SSL_CAINFO": str(trusted),
            "GITHUB_API_URL": self.api,
            "GITHUB_SERVER_URL": f"https://{github.HOST}",
        }
        return replace(
            job,
            environment=environment,
            actions=job.actions | {again: ROOT / "rebuild", tell: ROOT / "rebuild" / "issue"},
            with_more=job.with_more | more,
        )

    def week(self, services: Services, trusted: Path, claims: dict[str, str]) -> dict[str, Any]:
        """The jobs of the weekly workflow in their order; what each said."""
        needs: dict[str, Any] = {}
        said: dict[str, Any] = {}
        for name, job_ in workflow(self.folder, WEEKLY)["jobs"].items():
            if not holds(job_.get("if", True), {"needs": needs}):
                said[name] = "skipped"
                continue
            job = self.job(services, trusted, claims)
            permissions = job_["permissions"]
            if "id-token" not in permissions:
                for variable in [one for one in job.environment if one.startswith("ACTIONS_ID_TOKEN_")]:
                    del job.environment[variable]
            steps = job.run_steps(with_needs(job_["steps"], needs), {"version": ""}, None)
            outputs = {
                key: evaluate(value, {"steps": steps}) for key, value in job_.get("outputs", {}).items()
            }
            needs[name] = {"outputs": outputs}
            said[name] = outputs | {"summary": job.summary, "permissions": sorted(permissions)}
            self.log += job.log
        return said


def main(folder: Path) -> dict[str, Any]:
    scenario = json.loads((folder / "scenario.json").read_text(encoding="utf-8"))
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {HOST}\n127.0.0.2 {github.HOST}\n", encoding="ascii")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    raise_loopback()
    (folder / "tls").mkdir()
    trusted, _ = certificate(folder / "tls", names=(HOST, github.HOST, "localhost"))
    served = folder / "github" / REPOSITORY
    served.parent.mkdir(parents=True)
    served.symlink_to(folder / "workspace" / ".git")
    token = secrets.token_hex(20)
    book = github.IssueBook(REPOSITORY, token)
    head = scenario["commit"]
    with (
        Services(folder / "sandbox", referrers_api=False) as services,
        github.Repositories(folder / "github", trusted) as repositories,
        github.IssuesApi(book) as api,
    ):
        front = Front(trusted, services.registry, token)
        runs = Runs(folder, scenario, api.url, token)
        at_tag = {
            "sha": head,
            "ref": "refs/tags/1.2",
            "workflow_ref": f"{REPOSITORY}/{RELEASE}@refs/tags/1.2",
        }
        release = runs.job(services, trusted, at_tag)
        (steps,) = (one["steps"] for one in workflow(folder, RELEASE)["jobs"].values())
        published = release.run_steps(steps, {}, None)
        weekly = {
            "sha": scenario.get("weekly-commit", head), "ref": "refs/heads/main", "event_name": "schedule",
            "workflow_ref": f"{REPOSITORY}/{WEEKLY}@refs/heads/main",
        }  # fmt: skip
        weeks = [runs.week(services, trusted, weekly) for _ in range(scenario["weeks"])]
        reference = list(published.values())[-1]["outputs"]["ghcr-artifact-path"]
        result = {
            "weeks": weeks, "issues": book.issues, "requests": book.requests, "logins": repositories.logins,
            "fetched": repositories.asked, "consumer": consumer(folder, services, trusted, reference),
        }  # fmt: skip
        everything = json.dumps([runs.log, release.log, weeks, book.issues])
        result["leaked"] = token in everything
        front.close()
    return result


if __name__ == "__main__":
    os.environ.pop("GITHUB_ACTIONS", None)
    try:
        answer: dict[str, Any] = main(Path(sys.argv[1]))
    except Exception:  # noqa: BLE001 - told to the test, which fails with it
        answer = {"crashed": traceback.format_exc()}
    print(json.dumps(answer))
