"""What a linter of GitHub's files says of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from glassclave.report.starter import WORKFLOW, Project, StarterImage, workflow_text

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]


def zizmor(folder: Path, file: str) -> subprocess.CompletedProcess[str]:
    """What it says of a file, in its strictest mood."""
    program = Path(sys.executable).with_name("zizmor")
    command = [str(program), "--offline", "--no-progress", "--persona", "pedantic", file]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_zizmor_finds_nothing() -> None:
    done = zizmor(ROOT, "action.yml")
    assert done.returncode == 0, done.stdout + done.stderr


ONE = (StarterImage("hello", "."),)
SEVERAL = (StarterImage("api", "services/api"), StarterImage("1.0", "web"))


@pytest.mark.parametrize("branch", ["main", "release/next"])
@pytest.mark.parametrize("images", [ONE, SEVERAL], ids=["one", "several"])
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
    file = tmp_path / WORKFLOW
    file.parent.mkdir(parents=True)
    file.write_text(workflow_text(project))
    done = zizmor(tmp_path, WORKFLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    # It looks: without the pins it does find something.
    file.write_text(workflow_text(project).replace("a1" * 20, "v1"))
    assert zizmor(tmp_path, WORKFLOW).returncode != 0


@pytest.mark.acceptance
@pytest.mark.parametrize("images", [ONE, SEVERAL], ids=["one", "several"])
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
    text = workflow_text(project)
    for content, status in ((text, 0), (text.replace("timeout-minutes", "time-out"), 1)):
        file = tmp_path / "workflow.yml"
        file.write_text(content)
        done = subprocess.run([actionlint, file], capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr


def test_no_input_reaches_a_script_but_through_the_environment() -> None:
    lines = (ROOT / "action.yml").read_text(encoding="utf-8").splitlines()
    scripts = [line for line in lines if line.strip().startswith("run:")]
    assert scripts
    assert not [line for line in scripts if "${{" in line]
