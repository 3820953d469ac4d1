"""A release, and the weeks after it: the workflows of `init --rebuild` where ghcr.io and GitHub are here.

    unshare --net --mount python -m tests.pipeline.weekly FOLDER

FOLDER is that of `tests.pipeline.inside`; ``workspace`` is a git repository. Prints one JSON document.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glassclave_sandbox.services import Services
from tests.interop.network import raise_loopback
from tests.pipeline import github
from tests.pipeline.ghcr import HOST, Front
from tests.pipeline.github_api import GithubApi
from tests.pipeline.inside import REPOSITORY, Scenario, consumer, run_for
from tests.pipeline.repositories import ROOT
from tests.pipeline.stand_ins import Actions, Store
from tests.pipeline.workflow import Outcome
from tests.unit.clients.tls import certificate

RELEASE, WEEKLY = ".github/workflows/enclave.yml", ".github/workflows/enclave-rebuild.yml"


@dataclass
class Github:
    """What every run of the repository shares."""

    folder: Path
    uses: str
    services: Services
    api: GithubApi
    issues: str
    """Address of the API for issues."""
    trusted: Path

    def run(self, path: str, *, event: str, ref: str, sha: str) -> dict[str, Outcome]:
        """One run of a workflow of the repository; it must not fail."""
        scenario = Scenario(
            workflow=path, uses=self.uses, ref=ref, environment={"GIT_SSL_CAINFO": str(self.trusted)}
        )
        repositories = {REPOSITORY: self.folder / "workspace" / ".git"}
        self.api.sha = sha
        actions = Actions(repositories, Store(None))
        run = run_for(self.folder, scenario, self.services, self.api, self.trusted, actions)
        name, _, commit = self.uses.partition("@")
        again, tell = f"{name}/rebuild@{commit}", f"{name}/rebuild/issue@{commit}"
        run = replace(
            run,
            github={**run.github, "event_name": event, "api_url": self.issues},
            actions={**run.actions, again: ROOT / "rebuild", tell: ROOT / "rebuild" / "issue"},
            with_more={**run.with_more, again: {"trust-config": str(self.services.trust_config)}},
        )
        outcomes = run.start(path)
        for outcome in outcomes.values():
            if outcome.failed is not None:
                raise AssertionError(outcome.failed)
        return outcomes

    def week(self, sha: str) -> dict[str, Any]:
        """The jobs of the weekly workflow; what each said."""
        outcomes = self.run(WEEKLY, event="schedule", ref="refs/heads/main", sha=sha)
        return {
            name: outcome.result
            if outcome.job is None
            else outcome.outputs
            | {"summary": outcome.job.summary, "permissions": sorted(outcome.job.permissions)}
            for name, outcome in outcomes.items()
        }


def name_the_hosts(folder: Path) -> None:
    """ghcr.io and github.com are this machine, for this process and what it starts alone."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {HOST}\n127.0.0.2 {github.HOST}\n", encoding="ascii")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    raise_loopback()


def main(folder: Path) -> dict[str, Any]:
    scenario = json.loads((folder / "scenario.json").read_text(encoding="utf-8"))
    name_the_hosts(folder)
    (folder / "tls").mkdir()
    trusted, _ = certificate(folder / "tls", names=(HOST, github.HOST, "localhost"))
    served = folder / "github" / REPOSITORY
    served.parent.mkdir(parents=True)
    served.symlink_to(folder / "workspace" / ".git")
    head = scenario["commit"]
    with (
        Services(folder / "sandbox", referrers_api=False) as services,
        GithubApi(REPOSITORY, "") as api,
        github.Repositories(folder / "github", trusted) as repositories,
        github.IssuesApi(
            github.IssueBook(REPOSITORY), lambda token: api.permissions(token).get("issues") == "write"
        ) as issues,
    ):
        front = Front(
            trusted, services.registry, lambda token: api.permissions(token).get("packages") == "write"
        )
        hub = Github(folder, scenario["uses"], services, api, issues.url, trusted)
        outcomes = hub.run(RELEASE, event="push", ref="refs/tags/1.2", sha=head)
        (job,) = (one.job for one in outcomes.values() if one.job is not None)
        reference = list(job.steps.values())[-1]["outputs"]["ghcr-artifact-path"]
        weeks = [hub.week(scenario.get("weekly-commit", head)) for _ in range(scenario["weeks"])]
        judging = Scenario(workflow=RELEASE, uses=scenario["uses"])
        result = {
            "weeks": weeks, "issues": issues.book.issues, "requests": issues.book.requests,
            "logins": repositories.logins, "fetched": repositories.asked,
            "consumer": consumer(folder, judging, services, trusted, reference),
        }  # fmt: skip
        logs = [record.text().decode() for record in api.jobs]
        everything = json.dumps([logs, weeks, issues.book.issues])
        result["leaked"] = any(token in everything for token in api.tokens())
        front.close()
    return result


if __name__ == "__main__":
    os.environ.pop("GITHUB_ACTIONS", None)
    try:
        answer: dict[str, Any] = main(Path(sys.argv[1]))
    except Exception:  # noqa: BLE001 - told to the test, which fails with it
        answer = {"crashed": traceback.format_exc()}
    print(json.dumps(answer))
