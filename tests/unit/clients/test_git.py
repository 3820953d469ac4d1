"""Questions to git, of repositories that git itself made."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from glassclave.clients.git import Git
from glassclave.errors import UnavailableError


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No configuration of this machine or user."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(tmp_path)}


@pytest.fixture
def repository(tmp_path: Path, environment: dict[str, str]) -> Path:
    folder = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", str(folder)], env=environment, check=True)
    return folder


def git(folder: Path, environment: dict[str, str], *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True)


def test_a_new_repository_has_no_origin(repository: Path, environment: dict[str, str]) -> None:
    client = Git(environment)
    assert client.top(repository).samefile(repository)
    assert client.origin(repository) is None
    assert client.default_branch(repository) is None


def test_origin_and_its_default_branch(repository: Path, environment: dict[str, str]) -> None:
    git(repository, environment, "remote", "add", "origin", "git@github.com:acme/hello.git")
    git(repository, environment, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/a/trunk")
    client = Git(environment)
    assert client.origin(repository) == "git@github.com:acme/hello.git"
    assert client.default_branch(repository) == "a/trunk"


def test_the_default_branch_of_a_clone(tmp_path: Path, repository: Path, environment: dict[str, str]) -> None:
    git(repository, environment, "checkout", "-q", "-b", "trunk")
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    git(repository, environment, *who, "commit", "-q", "--allow-empty", "-m", "a")
    git(tmp_path, environment, "clone", "-q", str(repository), "cloned")
    client = Git(environment)
    assert client.default_branch(tmp_path / "cloned") == "trunk"
    assert client.origin(tmp_path / "cloned") == str(repository)


def test_the_top_of_a_folder_inside(repository: Path, environment: dict[str, str]) -> None:
    (repository / "a").mkdir()
    assert Git(environment).top(repository / "a").samefile(repository)


def test_what_git_sets_for_a_hook_leads_nowhere_else(
    tmp_path: Path, repository: Path, environment: dict[str, str]
) -> None:
    git(tmp_path, environment, "init", "-q", "other")
    hook = environment | {
        "GIT_DIR": str(tmp_path / "other" / ".git"),
        "GIT_WORK_TREE": str(tmp_path / "other"),
    }
    assert Git(hook).top(repository).samefile(repository)


def test_no_repository(tmp_path: Path, environment: dict[str, str]) -> None:
    ceiling = environment | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    with pytest.raises(UnavailableError) as caught:
        Git(ceiling).top(tmp_path)
    assert caught.value.code == "git.failed"
    assert "not a git repository" in (caught.value.hint or "")


def test_a_repository_of_somebody_else_is_gits_decision(
    repository: Path, environment: dict[str, str]
) -> None:
    with pytest.raises(UnavailableError) as caught:
        Git(environment | {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}).top(repository)
    assert "dubious ownership" in (caught.value.hint or "")


def test_no_folder(tmp_path: Path, environment: dict[str, str]) -> None:
    with pytest.raises(UnavailableError) as caught:
        Git(environment).top(tmp_path / "gone")
    assert caught.value.code == "git.folder"


def test_no_git(repository: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    with pytest.raises(UnavailableError) as caught:
        Git(environment | {"PATH": str(tmp_path)}).top(repository)
    assert caught.value.code == "git.missing"
