"""What a linter of GitHub's files says of ours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from glassclave.report.starter import WORKFLOW, Project, StarterImage, workflow_text
from glassclave.report.starter_rebuild import REBUILD_WORKFLOW, rebuild_workflow_text

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]


WORKFLOWS = sorted(path.name for path in (ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(
    r"uses: (?:\./\.github/workflows/[a-z-]+\.yml|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)(?: #.*)?"
)


def zizmor(folder: Path, file: str, persona: str = "pedantic") -> subprocess.CompletedProcess[str]:
    """What it says of a file, in one of its stricter moods."""
    program = Path(sys.executable).with_name("zizmor")
    command = [str(program), "--offline", "--no-progress", "--persona", persona, file]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


ACTIONS = ("action.yml", "rebuild/action.yml", "rebuild/issue/action.yml")


def read(name: str) -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_bytes())
    return document


def steps_of(job: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = job.get("steps", [])
    return found


@pytest.mark.parametrize("persona", ["pedantic", "auditor"])
@pytest.mark.parametrize("file", [*ACTIONS, *(f".github/workflows/{name}" for name in WORKFLOWS)])
def test_zizmor_finds_nothing(file: str, persona: str) -> None:
    done = zizmor(ROOT, file, persona)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.acceptance
@pytest.mark.parametrize("name", WORKFLOWS)
def test_actionlint_finds_nothing(actionlint: Path, name: str) -> None:
    done = subprocess.run(
        [actionlint, f".github/workflows/{name}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def examples(document: Path) -> list[str]:
    """The workflows that a document shows."""
    blocks = re.findall(
        r"^```yaml\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [block for block in blocks if "\njobs:\n" in block]


EXAMPLES = examples(ROOT / "docs" / "action.md")


def write_example(folder: Path, text: str) -> str:
    name = ".github/workflows/example.yml"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text(text.replace("COMMIT", "a1" * 20), encoding="utf-8")
    return name


@pytest.mark.parametrize("text", EXAMPLES)
def test_zizmor_finds_nothing_in_the_documents_examples(tmp_path: Path, text: str) -> None:
    done = zizmor(tmp_path, write_example(tmp_path, text), "regular")  # ten lines are not pedantic
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.acceptance
@pytest.mark.parametrize("text", EXAMPLES)
def test_actionlint_finds_nothing_in_the_documents_examples(
    tmp_path: Path, actionlint: Path, text: str
) -> None:
    file = tmp_path / write_example(tmp_path, text)
    done = subprocess.run([actionlint, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_documents_have_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_action_is_pinned_by_its_commit(name: str) -> None:
    text = (ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8")
    lines = [line.strip().removeprefix("- ") for line in text.splitlines() if "uses:" in line]
    assert [line for line in lines if not PINNED.fullmatch(line)] == []


def test_the_versions_are_the_same_everywhere() -> None:
    named = {
        step["uses"] for name in WORKFLOWS for job in read(name)["jobs"].values() for step in steps_of(job)
        if "uses" in step
    }  # fmt: skip
    assert len({use.partition("@")[0] for use in named}) == len(named)


def test_who_may_sign_runs_nothing_of_the_callers() -> None:
    """The promise of the split, read off the file: no job has both the caller's code and an identity."""
    for key, job in read("build-enclave.yml")["jobs"].items():
        checkouts = [
            step["with"] for step in steps_of(job) if step.get("uses", "").startswith("actions/checkout@")
        ]
        own = [
            given for given in checkouts if given.get("repository") != "${{ needs.self.outputs.repository }}"
        ]
        pinned = [given for given in checkouts if given.get("ref") == "${{ needs.self.outputs.commit }}"]
        identity = job["permissions"].get("id-token") == "write"
        assert (key == "build") is not identity
        assert (len(own), len(pinned)) == {"self": (0, 0), "build": (1, 1)}.get(key, (0, 1))
        assert all(given["persist-credentials"] is False for given in checkouts)


def test_who_publishes_wheels_can_do_nothing_else() -> None:
    job = read("release.yml")["jobs"]["publish"]
    assert job["permissions"] == {"id-token": "write"}
    assert job["environment"] == "pypi"
    assert not [step for step in steps_of(job) if "checkout" in step.get("uses", "")]


ONE = (StarterImage("hello", "."),)
SEVERAL = (StarterImage("api", "services/api"), StarterImage("1.0", "web"))
BOTH = (StarterImage("hello", "."), StarterImage("hello", ".", "boot/arm64"))


@pytest.mark.parametrize("branch", ["main", "release/next"])
@pytest.mark.parametrize("images", [ONE, SEVERAL, BOTH], ids=["one", "several", "arm64"])
def test_zizmor_finds_nothing_in_what_init_writes(
    tmp_path: Path, images: tuple[StarterImage, ...], branch: str
) -> None:
    project = Project(
        repository="acme/hello",
        branch=branch,
        images=images,
        action=f"acme/glassclave@{'a1' * 20}",
        checkout=f"actions/checkout@{'b2' * 20}",
    )
    for path, text in (
        (WORKFLOW, workflow_text(project)),
        (REBUILD_WORKFLOW, rebuild_workflow_text(project)),
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        done = zizmor(tmp_path, path)
        assert done.returncode == 0, done.stdout + done.stderr
        # It looks: without the pins it does find something.
        file.write_text(text.replace("a1" * 20, "v1"))
        assert zizmor(tmp_path, path).returncode != 0


@pytest.mark.acceptance
@pytest.mark.parametrize("images", [ONE, SEVERAL, BOTH], ids=["one", "several", "arm64"])
def test_actionlint_finds_nothing_in_what_init_writes(
    tmp_path: Path, actionlint: Path, images: tuple[StarterImage, ...]
) -> None:
    project = Project(
        repository="acme/hello",
        branch="main",
        images=images,
        action=f"acme/glassclave@{'a1' * 20}",
        checkout=f"actions/checkout@{'b2' * 20}",
    )
    texts = workflow_text(project), rebuild_workflow_text(project)
    cases = [(text, 0) for text in texts]
    cases += [(text.replace("timeout-minutes", "time-out"), 1) for text in texts]
    for content, status in cases:
        file = tmp_path / "workflow.yml"
        file.write_text(content)
        done = subprocess.run([actionlint, file], capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr


def test_no_input_reaches_a_script_but_through_the_environment() -> None:
    steps = []
    for file in ACTIONS:
        steps += yaml.safe_load((ROOT / file).read_bytes())["runs"]["steps"]
    for name in WORKFLOWS:
        steps += [step for job in read(name)["jobs"].values() for step in steps_of(job)]
    scripts = [step["run"] for step in steps if "run" in step]
    assert len(scripts) > 10
    assert not [script for script in scripts if "${{" in script]


def test_the_workflow_has_the_inputs_of_the_action() -> None:
    """By the same names, but for what is another thing there."""
    action = set(yaml.safe_load((ROOT / "action.yml").read_bytes())["inputs"])
    workflow = set(read("build-enclave.yml")[True]["workflow_call"]["inputs"])
    assert action - workflow == {
        "enable-ghcr-push", "enable-artifact-sign", "github-token", "trust-config", "enable-github-attest",
    }  # fmt: skip
    assert workflow - action == {"push", "sign", "trust-config-json"}
