from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from glassclave.errors import ParseError, UnavailableError
from glassclave.image.directory import read_directory
from glassclave.image.tree import FileTree, Kind


def content(tree: FileTree, path: bytes) -> bytes:
    return b"".join(tree.nodes[path].content.chunks())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "app").write_bytes(b"#!/bin/sh\n")
    (root / "bin" / "app").chmod(0o4755)
    os.link(root / "bin" / "app", root / "bin" / "twin")
    (root / "link").symlink_to("bin/app")
    (root / "away").symlink_to("/etc/passwd")
    (root / "empty").touch()
    os.mkfifo(root / "pipe")
    return root


def test_every_kind_of_file_is_found_and_no_link_followed(root: Path) -> None:
    tree = read_directory(root)
    kinds = {path: node.kind for path, node in tree}
    assert kinds == {
        b"away": Kind.SYMLINK,
        b"bin": Kind.DIRECTORY,
        b"bin/app": Kind.FILE,
        b"bin/twin": Kind.FILE,
        b"empty": Kind.FILE,
        b"link": Kind.SYMLINK,
        b"pipe": Kind.FIFO,
    }
    assert tree.nodes[b"away"].target == b"/etc/passwd"
    assert content(tree, b"bin/app") == b"#!/bin/sh\n"
    assert tree.nodes[b"bin/app"].mode == 0o4755


def test_hard_links_are_one_inode_and_count_once(root: Path) -> None:
    tree = read_directory(root)
    assert tree.nodes[b"bin/app"] is tree.nodes[b"bin/twin"]
    assert tree.content_size() == 10


def test_files_belong_to_root_unless_asked_otherwise(root: Path) -> None:
    node = read_directory(root).nodes[b"bin/app"]
    assert (node.uid, node.gid) == (0, 0)
    status = (root / "bin" / "app").stat()
    kept = read_directory(root, preserve_owner=True).nodes[b"bin/app"]
    assert (kept.uid, kept.gid) == (status.st_uid, status.st_gid)


def test_paths_come_in_raw_byte_order(tmp_path: Path) -> None:
    for name in ("a", "a-b", "B", "ä"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "x").touch()
    assert [path for path, _ in read_directory(tmp_path)] == [b"B", b"a", b"a-b", b"a/x", "ä".encode()]


def test_a_socket_is_left_out_with_a_word(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "sock"))
    tree = read_directory(root)
    assert b"sock" not in tree.nodes
    assert tree.warnings == ("sock: a socket, left out",)


def test_a_file_that_changes_meanwhile_is_an_error(root: Path) -> None:
    tree = read_directory(root)
    (root / "bin" / "app").write_bytes(b"longer than it was before\n")
    with pytest.raises(UnavailableError) as caught:
        content(tree, b"bin/app")
    assert caught.value.code == "image.directory.changed"


def test_a_file_swapped_for_a_link_is_not_followed(root: Path) -> None:
    (root / "bin" / "twin").unlink()
    tree = read_directory(root)
    (root / "bin" / "app").unlink()
    (root / "bin" / "app").symlink_to("/etc/passwd")
    with pytest.raises(UnavailableError) as caught:
        content(tree, b"bin/app")
    assert caught.value.code == "image.directory.unreadable"


def test_no_directory_no_tree(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        read_directory(tmp_path / "nothing")
    assert caught.value.code == "image.directory.missing"


def test_a_file_too_large_for_a_ramdisk_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 32)
    with pytest.raises(ParseError) as caught:
        read_directory(tmp_path)
    assert caught.value.code == "image.file.size"


def test_a_path_that_the_system_cannot_take_is_an_error_of_ours(tmp_path: Path) -> None:
    """Each name is fine, and so is the path below the root; with the root in front it is too long."""
    root = tmp_path / ("r" * 250)
    root.mkdir()
    inside = os.open(root, os.O_RDONLY)
    for _ in range(19):
        os.mkdir("d" * 200, dir_fd=inside)
        deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=inside)
        os.close(inside)
        inside = deeper
    os.close(os.open("f" * 150, os.O_CREAT | os.O_WRONLY, dir_fd=inside))
    os.close(inside)
    with pytest.raises(UnavailableError, match=r"image\.directory\.unreadable"):
        read_directory(root)


def test_times_are_cut_to_seconds_not_rounded_up(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.utime(tmp_path / "file", ns=(0, 1_700_000_000_999_999_999))
    assert read_directory(tmp_path).nodes[b"file"].mtime == 1_700_000_000


def test_a_file_swapped_for_a_fifo_does_not_hold_the_build(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    tree = read_directory(tmp_path)
    (tmp_path / "file").unlink()
    os.mkfifo(tmp_path / "file")
    with pytest.raises(UnavailableError, match=r"image\.directory\.changed"):
        list(tree.nodes[b"file"].content.chunks())
