"""The steps of the actions in ``rebuild/``: which image, with which words, and the issue of another job."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import pytest

from glassclave.cli import action_rebuild, main
from glassclave.flows.action import Inputs
from tests.pipeline.github import IssueBook, IssuesApi

TITLE = "Enclave image ghcr.io/acme/hello:1.2 cannot be built again"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A step of a job of Acme/Hello for the branch release/next, in a repository without tags."""
    for name in [
        name for name in os.environ if name.startswith(("GIT", "INPUT_", "ACTIONS_", "GLASSCLAVE_"))
    ]:
        monkeypatch.delenv(name)
    workspace = tmp_path / "workspace"
    subprocess.run(["git", "init", "-q", str(workspace)], check=True)
    for name, value in {
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(workspace),
        "GITHUB_REPOSITORY": "Acme/Hello",
        "GITHUB_REF_NAME": "release/next",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def tag(runner: Path, *names: str) -> None:
    git = ["git", "-C", str(runner / "workspace"), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for day, name in enumerate(names):
        dated = os.environ | {"GIT_COMMITTER_DATE": f"2026-11-0{day + 1}T00:00:00Z"}
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", name], check=True, env=dated)
        subprocess.run([*git, "tag", name], check=True, env=dated)


def step(name: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["action", name])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def words(**inputs: str) -> list[str]:
    """What the step would run."""
    given = {f"INPUT_{name.upper()}": value for name, value in inputs.items()}
    read = Inputs({**os.environ, **given})
    reference = read.text("reference") or action_rebuild._reference(read)
    return action_rebuild._words(read, reference, Path("/r.md"), None)


def test_the_newest_tag_is_what_is_built_again(runner: Path) -> None:
    assert words()[1] == "ghcr.io/acme/hello:release-next"
    tag(runner, "2.0", "1.0", "a/b")
    assert words()[1] == "ghcr.io/acme/hello:1.0", "a tag that no registry has is passed over"
    assert words(image="api")[1] == "ghcr.io/acme/hello:api-1.0"
    assert words(version="0.9", image="api")[1] == "ghcr.io/acme/hello:api-0.9"
    assert words(repository="Other/One")[1] == "ghcr.io/other/one:1.0"
    assert words(reference="example.org/a/b:7")[1] == "example.org/a/b:7"


def test_every_input_becomes_one_word(runner: Path) -> None:
    assert words(version="1") == [
        "rebuild", "ghcr.io/acme/hello:1", "--json", "--report=/r.md", "--repo=Acme/Hello",
    ]  # fmt: skip
    said = words(
        version="1", policy="enclave-policy.toml", signer_workflow="--x", builder="buildah", folder="-a b",
        sign="true", trust_config="t.json",
    )  # fmt: skip
    workspace = runner / "workspace"
    assert said[4:] == [
        f"--policy={workspace}/enclave-policy.toml", "--signer-workflow=--x", "--builder=buildah",
        "--folder=-a b", f"--trust-config={workspace}/t.json", "--sign",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("VERSION", "x\n::add-mask::y", "action.input"),
        ("VERSION", "a/b", "action.input"),
        ("REFERENCE", "hello:1", "reference.registry"),
        ("SIGN", "yes", "action.input"),
    ],
)
def test_a_wrong_input_is_announced(
    runner: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    code: str,
) -> None:
    monkeypatch.setenv("INPUT_VERSION", "1")
    monkeypatch.setenv(f"INPUT_{name}", value)
    assert step("rebuild") == 2
    said = capsys.readouterr()
    (line,) = [line for line in (said.out + said.err).splitlines() if line.startswith("::")]
    assert line.startswith(f"::error title={code}::")
    assert not (runner / "output").exists()


def issue_of(monkeypatch: pytest.MonkeyPatch, **changes: str) -> int:
    given = {
        "INPUT_REFERENCE": "ghcr.io/acme/hello:1.2",
        "INPUT_RESULT": "different",
        "INPUT_REPORT": base64.b64encode(b"the report\n").decode(),
        "GLASSCLAVE_ISSUES_TOKEN": "t0ken",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_RUN_ID": "777",
    }
    for name, value in (given | changes).items():
        monkeypatch.setenv(name, value)
    return step("issue")


def test_an_issue_and_then_a_comment(
    runner: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    book = IssueBook("Acme/Hello", "t0ken")
    with IssuesApi(book) as api:
        assert issue_of(monkeypatch, GITHUB_API_URL=api.url) == 0
        assert issue_of(monkeypatch, GITHUB_API_URL=api.url, GITHUB_RUN_ID="x") == 0
    (issue,) = book.issues
    assert issue["title"] == TITLE
    body = "the report\n\nFound by [this run](https://github.com/Acme/Hello/actions/runs/777).\n"
    assert issue["body"] == body
    assert issue["comments"] == ["the report\n"]
    output = (runner / "output").read_text(encoding="utf-8").splitlines()
    assert output == ["issue-number=1", "issue-url=https://github.com/Acme/Hello/issues/1"] * 2
    said = capsys.readouterr()
    assert "opened https://github.com/Acme/Hello/issues/1" in said.out
    assert "commented on" in said.out
    assert "t0ken" not in said.out + said.err


@pytest.mark.parametrize(
    ("name", "value", "status", "code"),
    [
        ("GLASSCLAVE_ISSUES_TOKEN", "", 2, "action.input"),
        ("INPUT_RESULT", "equal", 2, "issue.result"),
        ("INPUT_RESULT", "", 2, "issue.result"),
        ("INPUT_REPORT", "", 3, "issue.report"),
        ("INPUT_REPORT", "?", 3, "issue.report"),
        ("INPUT_REFERENCE", "hello\n", 2, "reference.registry"),
        ("INPUT_REPOSITORY", "../x/y", 2, "policy.repository"),
        ("GITHUB_API_URL", "http://example.org", 3, "registry.url"),
    ],
)
def test_nothing_is_written_for_a_wrong_input(
    runner: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    status: int,
    code: str,
) -> None:
    book = IssueBook("Acme/Hello", "t0ken")
    with IssuesApi(book) as api:
        assert issue_of(monkeypatch, **({"GITHUB_API_URL": api.url} | {name: value})) == status
    assert book.requests == []
    assert f"::error title={code}::" in capsys.readouterr().err
