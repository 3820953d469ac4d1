"""What a linter of GitHub's files says of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from glassclave.report.starter import WORKFLOW, Project, StarterImage, workflow_text
from glassclave.report.starter_rebuild import REBUILD_WORKFLOW, rebuild_workflow_text

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]


def zizmor(folder: Path, file: str) -> subprocess.CompletedProcess[str]:
    """What it says of a file, in its strictest mood."""
    program = Path(sys.executable).with_name("zizmor")
    command = [str(program), "--offline", "--no-progress", "--persona", "pedantic", file]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


ACTIONS = ("action.yml", "rebuild/action.yml", "rebuild/issue/action.yml")


@pytest.mark.parametrize("file", ACTIONS)
def test_zizmor_finds_nothing(file: str) -> None:
    done = zizmor(ROOT, file)
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
    texts = workflow_text(project), rebuild_workflow_text(project)
    cases = [(text, 0) for text in texts]
    cases += [(text.replace("timeout-minutes", "time-out"), 1) for text in texts]
    for content, status in cases:
        file = tmp_path / "workflow.yml"
        file.write_text(content)
        done = subprocess.run([actionlint, file], capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr


@pytest.mark.parametrize("file", ACTIONS)
def test_no_input_reaches_a_script_but_through_the_environment(file: str) -> None:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    scripts = [line for line in lines if line.strip().startswith("run:")]
    assert scripts
    assert not [line for line in scripts if "${{" in line]
