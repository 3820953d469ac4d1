"""Any tree becomes an archive that two other readers, ours of thirty lines and GNU cpio, see as that tree."""

from __future__ import annotations

import random
import shutil
import stat
import subprocess
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassclave.image.config import Process
from glassclave.image.tree import FileTree, Kind, Node
from glassclave.ramdisk.application import LayoutOptions, LayoutReport, application_ramdisk
from glassclave.ramdisk.bootstrap import BytesContent
from glassclave.ramdisk.process import encode_process

PROCESS = Process(argv=("/app",))
TIME = 315532800
BYTES = [byte for byte in range(1, 256) if byte != ord("/")]
NAMES = st.one_of(
    st.sampled_from([b"a", b"a.b", b"A", b"a b", b"a\n", b"\xff\xfe", b"TRAILER!!!", b"x" * 255]),
    st.lists(st.sampled_from(BYTES), min_size=1, max_size=6)
    .map(bytes)
    .filter(lambda name: name not in (b".", b"..")),
)
NUMBERS = st.sampled_from([0, 1, 1000, 65534, 0xFFFFFFFF])


@st.composite
def nodes(draw: st.DrawFn, names: st.SearchStrategy[bytes]) -> Node:
    kind = draw(st.sampled_from([kind for kind in Kind if kind is not Kind.DIRECTORY]))
    data = draw(st.binary(max_size=20)) if kind is Kind.FILE else b""
    device = (draw(st.integers(0, 4095)), draw(st.integers(0, 300)))
    return Node(
        kind=kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(NUMBERS),
        gid=draw(NUMBERS),
        mtime=draw(NUMBERS),
        size=len(data),
        content=BytesContent(data),
        target=draw(names) if kind is Kind.SYMLINK else b"",
        device=device if kind in (Kind.CHARACTER, Kind.BLOCK) else (0, 0),
    )


@st.composite
def trees(draw: st.DrawFn, names: st.SearchStrategy[bytes] = NAMES) -> FileTree:
    """Directories, then inodes with one or more names in them."""
    found: dict[bytes, Node] = {}
    directories = [b""]
    for name in draw(st.lists(names, max_size=5)):
        parent = draw(st.sampled_from(directories))
        path = parent + b"/" + name if parent else name
        if path not in found:
            found[path] = Node(kind=Kind.DIRECTORY, mode=draw(st.integers(0, 0o7777)), mtime=draw(NUMBERS))
            directories.append(path)
    for node in draw(st.lists(nodes(names), max_size=6)):
        for name in draw(st.lists(names, min_size=1, max_size=3)):
            parent = draw(st.sampled_from(directories))
            found.setdefault(parent + b"/" + name if parent else name, node)
    return FileTree(found)


def archive(tree: FileTree, options: LayoutOptions | None = None) -> bytes:
    pieces = application_ramdisk(tree, PROCESS, options or LayoutOptions(), LayoutReport())
    return b"".join(bytes(piece) for piece in pieces)


@dataclass(frozen=True)
class Seen:
    """One entry as the reader of this test sees it."""

    ino: int
    mode: int
    uid: int
    gid: int
    nlink: int
    mtime: int
    device: tuple[int, int]
    data: bytes


def read(data: bytes) -> list[tuple[bytes, Seen]]:
    """Written from the kernel's description of the format, sharing nothing with the writer."""
    assert len(data) % 512 == 0
    entries: list[tuple[bytes, Seen]] = []
    at = 0
    while True:
        assert at % 4 == 0
        assert data[at : at + 6] == b"070701"
        assert data[at : at + 110] == data[at : at + 110].lower()
        numbers = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        ino, mode, uid, gid, nlink, mtime, size, major, minor, rmajor, rminor, length, check = numbers
        assert (major, minor, check) == (0, 0, 0)
        name, at = data[at + 110 : at + 110 + length], at + 110 + length
        assert name.endswith(b"\0")
        at, start = -(-at // 4) * 4, at
        assert not any(data[start:at])
        body, at = data[at : at + size], at + size
        at, start = -(-at // 4) * 4, at
        assert not any(data[start:at])
        if name == b"TRAILER!!!\0":
            assert (numbers[:4], nlink, mtime, size) == ([0, 0, 0, 0], 1, 0, 0)
            assert not any(data[at:]) and len(data) - at < 512
            return entries
        entries.append((name[:-1], Seen(ino, mode, uid, gid, nlink, mtime, (rmajor, rminor), body)))


@given(trees(), st.sampled_from([TIME, 0, 0xFFFFFFFF, None]))
def test_the_archive_holds_the_tree(tree: FileTree, mtime: int | None) -> None:
    entries = read(archive(tree, LayoutOptions(mtime=mtime)))
    constant = TIME if mtime is None else mtime
    (first, process), (second, root), *rest = entries
    assert (first, second) == (b"process", b"rootfs")
    assert process == Seen(1, 0o100644, 0, 0, 1, constant, (0, 0), encode_process(PROCESS))
    assert root == Seen(2, 0o040755, 0, 0, 2, constant, (0, 0), b"")
    assert [name for name, _ in rest] == [b"rootfs/" + path for path in sorted(tree.nodes)]
    assert _numbers(rest) == list(range(3, 3 + len(set(_numbers(rest)))))
    for (name, seen), path in zip(rest, sorted(tree.nodes), strict=True):
        node = tree.nodes[path]
        assert name.rpartition(b"/")[0] in {other for other, _ in entries}, "a parent is missing"
        assert (seen.mode, seen.uid, seen.gid) == (node.kind.value | node.mode, node.uid, node.gid)
        assert seen.mtime == (node.mtime if mtime is None else mtime)
        assert seen.device == node.device
        others = [other for other in tree.nodes if tree.nodes[other] is node]
        _check_links(seen, node, path, others, dict(rest))


def _numbers(rest: list[tuple[bytes, Seen]]) -> list[int]:
    """Inode numbers in the order of their first appearance."""
    return list(dict.fromkeys(seen.ino for _, seen in rest))


def _check_links(
    seen: Seen, node: Node, path: bytes, others: list[bytes], entries: dict[bytes, Seen]
) -> None:
    same = {name for name, other in entries.items() if other.ino == seen.ino}
    if node.kind is Kind.SYMLINK:
        assert (same, seen.nlink, seen.data) == ({b"rootfs/" + path}, 1, node.target)
        return
    assert same == {b"rootfs/" + other for other in others}
    assert seen.nlink == (2 if node.kind is Kind.DIRECTORY else len(others))
    content = b"".join(bytes(chunk) for chunk in node.content.chunks())
    assert seen.data == (content if path == min(others) else b"")


@given(trees(), st.randoms(use_true_random=False))
def test_the_order_in_which_paths_were_found_does_not_matter(tree: FileTree, chance: random.Random) -> None:
    paths = list(tree.nodes)
    chance.shuffle(paths)
    assert archive(FileTree({path: tree.nodes[path] for path in paths})) == archive(tree)


PLAIN_NAMES = st.text("aA0._-", min_size=1, max_size=5).map(str.encode).filter(lambda n: n.strip(b"."))


@settings(max_examples=30)
@given(trees(PLAIN_NAMES))
def test_gnu_cpio_sees_the_same_paths_modes_and_owners(tree: FileTree) -> None:
    cpio = shutil.which("cpio")
    if cpio is None:
        pytest.skip("GNU cpio is not on this machine")
    command = [cpio, "--list", "--verbose", "--numeric-uid-gid", "--quiet"]
    finished = subprocess.run(command, input=archive(tree), capture_output=True, check=True)
    assert finished.stderr == b""
    lines = [line.split() for line in finished.stdout.decode().splitlines()][2:]
    for words, path in zip(lines, sorted(tree.nodes), strict=True):
        node = tree.nodes[path]
        name = words[-3] if node.kind is Kind.SYMLINK else words[-1]
        assert name == "rootfs/" + path.decode()
        assert words[0] == stat.filemode(node.kind.value | node.mode)
        assert [int(word) for word in words[2:4]] == [node.uid, node.gid]
