"""Questions to git, of repositories that git itself made."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from glassclave.clients.git import Git
from glassclave.errors import GlassclaveError, UnavailableError, UsageError


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


WHO = ("-c", "user.name=a", "-c", "user.email=a@example.com")


def commit(folder: Path, environment: dict[str, str], text: str = "one") -> str:
    (folder / "file").write_text(text, encoding="ascii")
    git(folder, environment, "add", ".")
    git(folder, environment, *WHO, "commit", "-q", "-m", text)
    said = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, env=environment, capture_output=True, check=True
    )
    return said.stdout.decode().strip()


def error_of(client: Git, source: Path | str, commit: str, folder: Path) -> GlassclaveError:
    with pytest.raises(GlassclaveError) as caught:
        client.checkout(str(source), commit, folder)
    return caught.value


def test_the_place_of_a_folder(repository: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    client = Git(environment | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)})
    for name in ("a b/c", "a\nb", "a\\b", "a\u202eb"):
        (repository / name).mkdir(parents=True)
    assert client.place(repository) == "."
    assert client.place(repository / "a b" / "c") == "a b/c"
    os.symlink(repository / "a b", tmp_path / "link")
    assert client.place(tmp_path / "link") == "a b"
    for nowhere in ("a\nb", "a\\b", "a\u202eb"):
        assert client.place(repository / nowhere) is None, "a name that cannot be written down"
    assert client.place(tmp_path) is None
    assert client.place(tmp_path / "gone") is None
    assert Git(environment | {"PATH": str(tmp_path)}).place(repository) is None


def test_the_newest_tags_come_first(repository: Path, environment: dict[str, str]) -> None:
    assert Git(environment).newest_tags(repository) == []
    for day, tag in enumerate(("2.0", "1.0", "a/b")):
        dated = environment | {"GIT_COMMITTER_DATE": f"2026-11-0{day + 1}T00:00:00Z"}
        commit(repository, dated, tag.replace("/", "-"))
        git(repository, dated, "tag", tag)
    assert Git(environment).newest_tags(repository) == ["a/b", "1.0", "2.0"]


def test_a_checkout_is_clean_and_at_its_commit_or_refused(
    repository: Path, environment: dict[str, str]
) -> None:
    client = Git(environment)
    first = commit(repository, environment)
    (repository / ".git" / "info" / "exclude").write_text("ignored\n", encoding="ascii")
    (repository / "ignored").write_text("x", encoding="ascii")
    client.check_clean(repository, first)

    def code() -> str:
        with pytest.raises(UsageError) as caught:
            client.check_clean(repository, first)
        return caught.value.code

    (repository / "new").write_text("x", encoding="ascii")
    assert code() == "git.dirty"
    (repository / "new").unlink()
    (repository / "file").chmod(0o755)
    assert code() == "git.dirty"
    (repository / "file").chmod(0o644)
    client.check_clean(repository, first)
    commit(repository, environment, "two")
    assert code() == "git.head"
    with pytest.raises(UnavailableError):
        client.check_clean(repository / "gone", first)


def test_a_commit_is_checked_out_with_the_modes_of_a_runner(
    repository: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    (repository / "tool").write_text("#!/bin/sh\n", encoding="ascii")
    (repository / "tool").chmod(0o755)
    first = commit(repository, environment)
    commit(repository, environment, "two")
    before = sorted(path.name for path in (repository / ".git").iterdir())
    mask = os.umask(0o077)
    try:
        Git(environment).checkout(str(repository), first, tmp_path / "out")
    finally:
        os.umask(mask)
    out = tmp_path / "out"
    assert (out / "file").read_text(encoding="ascii") == "one"
    modes = {name: stat.S_IMODE((out / name).stat().st_mode) for name in ("file", "tool", ".")}
    assert modes == {"file": 0o644, "tool": 0o755, ".": 0o755}
    assert not (out / ".git" / "hooks").exists()
    assert sorted(path.name for path in (repository / ".git").iterdir()) == before


def test_nothing_of_the_users_configuration_takes_part(
    repository: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Neither a hook, nor a filter, nor a login, nor another address, nor what a repository asks for."""
    (repository / ".gitattributes").write_text("file filter=evil\n", encoding="ascii")
    first = commit(repository, environment)
    seen = tmp_path / "seen"
    home = tmp_path / "user"
    hooks = home / "hooks"
    hooks.mkdir(parents=True)
    for name in ("post-checkout", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {seen}\n", encoding="ascii")
        (hooks / name).chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[core]\n\thooksPath = {hooks}\n[init]\n\ttemplateDir = {home}\n"
        f'[filter "evil"]\n\tsmudge = touch {seen}; cat\n\trequired = true\n'
        f'[url "{tmp_path}/elsewhere"]\n\tinsteadOf = {repository}\n',
        encoding="ascii",
    )
    bent = environment | {
        "HOME": str(home), "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"), "GIT_DIR": str(home),
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.hooksPath", "GIT_CONFIG_VALUE_0": str(hooks),
        "GIT_TEMPLATE_DIR": str(home), "GIT_ASKPASS": str(hooks / "post-checkout"),
    }  # fmt: skip
    Git(bent).checkout(str(repository), first, tmp_path / "out")
    assert (tmp_path / "out" / "file").read_text(encoding="ascii") == "one"
    assert not seen.exists()


def test_submodules_stay_empty(repository: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    other = tmp_path / "other"
    git(tmp_path, environment, "init", "-q", str(other))
    commit(other, environment)
    git(
        repository,
        environment,
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "add",
        "-q",
        str(other),
        "sub",
    )
    Git(environment).checkout(str(repository), commit(repository, environment), tmp_path / "out")
    assert list((tmp_path / "out" / "sub").iterdir()) == []


def test_what_is_not_there_is_not_checked_out(
    repository: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    first = commit(repository, environment)
    client = Git(environment)
    wrong = (
        (str(repository), "00" * 20),
        (str(tmp_path / "gone"), first),
        ("https://127.0.0.1:9/o/n", first),
    )
    for number, (source, wanted) in enumerate(wrong):
        assert error_of(client, source, wanted, tmp_path / str(number)).code == "git.failed"


def test_no_other_protocol_is_spoken_than_the_addresss(tmp_path: Path, environment: dict[str, str]) -> None:
    seen = tmp_path / "seen"
    error = error_of(Git(environment), f"ext::touch {seen}", "00" * 20, tmp_path / "out")
    assert error.code == "git.failed"
    assert not seen.exists()


def test_a_repository_of_another_user_that_git_was_asked_about(
    repository: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    first = commit(repository, environment)
    for path in [repository, *repository.rglob("*")]:
        os.lchown(path, 12345, 12345)
    Git(environment).checkout(str(repository), first, tmp_path / "out")
    assert (tmp_path / "out" / "file").exists()
