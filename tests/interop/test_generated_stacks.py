"""Stacks of layers that nobody thought of: our merged tree is what umoci extracts, inode by inode.

Where the two differ on purpose (docs/spec/layout-glassclave-1.md, "Layers") the difference must be one of
those that are written down, and rare.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.interop.layer_stacks import DrawnLayer, stacks
from tests.interop.test_layers_umoci import ours, unpacked
from tests.unit.image.layouts import Layout, tag

pytestmark = pytest.mark.interop

Tree = dict[bytes, tuple[Any, ...]]


def compare(stack: Sequence[DrawnLayer], umoci: Path, environment: dict[str, str]) -> str:
    """``same``, or the difference that is on purpose; an assertion for any other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layout = Layout(folder / "layout")
        root = layout.index(layout.image([layer.tar() for layer in stack], **tag("t")))
        bundle = folder / "bundle"
        command = [str(umoci), "unpack", "--image", f"{root}:t", str(bundle)]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=120)
        tree, links = ours(root)
        if done.returncode != 0:
            return known_failure(stack, done.stderr.decode("utf-8", "backslashreplace"))
        their_tree, their_links = unpacked(bundle / "rootfs")
    assert links == their_links
    found = {known_difference(path, tree, their_tree, stack) for path in their_tree.keys() | tree.keys()}
    return ", ".join(sorted(found - {"same"})) or "same"


def known_difference(path: bytes, tree: Tree, theirs: Tree, stack: Sequence[DrawnLayer]) -> str:
    """Why one path may have other attributes: only a directory that no layer named where it stands."""
    if tree.get(path) == theirs.get(path):
        return "same"
    assert tree.get(path) == ("d", 0o755, (0, 0), None, None), (path, tree.get(path), theirs.get(path))
    above = theirs.get(os.path.dirname(path), ("d", 0, (0, 0)))
    if above[1] & stat.S_ISGID and theirs[path] == ("d", 0o2755, (0, above[2][1]), None, None):
        return "a made directory inherits no group"
    hides = any(entry.kind in "wo" for layer in stack for entry in layer.entries)
    assert theirs[path][0] == "d" and hides, (path, theirs[path])
    return "a hidden directory that comes back is a new one"


def known_failure(stack: Sequence[DrawnLayer], message: str) -> str:
    """Why umoci may fail on what we take."""
    entries = [entry for layer in stack for entry in layer.entries]
    if "too many levels of symbolic links" in message and ".wh." in message:
        return "a whiteout looks below its own layer"
    if any(entry.kind == "h" for entry in entries) and "link: no such file" in message:
        return "a hard link to itself, or to what its layer hides"
    raise AssertionError(f"umoci fails: {message[-1500:]}")


def compare_many(count: int, umoci: Path, environment: dict[str, str], *, same: int) -> None:
    seen: Counter[str] = Counter()

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(stacks())
    def each(stack: tuple[DrawnLayer, ...]) -> None:
        seen[compare(stack, umoci, environment)] += 1

    each()
    assert seen["same"] >= same, seen


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("umoci sets owners and makes device files, which only root may")


@pytest.mark.usefixtures("as_root")
def test_thirty_generated_stacks(umoci: Path, peer_environment: dict[str, str]) -> None:
    compare_many(33, umoci, peer_environment, same=30)


@pytest.mark.acceptance
@pytest.mark.usefixtures("as_root")
def test_two_hundred_generated_stacks(umoci: Path, peer_environment: dict[str, str]) -> None:
    compare_many(220, umoci, peer_environment, same=200)
