"""``glassclave init`` in repositories that git made."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from glassclave.cli import main

SCHEMA = Path(__file__).resolve().parents[3] / "docs" / "spec" / "init.schema.json"
OPTIONS = ("--action", f"acme/glassclave@{'a1' * 20}", "--checkout", "b2" * 20)
FILES = {".github/workflows/enclave.yml", "enclave-policy.toml"}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = tmp_path / "somewhere"
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    command = ["git", "remote", "add", "origin", "git@github.com:acme/hello.git"]
    subprocess.run(command, cwd=folder, check=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    monkeypatch.chdir(folder)
    return folder


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["init", *words])
    return int(ended.value.code or 0)


def written(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] != ".git" and path.name != "Dockerfile"}


def checked(text: str) -> dict[str, object]:
    record = json.loads(text)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert [error.message for error in Draft202012Validator(schema).iter_errors(record)] == []
    assert isinstance(record, dict)
    return record


def test_it_asks_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*OPTIONS) == 0
    assert written(repository) == FILES
    out = capsys.readouterr().out
    assert "created    .github/workflows/enclave.yml\n" in out
    assert "glassclave verify ghcr.io/acme/hello:VERSION --repo acme/hello" in out
    assert out.endswith("next: commit, and push to main, or push a tag\n")


def test_with_a_readme_nothing_is_printed_for_it(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "README.md").write_text("# hello\n")
    assert run(str(repository), *OPTIONS) == 0
    out = capsys.readouterr().out
    assert "appended   README.md\n" in out and "cosign" not in out
    assert "cosign verify" in (repository / "README.md").read_text()


def test_print_writes_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*OPTIONS, "--print") == 0
    assert written(repository) == set()
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("==>")] == [
        "==> .github/workflows/enclave.yml <==",
        "==> enclave-policy.toml <==",
        "==> README.md <==",
    ]


def test_a_second_run_changes_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*OPTIONS) == 0
    workflow = repository / ".github" / "workflows" / "enclave.yml"
    first = workflow.read_bytes()
    workflow.write_bytes(first + b"# mine\n")
    assert run(*OPTIONS) == 2
    assert "init.exists" in capsys.readouterr().err
    assert workflow.read_bytes() == first + b"# mine\n"
    # The workflow that is there names the commit of checkout.
    assert run(*OPTIONS[:2], "--force") == 0
    assert workflow.read_bytes() == first


def test_json_lists_the_files(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*OPTIONS, "--print", "--json") == 0
    printed = checked(capsys.readouterr().out)
    assert run(*OPTIONS, "--json") == 0
    record = checked(capsys.readouterr().out)
    assert record["files"] == [{"path": path, "state": "created"} for path in sorted(FILES)]
    assert record["images"] == [{"name": "hello", "folder": ".", "bootstrap": None}]
    texts = {file["path"]: file["content"] for file in printed["files"]}  # type: ignore[attr-defined]
    assert {path: (repository / path).read_text() for path in FILES} | {
        "README.md": record["section"]
    } == texts
    assert str(repository) not in json.dumps([printed, record])


def test_the_action_has_to_be_named(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*OPTIONS[2:]) == 2
    err = capsys.readouterr().err
    assert "init.action" in err and "--action OWNER/glassclave@COMMIT" in err
    assert written(repository) == set()


def test_a_folder_that_is_no_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path / "gone"), *OPTIONS, "--json") == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "git.folder"


def test_the_section_asks_what_verify_takes(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its options are read, up to a trust configuration that is none."""
    assert run(*OPTIONS, "--print") == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("glassclave verify"))
    words = line.replace("ghcr.io/acme/hello:VERSION", "127.0.0.1:1/acme/hello:1").split()[1:]
    trust = repository / "trust.json"
    trust.write_text("text")
    with pytest.raises(SystemExit):
        main([*words, "--trust-config", str(trust), "--json"])
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "json.syntax"


def test_the_weekly_workflow_is_written_where_it_is_asked_for(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*OPTIONS, "--rebuild", "--json") == 0
    weekly = ".github/workflows/enclave-rebuild.yml"
    assert written(repository) == FILES | {weekly}
    record = checked(capsys.readouterr().out)
    assert {"path": weekly, "state": "created"} in record["files"]  # type: ignore[operator]
    assert f"uses: acme/glassclave/rebuild@{'a1' * 20}" in (repository / weekly).read_text()


def test_it_can_be_added_later_and_nothing_else_is_touched(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "README.md").write_text("# hello\n")
    assert run(*OPTIONS) == 0
    before = {path: (repository / path).read_bytes() for path in written(repository)}
    capsys.readouterr()
    assert run(*OPTIONS, "--rebuild") == 0
    out = capsys.readouterr().out
    assert "unchanged  .github/workflows/enclave.yml\n" in out
    assert "created    .github/workflows/enclave-rebuild.yml\n" in out
    assert "unchanged  README.md\n" in out
    assert {path: (repository / path).read_bytes() for path in before} == before
    (repository / ".github" / "workflows" / "enclave.yml").write_text("mine\n")
    assert run(*OPTIONS, "--rebuild") == 2
    assert "there already: .github/workflows/enclave.yml;" in capsys.readouterr().err
