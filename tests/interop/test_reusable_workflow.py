"""A repository that calls our workflow: what is built in one job is signed in another, by our identity.

The harness (``tests/pipeline``) runs every step of ``.github/workflows/build-enclave.yml``, at a commit of
what lies here, in jobs of their own, with no more rights than `permissions` say.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.caller import ROOT, Github
from tests.pipeline.repositories import snapshot

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

OURS = "glassclave/glassclave"
SIGNER = f"{OURS}/.github/workflows/build-enclave.yml"
WORKFLOW = """\
on: push
permissions: {}
jobs:
  enclave:
    permissions: { contents: read, actions: read, packages: write, id-token: write }
    uses: USES
    with:
      docker-build-context-path: app/
      artifact-tag: "1.0"
"""
ISSUER = "https://token.actions.githubusercontent.com"
Push = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def our_repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A git repository with one commit of what lies here, and the commit's id."""
    place = tmp_path_factory.mktemp("ours") / "glassclave.git"
    return place, snapshot(ROOT, place, only_known=True)


@pytest.fixture
def push(github: Github, our_repository: tuple[Path, str]) -> Push:
    """Push the caller's repository, whose workflow names ours by the commit."""
    place, commit = our_repository
    uses = f"{SIGNER}@{commit}"
    workflow = github.write_workflow(WORKFLOW.replace("USES", uses), "enclave.yml")

    def push(**scenario: Any) -> dict[str, Any]:
        shared: dict[str, Any] = {"workflow": workflow, "uses": uses, "repositories": {OURS: str(place)}}
        return github.push(**shared | scenario)

    return push


def refused(said: dict[str, Any]) -> str:
    """The line that the run's page shows; nothing was pushed."""
    assert said["failed"] is not None
    assert said["writes"] == []
    failed: str = said["failed"]
    return next(line for line in failed.splitlines() if line.startswith("::error title="))


def test_from_a_push_to_what_a_consumer_accepts(push: Push, our_repository: tuple[Path, str]) -> None:
    _, commit = our_repository
    pinned = ["--signer-workflow", SIGNER]
    verify = [
        "glassclave",
        "verify",
        "REFERENCE",
        "--repo",
        "Acme/Hello",
        "--trust-config",
        "TRUST",
        "--json",
    ]
    cosign = ["cosign", "verify", "--offline", "REFERENCE", "--certificate-oidc-issuer", ISSUER]
    judges = {
        "pinned": [*verify, *pinned],
        "pinned-at": [*verify, "--signer-workflow", f"{SIGNER}@{commit}"],
        "other-caller": [*verify[:4], "Acme/Other", *verify[5:], *pinned],
        "build-log": ["glassclave", "log", "show", *verify[2:-1], *pinned],
        "run-log": ["glassclave", "log", "show", *verify[2:-1], *pinned, "--whole-run"],
        "by-identity": [
            *cosign,
            "--certificate-identity",
            f"https://github.com/{SIGNER}@{commit}",
            "--certificate-github-workflow-repository",
            "Acme/Hello",
        ],
    }
    said = push(judges=judges)
    assert said["failed"] is None, said["failed"]
    assert said["jobs"] == dict.fromkeys(
        ("enclave / self", "enclave / build", "enclave / sign", "enclave / log"), "success"
    )
    assert said["persisted"] == [], "a token lies in a checkout"
    outputs = said["outputs"]
    assert outputs["ghcr-artifact-path"] == f"ghcr.io/acme/hello:1.0@sha256:{outputs['ghcr-artifact-digest']}"
    consumer = said["consumer"]
    # Who knows the repository alone is refused, with the words that accept it.
    assert consumer["verify"]["status"] == 1
    foreign = json.loads(consumer["verify"]["out"])
    failed = [check for check in foreign["checks"] if check["status"] == "fail"]
    assert {check["code"] for check in failed} == {"identity.signer-workflow.foreign"}
    assert all(f"--signer-workflow {SIGNER}" in check["message"] for check in failed)
    for name in ("pinned", "pinned-at", "by-identity", "oras", "build-log", "run-log"):
        assert consumer[name]["status"] == 0, consumer[name]
    # Anybody can call the workflow: its name alone says nothing about whose image it is.
    assert consumer["other-caller"]["status"] == 1
    assert "identity.repository.mismatch" in consumer["other-caller"]["out"]
    # The log of the job that built is signed with the image; that of the whole run stands beside it.
    assert "STEP 1/3: FROM scratch" in consumer["build-log"]["out"]
    assert "action take-over" not in consumer["build-log"]["out"]
    assert "action take-over" in consumer["run-log"]["out"]
    verdict = json.loads(consumer["pinned"]["out"])
    logged = [check["status"] for check in verdict["checks"] if check["step"] == "log"]
    assert logged == ["pass"]
    pcrs = verdict["subject"]["measurements"]
    assert {f"PCR{index}": outputs[f"pcr{index}"] for index in range(3)} == pcrs
    assert pcrs["PCR0"] in said["summary"]
    assert f"--signer-workflow {SIGNER}" in said["summary"]


def test_the_job_that_builds_has_no_identity(push: Push) -> None:
    said = push(given={"push": "false"})
    assert said["failed"] is None, said["failed"]
    assert said["identity"] == ["enclave / self"]
    assert said["jobs"]["enclave / sign"] == said["jobs"]["enclave / log"] == "skipped"
    assert said["writes"] == []


MEASUREMENTS = "enclave.measurements.json"
later = pytest.mark.acceptance


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (("flip", "enclave.eif"), "changed::enclave.eif is not what was sent"),
        pytest.param(("flip", MEASUREMENTS), f"changed::{MEASUREMENTS} is not what", marks=later),
        pytest.param(("add", "more.sh"), "extra::more.sh arrived and was not sent", marks=later),
        pytest.param(("remove", MEASUREMENTS), f"missing::{MEASUREMENTS} did not arrive", marks=later),
    ],
)
def test_what_changes_between_the_jobs_is_refused_on_arrival(
    push: Push, tamper: tuple[str, str], reason: str
) -> None:
    said = push(tamper=tamper)
    assert refused(said).startswith(f"::error title=action.arrival.{reason}")
    assert said["jobs"]["enclave / sign"] == "failure"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        (
            {"job_workflow_ref": f"{OURS}/.github/workflows/other.yml@refs/heads/main"},
            "does not name a commit",
        ),
        ({"job_workflow_ref": f"{SIGNER}@{'0' * 40}"}, "names two commits"),
        ({"job_workflow_ref": f"{OURS}/../{SIGNER}@refs/heads/main"}, "does not name a commit"),
        ({"job_workflow_sha": "main"}, "does not name a commit"),
        ({"job_workflow_sha": ""}, "does not name a commit"),
    ],
)
def test_a_token_that_names_no_commit_of_ours_ends_the_run(
    push: Push, claims: dict[str, str], reason: str
) -> None:
    said = push(claims=claims)
    assert reason in refused(said)
    assert said["jobs"] == {"enclave / self": "failure"} | dict.fromkeys(
        ("enclave / build", "enclave / sign", "enclave / log"), "skipped"
    )


def test_a_caller_that_gives_fewer_rights_is_told_before_anything_runs(github: Github, push: Push) -> None:
    file = github.repository / ".github" / "workflows" / "enclave.yml"
    file.write_text(file.read_text().replace(", id-token: write", ""))
    said = push()
    assert "is requesting 'id-token: write', but is only allowed 'id-token: none'" in said["failed"]
    assert said["jobs"] == {}


@pytest.mark.acceptance
def test_one_run_calls_the_workflow_for_two_images(
    github: Github, push: Push, our_repository: tuple[Path, str]
) -> None:
    """Both calls have a job `build`: each signs the log of its own."""
    uses = f"{SIGNER}@{our_repository[1]}"
    head, _, call = WORKFLOW.replace("USES", uses).partition("  enclave:")
    other = call.replace('"1.0"', '"other"').replace("app/", "other/")
    github.write_workflow(f"{head}  enclave:{call}  other:{other}", "enclave.yml")
    shutil.copytree(github.repository / "app", github.repository / "other")
    (github.repository / "other" / "page.html").write_text("other", encoding="ascii")
    shown = ["glassclave", "log", "show", "ghcr.io/acme/hello:other", "--repo", "Acme/Hello"]
    said = push(judges={"other": [*shown, "--trust-config", "TRUST", "--signer-workflow", SIGNER]})
    assert said["failed"] is None, said["failed"]
    assert set(said["jobs"].values()) == {"success"}
    other_log = said["consumer"]["other"]
    assert other_log["status"] == 0, other_log["err"]
    assert "/other becomes enclave.eif" in other_log["out"]
    assert "/app becomes enclave.eif" not in other_log["out"]
