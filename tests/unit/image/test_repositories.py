"""Git repositories in an image: ones that git made, and ones that nobody's git would."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from glassclave.errors import ParseError
from glassclave.image.repositories import Repository, read_repository, repository_folder, without_credentials

COMMIT = b"5a" * 20
CONFIG = b'[core]\n\tbare = false\n[remote "origin"]\n\turl = https://example.org/x.git\n\tfetch = +refs\n'
GOOD = {
    b"r/.git/HEAD": b"ref: refs/heads/main\n",
    b"r/.git/config": CONFIG,
    b"r/.git/refs/heads/main": COMMIT + b"\n",
}


def read(files: dict[bytes, bytes]) -> Repository:
    return read_repository(b"r/.git", files.get)


def code_of(files: dict[bytes, bytes]) -> str:
    with pytest.raises(ParseError) as caught:
        read(files)
    return caught.value.code


def test_a_branch() -> None:
    assert read(GOOD) == Repository(
        path="/r/.git",
        commit=COMMIT.decode(),
        ref="refs/heads/main",
        remotes=("https://example.org/x.git",),
    )


def test_a_branch_among_packed_ones_and_one_without_a_commit() -> None:
    files = GOOD | {b"r/.git/packed-refs": b"# pack-refs with: peeled\n" + b"6b" * 20 + b" refs/heads/main\n"}
    assert read(files).commit == COMMIT.decode()  # the loose one is newer
    del files[b"r/.git/refs/heads/main"]
    assert read(files).commit == "6b" * 20
    del files[b"r/.git/packed-refs"]
    assert read(files).commit is None


def test_no_branch() -> None:
    found = read(GOOD | {b"r/.git/HEAD": COMMIT + b"\n"})
    assert (found.commit, found.ref) == (COMMIT.decode(), None)
    assert read(GOOD | {b"r/.git/HEAD": b"ab" * 32}).commit == "ab" * 32


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        (b"HEAD", b"", "repository.head"),
        (b"HEAD", COMMIT[:-1], "repository.head"),
        (b"HEAD", COMMIT.upper(), "repository.head"),
        (b"HEAD", b"ref: ../../etc/passwd", "repository.head"),
        (b"HEAD", b"ref: refs/heads/../../config", "repository.head"),
        (b"HEAD", b"ref: refs/heads/a\x1b", "repository.head"),
        (b"refs/heads/main", b"x", "repository.refs"),
        (b"config", b"\xff", "repository.config"),
        (b"config", CONFIG.replace(b".org", b".org/" + b"x" * 1024), "repository.config"),
        (b"config", b"".join(b'[remote "%d"] url = %d\n' % (n, n) for n in range(65)), "repository.config"),
    ],
)
def test_what_git_does_not_write_is_refused(name: bytes, data: bytes, code: str) -> None:
    assert code_of(GOOD | {b"r/.git/" + name: data}) == code


def test_a_packed_ref_that_is_no_commit_is_refused() -> None:
    files = GOOD | {b"r/.git/packed-refs": b"x refs/heads/main\n"}
    del files[b"r/.git/refs/heads/main"]
    assert code_of(files) == "repository.refs"


@pytest.mark.parametrize(
    ("config", "remotes"),
    [
        (b"", ()),
        (b"[core]\nurl = https://no\n", ()),
        (b'[remote "a"]\nurl = b\n[branch "x"]\nurl = c\n', ("b",)),
        (b'[REMOTE "a"]\n  URL=b\n[remote "z"]\nurl = a\n', ("a", "b")),
        (b'[remote "a"] url = "b"\n', ("b",)),
        (b'[remote "a"]\nurl =\npushurl = c\n', ()),
        (b'[remote "a"]\nurl = https://me:token@example.org/x\n', ("https://example.org/x",)),
        (b'[remote "a"]\nurl = git@example.org:x.git\n', ("git@example.org:x.git",)),
    ],
)
def test_remotes(config: bytes, remotes: tuple[str, ...]) -> None:
    assert read(GOOD | {b"r/.git/config": config}).remotes == remotes


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://a:b@c/d", "https://c/d"),
        ("https://token@c", "https://c"),
        ("https://a@b@c/d", "https://c/d"),
        ("https://c/@d", "https://c/@d"),
        ("x https://a@c y ssh://git@d/e", "x https://c y ssh://d/e"),
    ],
)
def test_credentials_go(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


def test_what_is_a_repository() -> None:
    paths = {
        b".git/HEAD", b".git/config", b"a/.git/HEAD", b"a/.git/config", b"a/.git/modules/b/HEAD",
        b"a/.git/modules/b/config", b"a/.git/modules/b/objects", b"bare.git/HEAD", b"bare.git/config",
        b"bare.git/objects", b"no/HEAD", b"no/config", b"c/.git/HEAD", b"d/HEAD", b"d/objects",
    }  # fmt: skip
    found = {path: repository_folder(path, paths) for path in paths}
    assert {path: folder for path, folder in found.items() if folder is not None} == {
        b".git/HEAD": b".git",
        b"a/.git/HEAD": b"a/.git",
        b"a/.git/modules/b/HEAD": b"a/.git/modules/b",
        b"bare.git/HEAD": b"bare.git",
    }


@pytest.mark.parametrize("packed", [False, True])
def test_one_that_git_made(tmp_path: Path, packed: bool) -> None:
    def git(*words: str) -> str:
        names = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(
            ["git", *names, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch=trunk")
    git("commit", "--quiet", "--allow-empty", "--message=x")
    git("remote", "add", "up", "https://u:p@example.org/x.git")
    if packed:
        git("pack-refs", "--all")

    def content(path: bytes) -> bytes | None:
        file = tmp_path / path.decode()
        return file.read_bytes() if file.is_file() else None

    found = read_repository(b".git", content)
    assert (found.commit, found.ref) == (git("rev-parse", "HEAD"), "refs/heads/trunk")
    assert found.remotes == ("https://example.org/x.git",)
