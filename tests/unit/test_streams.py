from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from glassclave.errors import ParseError, UnavailableError
from glassclave.streams import (
    BytesSource,
    FileSource,
    make_folder,
    open_source,
    read_chunks,
    read_small_file,
    write_atomically,
)


def test_bytes_source_refuses_to_read_past_the_end() -> None:
    source = BytesSource(b"abcdef")
    assert source.read_at(2, 3) == b"cde"
    with pytest.raises(ParseError, match=r"stream\.truncated"):
        source.read_at(4, 3)


def test_file_source_reads_anywhere_and_says_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with open_source(path) as source:
        assert source.size == 10
        assert source.read_at(3, 4) == b"3456"
        assert b"".join(read_chunks(source, 1, 8)) == b"12345678"
        with pytest.raises(ParseError, match=r"stream\.truncated"):
            source.read_at(8, 3)


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo"])
def test_what_is_no_regular_file_is_refused_without_hanging(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thing"
    if kind == "directory":
        path.mkdir()
    if kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(UnavailableError) as caught, open_source(path):
        pass
    assert caught.value.code == ("file.unreadable" if kind == "missing" else "file.kind")


def test_small_file_has_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_small_file(path, limit=5) == b"12345"
    with pytest.raises(UnavailableError, match=r"file\.size"):
        read_small_file(path, limit=4)


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), write_atomically(path) as file:
        file.write(b"new")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_a_finished_write_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"a much older and longer content")
    with write_atomically(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    for taken in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/none")):
        with pytest.raises(UnavailableError) as caught:
            make_folder(taken)
        assert caught.value.code == "file.unwritable"


def test_two_writers_of_one_file_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with write_atomically(path) as first:
        with pytest.raises(UnavailableError, match=r"file\.busy"), write_atomically(path):
            pass
        first.write(b"first")
    assert path.read_bytes() == b"first"


def test_a_killed_writer_leaves_what_the_next_run_removes(tmp_path: Path) -> None:
    path = tmp_path / "out"
    program = (
        "import os, pathlib, sys; from glassclave.streams import write_atomically\n"
        "with write_atomically(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'x' * 5_000_000); file.flush(); os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert killed.returncode == -9
    assert not path.exists()
    with write_atomically(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["", ".", "/", ".."])
def test_an_output_without_a_file_name_is_refused(name: str) -> None:
    with pytest.raises(UnavailableError, match=r"file\.kind"), write_atomically(Path(name)):
        pass


@pytest.mark.parametrize("kind", ["directory", "fifo", "link"])
def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("x")
    before = os.lstat(path).st_ino
    with pytest.raises(UnavailableError, match=r"file\.kind"), write_atomically(path):
        pass
    assert os.lstat(path).st_ino == before
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("kind", ["fifo", "hard link", "symlink", "directory"])
def test_a_planted_partial_file_is_neither_used_nor_emptied(tmp_path: Path, kind: str) -> None:
    victim, partial = tmp_path / "victim", tmp_path / ".out.partial"
    victim.write_bytes(b"precious")
    if kind == "directory":
        partial.mkdir()
    elif kind == "fifo":
        os.mkfifo(partial)
    elif kind == "symlink":
        partial.symlink_to(victim)
    else:
        partial.hardlink_to(victim)
    with pytest.raises(UnavailableError), write_atomically(tmp_path / "out") as file:
        file.write(b"new")
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_an_error_of_ours_and_leaves_nothing(tmp_path: Path) -> None:
    script = """
import sys, resource, signal
from pathlib import Path
from glassclave.errors import UnavailableError
from glassclave.streams import write_atomically
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    with write_atomically(Path(sys.argv[1])) as file:
        for _ in range(40):
            file.write(bytes(100_000))
except UnavailableError as error:
    print(error.code)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("file.unwritable\n", "")
    assert os.listdir(tmp_path) == []


def test_a_file_that_the_system_cannot_read_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("r+b") as file:
        write_only = os.open(path, os.O_WRONLY)
        os.dup2(write_only, file.fileno())
        os.close(write_only)
        with pytest.raises(UnavailableError, match=r"file\.unreadable"):
            FileSource(file, name="file").read_at(0, 4)
