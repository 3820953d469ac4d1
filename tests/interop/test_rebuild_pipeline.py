"""What `init --rebuild` writes, run week after week where GitHub and ghcr.io are on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.interop.test_pipeline import ACTION
from tests.pipeline.caller import DOCKERFILE, ROOT, Github

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

STAMP = 'RUN ["/busybox", "sh", "-c", "/busybox date +%s > /stamp"]\n'


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
    command = ["git", "-C", str(folder / "workspace"), *who, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def weeks(github: Github, count: int) -> dict[str, Any]:
    """Start a repository, release it as 1.2, commit something else, and let weeks go by."""
    folder = github.folder
    git(folder, "init", "--quiet")
    git(folder, "remote", "add", "origin", "https://github.com/Acme/Hello.git")
    init = [sys.executable, "-m", "glassclave", "init", str(folder / "workspace"), "--rebuild"]
    done = subprocess.run(
        [*init, "--action", ACTION, "--checkout", "b" * 40], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "release")
    git(folder, "tag", "1.2")
    released = git(folder, "rev-parse", "HEAD")
    scenario = {"uses": ACTION, "commit": released, "weeks": count}
    (folder / "scenario.json").write_text(json.dumps(scenario), encoding="utf-8")
    environment = dict(github.environment)
    ran = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, "-m", "tests.pipeline.weekly", folder],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said: dict[str, Any] = json.loads(ran.stdout)
    assert "crashed" not in said, said["crashed"]
    assert not said["leaked"], "the job's token stands in a log, a report or an issue"
    assert said["logins"] == []
    return said


def test_an_equal_rebuild_is_signed_and_no_issue_is_opened(github: Github) -> None:
    said = weeks(github, 1)
    (week,) = said["weeks"]
    assert week["rebuild"]["result"] == "equal", week
    assert week["rebuild"]["reference"] == "ghcr.io/acme/hello:1.2"
    assert week["issue"] == "skipped"
    assert said["requests"] == []
    assert any(one.startswith("POST /Acme/Hello/git-upload-pack") for one in said["fetched"])
    verdict = json.loads(said["consumer"]["policy"]["out"])
    assert verdict["passed"], verdict
    (finding,) = [one for one in verdict["findings"] if one["code"].startswith("rebuild.")]
    assert finding["code"] == "rebuild.own"
    assert "Acme/Hello/.github/workflows/enclave-rebuild.yml@refs/heads/main" in finding["message"]


def test_what_differs_becomes_one_issue_and_then_a_comment(github: Github) -> None:
    (github.folder / "workspace" / "app" / "Dockerfile").write_text(DOCKERFILE + STAMP, encoding="ascii")
    said = weeks(github, 2)
    for week in said["weeks"]:
        assert week["rebuild"]["result"] == "different", week
        assert week["issue"]["permissions"] == ["issues"]
    (issue,) = said["issues"]
    assert issue["title"] == "Enclave image ghcr.io/acme/hello:1.2 cannot be built again"
    assert "`/stamp`: content" in issue["body"]
    assert "[this run](https://github.com/Acme/Hello/actions/runs/777)" in issue["body"]
    (comment,) = issue["comments"]
    assert "`/stamp`: content" in comment
    verdict = json.loads(said["consumer"]["policy"]["out"])
    assert verdict["passed"]
    assert [one for one in verdict["findings"] if one["code"].startswith("rebuild.")] == []
