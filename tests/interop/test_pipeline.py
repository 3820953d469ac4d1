"""A repository whose workflow uses our action: from a push to what a stranger finds, without GitHub.

The harness (``tests/pipeline``) runs every `run:` step of action.yml where ghcr.io is on loopback.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.boot.enclave import busybox
from tests.interop.peers import PEERS

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
ACTION = "glassclave/glassclave@5f8c1e2d3a4b5c6d7e8f90a1b2c3d4e5f6a7b8c9"
# The example of the README of nitro-enclaves-eif-build-action: only the line `uses:` is another one.
WORKFLOW = f"""\
name: build
on: push
permissions:
  packages: write
  id-token: write
  contents: read
jobs:
  build:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v4
      - name: Build EIF
        id: build-eif
        uses: {ACTION}
        with:
          docker-build-context-path: app/
          dockerfile-path: Dockerfile
          enable-ghcr-push: true
          enable-artifact-sign: true
          eif-file-name: enclave.eif
          eif-info-file-name: enclave-info.json
          artifact-tag: latest
          github-token: ${{{{ secrets.GITHUB_TOKEN }}}}
"""
SIGNER = {"workflow_ref": "Acme/Hello/.github/workflows/enclave.yml@refs/tags/1.2"}
DOCKERFILE = 'FROM scratch\nCOPY busybox page.html /\nCMD ["/busybox", "httpd", "-f"]\n'


@pytest.fixture(scope="session")
def wheels() -> Path:
    """The files that requirements/action.txt names, fetched once: the runs have no network."""
    folder = PEERS / "wheels"
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--require-hashes", "--only-binary", ":all:", "-r", str(ROOT / "requirements" / "action.txt"),
        "-d", str(folder),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@dataclass(frozen=True)
class Github:
    """A folder with a repository in it, and the machine that runs its workflow."""

    folder: Path
    environment: Mapping[str, str]

    @property
    def repository(self) -> Path:
        return self.folder / "workspace"

    def push(self, **scenario: Any) -> dict[str, Any]:
        """Run the workflow; what the run, its summary and the consumer say."""
        told = {"workflow": ".github/workflows/build.yml", "uses": ACTION} | scenario
        (self.folder / "scenario.json").write_text(json.dumps(told), encoding="utf-8")
        done = subprocess.run(
            ["unshare", "--net", "--mount", sys.executable, "-m", "tests.pipeline.inside", self.folder],
            cwd=ROOT, env=dict(self.environment), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        assert "crashed" not in said, said["crashed"]
        assert not said["leaked"], "the job's token stands in a log"
        return said


@pytest.fixture
def github(tmp_path: Path, wheels: Path, buildah: Path, cosign: Path, oras: Path) -> Github:
    if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "--mount", "true"], check=False).returncode:
        pytest.skip("a network and mounts of its own are needed (root, unshare)")
    app = tmp_path / "workspace" / "app"
    app.mkdir(parents=True)
    (app / "Dockerfile").write_text(DOCKERFILE, encoding="ascii")
    (app / "busybox").write_bytes(busybox())
    (app / "busybox").chmod(0o755)
    (app / "page.html").write_text("hello", encoding="ascii")
    workflow = tmp_path / "workspace" / ".github" / "workflows" / "build.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text(WORKFLOW, encoding="ascii")
    containers = tmp_path / "home" / ".config" / "containers"
    containers.mkdir(parents=True)
    policy = '{"default": [{"type": "insecureAcceptAnything"}]}'
    (containers / "policy.json").write_text(policy, encoding="ascii")
    (tmp_path / "wheels").symlink_to(wheels)
    environment = {"PATH": f"{PEERS / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return Github(tmp_path, environment | {"LANG": "C.UTF-8"})


def test_a_workflow_of_the_older_action_works_with_another_uses_line(github: Github) -> None:
    said = github.push()
    assert said["failed"] is None
    outputs = said["outputs"]
    digest = outputs["ghcr-artifact-digest"]
    assert outputs["ghcr-artifact-path"] == f"ghcr.io/acme/hello:latest@sha256:{digest}"
    assert len(digest) == 64
    assert outputs["rekor-log-index"].isdecimal()
    assert Path(outputs["eif-file-path"]).name == "enclave.eif"
    info = json.loads(Path(outputs["eif-info-path"]).read_bytes())
    consumer = said["consumer"]
    assert consumer["cosign"]["status"] == 0, consumer["cosign"]["err"]
    assert consumer["verify"]["status"] == 0, consumer["verify"]
    verdict = json.loads(consumer["verify"]["out"])
    assert verdict["level"] == "provenance"
    logged = [check for check in verdict["checks"] if check["step"] == "log"]
    assert [check["status"] for check in logged] == ["pass"]
    log = consumer["log"]["out"]
    assert consumer["log"]["status"] == 0, consumer["log"]["err"]
    assert "glassclave build" in log
    assert "STEP 1/3: FROM scratch" in log  # what the builder said
    pcrs = verdict["subject"]["measurements"]
    assert {name: info["Measurements"][name] for name in ("PCR0", "PCR1", "PCR2")} == pcrs
    assert consumer["pulled"] == ["enclave-info.json", "enclave.eif", "enclave.measurements.json"]
    assert said["writes"][-1].endswith("/manifests/latest")
    assert pcrs["PCR0"] in said["summary"]
    assert f"glassclave verify {verdict['subject']['reference'].replace(':latest', '')}" in said["summary"]
    assert sorted(said["stand_ins"]) == [
        "GitHub's token service", "Sigstore", "actions/checkout", "ghcr.io", "the package index",
    ]  # fmt: skip


def test_what_init_writes_runs_and_its_policy_accepts_the_result(github: Github) -> None:
    git = ["git", "-C", str(github.repository), "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "remote", "add", "origin", "https://github.com/Acme/Hello.git"], check=True)
    command = [sys.executable, "-m", "glassclave", "init", str(github.repository), "--action", ACTION]
    subprocess.run([*command, "--checkout", "b" * 40], check=True, capture_output=True)
    said = github.push(workflow=".github/workflows/enclave.yml", claims={"ref": "refs/tags/1.2"} | SIGNER)
    assert said["failed"] is None, said["failed"]
    assert "/hello:1.2@sha256:" in said["consumer"]["reference"]
    assert said["consumer"]["verify"]["status"] == 0, said["consumer"]["verify"]
    assert said["consumer"]["policy"]["status"] == 0, said["consumer"]["policy"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"enable-ghcr-push": "false"}, "the input enable-artifact-sign is true and nothing is pushed"),
        ({"expected-pcrs": "PCR0=" + "0" * 96}, "expected was 000000"),
    ],
)
def test_wrong_requests_are_said_where_the_run_shows_them(
    github: Github, change: dict[str, str], message: str
) -> None:
    said = github.push(**{"with": change})
    assert said["failed"] is not None
    error = next(line for line in said["failed"].splitlines() if line.startswith("::error title="))
    assert message in error
    assert said["writes"] == []
