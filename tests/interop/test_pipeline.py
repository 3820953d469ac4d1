"""A repository whose workflow uses our action: from a push to what a stranger finds, without GitHub.

The harness (``tests/pipeline``) runs every `run:` step of action.yml where ghcr.io is on loopback.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.caller import Github

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

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
VERIFY = ["glassclave", "verify", "REFERENCE", "--repo", "Acme/Hello", "--trust-config", "TRUST", "--json"]


def test_a_workflow_of_the_older_action_works_with_another_uses_line(github: Github) -> None:
    said = github.with_new_runners().push(workflow=github.write_workflow(WORKFLOW), uses=ACTION)
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
    assert {"actions/checkout", "ghcr.io", "Sigstore", "the package index"} <= set(said["stand_ins"])


def test_what_init_writes_runs_and_its_policy_accepts_the_result(github: Github) -> None:
    git = ["git", "-C", str(github.repository), "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "remote", "add", "origin", "https://github.com/Acme/Hello.git"], check=True)
    command = [sys.executable, "-m", "glassclave", "init", str(github.repository), "--action", ACTION]
    subprocess.run([*command, "--checkout", "b" * 40], check=True, capture_output=True)
    said = github.push(workflow=".github/workflows/enclave.yml", uses=ACTION, ref="refs/tags/1.2")
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
    said = github.push(workflow=github.write_workflow(WORKFLOW), uses=ACTION, given=change)
    assert said["failed"] is not None
    error = next(line for line in said["failed"].splitlines() if line.startswith("::error title="))
    assert message in error
    assert said["writes"] == []


def judged(said: dict[str, Any]) -> tuple[int, list[str]]:
    """Exit status of the consumer's `verify`, and the codes of what failed."""
    done = said["consumer"]["verify"]
    checks = json.loads(done["out"])["checks"]
    return done["status"], [check["code"] for check in checks if check["status"] == "fail"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"claims": {"event_name": "pull_request"}}, "identity.trigger.not-allowed"),
        ({"claims": {"runner_environment": "self-hosted"}}, "identity.runner.not-github-hosted"),
        ({"swap_log": True}, "log.digest.mismatch"),
        ({"judges": {"verify": [*VERIFY, "--source-digest", "5" * 40]}}, "identity.source-digest.mismatch"),
    ],
)
def test_each_change_is_refused_for_a_reason_of_its_own(
    github: Github, change: dict[str, Any], code: str
) -> None:
    said = github.push(workflow=github.write_workflow(WORKFLOW), uses=ACTION, **change)
    assert judged(said) == (1, [code])
