"""`glassclave build` called with words that no careful person types."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory to build from, and three made-up blobs."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "app").write_bytes(b"app")
    (tmp_path / "blobs").mkdir()
    for name in ("bzImage", "cmdline", "init"):
        (tmp_path / "blobs" / name).write_bytes(name.encode())
    return tmp_path


def build(root: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "glassclave", "build", "dir:root", "--bootstrap", "blobs", *words],
        cwd=root,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("-o", "."),
        ("-o", ""),
        ("-o", "root/x.eif"),
        ("-o", "x.eif", "--mtime", "9" * 5000),
        ("-o", "x.eif", "--cmd", "[" * 100_000),
        ("-o", "x.eif", "--cmd", '""'),
        ("-o", "x.eif", "--name", "n" * 1025),
        ("-o", "x.eif", "--image-version", "1" * 1025),
    ],
)
def test_hostile_words_are_usage_errors(words: tuple[str, ...], root: Path) -> None:
    done = build(root, "--cmd", "/app", *words)
    assert (done.returncode, done.stdout) == (2, b""), done.stderr
    assert b"Traceback" not in done.stderr
    assert sorted(os.listdir(root)) == ["blobs", "root"]


def test_a_hostile_source_date_epoch_is_a_usage_error(root: Path) -> None:
    done = build(root, "--cmd", "/app", "-o", "x.eif", SOURCE_DATE_EPOCH="9" * 5000)
    assert done.returncode == 2
    assert b"build.source-date-epoch" in done.stderr


def test_the_name_of_the_output_cannot_move_the_cursor(root: Path) -> None:
    done = build(root, "--cmd", "/app", "-o", "a\x1b[2Jb.eif")
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout + done.stderr


def test_name_of_the_output_and_locale_reach_no_byte(root: Path) -> None:
    words = ("--cmd", "/app é", "--env", "É=é", "--name", "é")
    assert build(root, *words, "-o", "a.eif", LC_ALL="C.UTF-8").returncode == 0
    assert (
        build(root, *words, "-o", "b.eif", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0").returncode
        == 0
    )
    assert (root / "a.eif").read_bytes() == (root / "b.eif").read_bytes()
