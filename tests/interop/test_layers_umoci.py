"""Random stacks of layers: our merged tree is what umoci extracts, inode by inode."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import tarfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from glassclave.errors import ParseError
from glassclave.flows.source import SourceOptions, open_image
from glassclave.image.tree import Kind
from glassclave.progress import Silent
from tests.unit.image.archives import LETTERS, content, member, tar
from tests.unit.image.layouts import Layout, tag

pytestmark = pytest.mark.interop

FORMS = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)
TOP = ("etc", "usr", "usr/lib", "opt")
LETTERS_OF_NAMES = "abcdefghij é-_.+"
Member = tuple[tarfile.TarInfo, bytes]


class Stack:
    """Layers as a builder makes them: parents named, whiteouts of what is there, links to what is there."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.directories: set[str] = set()
        self.files: set[str] = set()
        self.linked: set[str] = set()

    def layers(self) -> list[bytes]:
        made = [self.layer(first=n == 0) for n in range(self.random.randint(2, 4))]
        return [tar(*members, form=self.random.choice(FORMS)) for members in made]

    def layer(self, *, first: bool) -> list[Member]:
        added: list[Member] = []
        hidden: list[Member] = []
        own: set[str] = set()
        if first:
            for name in TOP:
                added += self.directory(name, own)
        for _ in range(self.random.randint(6, 30)):
            choice = self.random.random()
            if choice < 0.15 and not first:
                hidden += self.whiteout(own)
            elif choice < 0.2 and not first:
                hidden += self.opaque(own)
            elif choice < 0.35:
                added += self.directory(self.new_path(own, added), own)
            else:
                added += self.file(self.new_path(own, added), own)
        # Layers hide before or behind what they bring.
        return hidden + added if self.random.random() < 0.5 else added + hidden

    def owner(self) -> dict[str, Any]:
        return {
            "uid": self.random.choice([0, 1000, 65534, 3_000_000]),
            "gid": self.random.choice([0, 1000, 3_000_000]),
            "mtime": self.random.randint(0, 1 << 31),
        }

    def new_path(self, own: set[str], added: list[Member]) -> str:
        """A name in a directory that is there; the layer names that directory too, as builders do."""
        parent = self.random.choice(sorted(self.directories))
        if parent not in own:
            parts = parent.split("/")
            for length in range(1, len(parts) + 1):
                above = "/".join(parts[:length])
                if above not in own:
                    added += self.directory(above, own)
        length = self.random.choice([3, 8, 60, 200])
        name = "".join(self.random.choices(LETTERS_OF_NAMES, k=length)).strip(" .") or "x"
        return f"{parent}/{name.encode()[:240].decode('utf-8', 'ignore')}"

    def directory(self, path: str, own: set[str]) -> list[Member]:
        self.directories.add(path)
        self.files.discard(path)
        own.add(path)
        mode = self.random.choice([0o755, 0o700, 0o1777, 0o2755])
        return [member(path + "/", "d", mode=mode, **self.owner())]

    def file(self, path: str, own: set[str]) -> list[Member]:
        if path in self.directories or path in own:
            return []
        kind = self.random.choices("flhcp", [60, 15, 15, 5, 5])[0]
        value: bytes | str | tuple[int, int] = b""
        if kind == "f":
            value = self.random.randbytes(self.random.choice([0, 1, 511, 512, 513, 40_000]))
        elif kind == "l":
            value = self.random.choice(["../x", "/etc/passwd", "t" * 150])
        elif kind == "c":
            value = (1, 3)
        elif kind == "h":
            if not self.files:
                return []
            value = self.random.choice(sorted(self.files))
            own.add(value)
            self.linked.add(value)  # not hidden any more: umoci finds only what is there when the link comes
        mode = 0o777 if kind == "l" else self.random.choice([0o644, 0o4755, 0o6711, 0o000])
        own.add(path)
        self.files.add(path)
        return [member(path, kind, value, mode=mode, **self.owner())]

    def whiteout(self, own: set[str]) -> list[Member]:
        there = sorted((self.files | self.directories) - own - set(TOP))
        there = [path for path in there if not any(mine.startswith(path + "/") for mine in own)]
        if not there:
            return []
        path = self.random.choice(there)
        parent, _, name = path.rpartition("/")
        self.forget(path)
        return [member(f"{parent}/.wh.{name}")]

    def opaque(self, own: set[str]) -> list[Member]:
        linked = self.linked & own
        empty = [d for d in own & self.directories if not any(name.startswith(d + "/") for name in linked)]
        if not empty:
            return []
        path = self.random.choice(sorted(empty))
        for below in sorted(self.files | self.directories):
            if below.startswith(path + "/") and below not in own:
                self.forget(below)
        return [member(f"{path}/.wh..wh..opq")]

    def forget(self, path: str) -> None:
        for paths in (self.files, self.directories):
            for other in sorted(paths):
                if other == path or other.startswith(path + "/"):
                    paths.discard(other)


def unpacked(root: Path) -> tuple[dict[bytes, tuple[Any, ...]], set[frozenset[bytes]]]:
    """Every path below ``root`` with all that a tree records, and which paths are one inode."""
    found: dict[bytes, tuple[Any, ...]] = {}
    inodes: dict[int, set[bytes]] = {}
    base = os.fsencode(root)
    for folder, directories, files in os.walk(base):
        for name in directories + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            relative = os.path.relpath(path, base)
            extra: object = None
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    extra = sha256(file.read()).hexdigest()
            elif stat.S_ISLNK(status.st_mode):
                extra = os.readlink(path)
            elif stat.S_ISCHR(status.st_mode):
                extra = (os.major(status.st_rdev), os.minor(status.st_rdev))
            kind = LETTERS[Kind(stat.S_IFMT(status.st_mode))]
            owner = (status.st_uid, status.st_gid)
            mtime = None if kind == "d" else int(status.st_mtime_ns // 1_000_000_000)
            found[relative] = (kind, stat.S_IMODE(status.st_mode), owner, mtime, extra)
            if kind != "d":
                inodes.setdefault(status.st_ino, set()).add(relative)
    return found, {frozenset(paths) for paths in inodes.values()}


def ours(layout: Path) -> tuple[dict[bytes, tuple[Any, ...]], set[frozenset[bytes]]]:
    """The same of our tree."""
    found: dict[bytes, tuple[Any, ...]] = {}
    inodes: dict[int, set[bytes]] = {}
    with open_image(f"oci:{layout}:t", SourceOptions(), Silent()) as image:
        for path, node in image.tree:
            kind = LETTERS[node.kind]
            extra: object = None
            if kind == "f":
                extra = sha256(content(image.tree, path)).hexdigest()
            elif kind == "l":
                extra = node.target
            elif kind == "c":
                extra = node.device
            mtime = None if kind == "d" else node.mtime
            found[path] = (kind, node.mode, (node.uid, node.gid), mtime, extra)
            if kind != "d":
                inodes.setdefault(id(node), set()).add(path)
    return found, {frozenset(paths) for paths in inodes.values()}


def compare(seed: int, umoci: Path, environment: dict[str, str], folder: Path) -> int:
    layout = Layout(folder / f"layout-{seed}")
    codec = ("gzip", "plain")[seed % 2]
    root = layout.index(layout.image(Stack(seed).layers(), codec=codec, **tag("t")))
    bundle = folder / f"bundle-{seed}"
    command = [str(umoci), "unpack", "--image", f"{root}:t", str(bundle)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-2000:]}"
    theirs = unpacked(bundle / "rootfs")
    got = ours(root)
    assert got == theirs, f"seed {seed}"
    return len(got[0])


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("umoci sets owners and makes device files, which only root may")


@pytest.mark.usefixtures("as_root")
def test_twenty_stacks(umoci: Path, peer_environment: dict[str, str], tmp_path: Path) -> None:
    assert sum(compare(seed, umoci, peer_environment, tmp_path) for seed in range(20)) > 400


@pytest.mark.acceptance
@pytest.mark.usefixtures("as_root")
def test_two_hundred_stacks(umoci: Path, peer_environment: dict[str, str], tmp_path: Path) -> None:
    assert sum(compare(seed, umoci, peer_environment, tmp_path) for seed in range(1000, 1200)) > 4000


SMALL = member("a", "f", b"1")
DIFFERENCES: dict[str, tuple[list[list[Member]], list[bytes] | None, list[bytes] | str]] = {
    "a link to what its layer hides first": (
        [[member("d/", "d"), member("d/a", "f", b"1")], [member("d/.wh.a"), member("d/b", "h", "d/a")]],
        None,
        [b"d", b"d/b"],
    ),
    "a whiteout behind a link that its own layer brings": (
        [[member("l", "l", "l"), member("l/.wh.a")]],
        None,
        [b"l"],
    ),
    "a link to itself": ([[SMALL, member("a", "h", "a")]], None, [b"a"]),
    "a path that climbs": ([[member("../a", "f", b"1")]], [b"a"], "image.path.form"),
    "a path that climbs inside": ([[member("d/../a", "f", b"1")]], [b"a"], "image.path.form"),
    "a path inside a whiteout": (
        [[SMALL], [member("d/.wh.a/b", "f", b"1")]],
        [b"a", b"d", b"d/.wh.a", b"d/.wh.a/b"],
        "image.layer.whiteout",
    ),
}
"""Layers, what umoci makes of them (``None``: it fails), what we do: docs/spec/layout-glassclave-1.md."""


GROUP = member("d/", "d", mode=0o2750, gid=7)
ATTRIBUTES = {
    "a directory made below a set-group-ID one": ([[GROUP, member("d/e/f")]], b"d/e", (0o2755, 7)),
    "a hidden directory that the layer used before": (
        [[GROUP], [member("d/f"), member(".wh.d")]],
        b"d",
        (0o2750, 7),
    ),
}
"""Layers, a directory, its mode and group with umoci; ours are 0755 and 0, as no layer names it there."""


def both_ways(
    stack: Sequence[Sequence[Member]], umoci: Path, environment: dict[str, str], folder: Path
) -> tuple[Path, Path | None]:
    """The layout with these layers, and what umoci makes of it, ``None`` where it fails."""
    layout = Layout(folder / "layout")
    root = layout.index(layout.image([tar(*members) for members in stack], **tag("t")))
    bundle = folder / "bundle"
    command = [str(umoci), "unpack", "--image", f"{root}:t", str(bundle)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    return root, bundle / "rootfs" if done.returncode == 0 else None


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences_are_those_that_are_written_down(
    name: str, umoci: Path, peer_environment: dict[str, str], tmp_path: Path
) -> None:
    stack, theirs, wanted = DIFFERENCES[name]
    root, rootfs = both_ways(stack, umoci, peer_environment, tmp_path)
    assert (None if rootfs is None else sorted(unpacked(rootfs)[0])) == theirs
    if isinstance(wanted, str):
        with pytest.raises(ParseError) as caught:
            ours(root)
        assert caught.value.code == wanted
    else:
        assert sorted(ours(root)[0]) == wanted


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("name", ATTRIBUTES)
def test_directories_that_no_layer_names_are_the_same_everywhere(
    name: str, umoci: Path, peer_environment: dict[str, str], tmp_path: Path
) -> None:
    stack, path, theirs = ATTRIBUTES[name]
    root, rootfs = both_ways(stack, umoci, peer_environment, tmp_path)
    assert rootfs is not None
    status = (rootfs / os.fsdecode(path)).lstat()
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == theirs
    assert ours(root)[0][path][:3] == ("d", 0o755, (0, 0))
