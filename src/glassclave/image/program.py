"""Whether a tree holds the program that is to be started: what is missing would be noticed only at boot."""

from __future__ import annotations

from glassclave.image.config import Process
from glassclave.image.tree import FileTree, Kind, Node

_ABSENT = "is not in the image"
_MAX_LINKS = 40
"""Symbolic links that Linux follows in one path (path_resolution(7))."""
_MADE_AT_START = (b"dev", b"proc", b"sys", b"run", b"tmp")
"""Directories that init mounts something on: nobody knows what will be there."""


def program_problem(tree: FileTree, process: Process) -> str | None:
    """Why the program cannot be started from ``tree``; ``None`` where it can, or nobody knows."""
    program = _bytes(process.argv[0])
    if b"/" in program:
        place = program if program.startswith(b"/") else _bytes(process.working_directory) + b"/" + program
        return _problem(tree, place)
    path = next((setting[5:] for setting in process.env if setting.startswith("PATH=")), "")
    places = [_bytes(folder) + b"/" + program for folder in path.split(":") if folder.startswith("/")]
    problems = [_problem(tree, place) for place in places]
    if None in problems:
        return None
    # What is there and cannot be started tells more than where it is not.
    return next((one for one in problems if one != _ABSENT), f"is in no directory of PATH ({path})")


def _problem(tree: FileTree, path: bytes) -> str | None:
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if parts and parts[0] in _MADE_AT_START:
        return None
    node = _find(tree, parts)
    if node is None:
        return _ABSENT
    if node.kind is not Kind.FILE:
        return f"is no file but a {node.kind.name.lower()}"
    return None if node.mode & 0o111 else "is not executable"


def _find(tree: FileTree, parts: list[bytes]) -> Node | None:
    """The inode behind a path, symbolic links followed inside the tree."""
    done: list[bytes] = []
    left, links = list(parts), 0
    node: Node | None = None
    while left:
        part = left.pop(0)
        if part == b"..":
            del done[-1:]
            continue
        node = tree.nodes.get(b"/".join([*done, part]))
        if node is None:
            return None
        if node.kind is Kind.SYMLINK:
            links += 1
            if links > _MAX_LINKS:
                return None
            if node.target.startswith(b"/"):
                done = []
            left = [item for item in node.target.split(b"/") if item not in (b"", b".")] + left
            continue
        done.append(part)
    return node


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
