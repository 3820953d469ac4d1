"""The file tree of an image: paths to inodes, held as an index; contents stay where they are.

A path is bytes, relative to the root, without leading or trailing slash. Several paths with the same
`Node` object are hard links of one file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from glassclave.errors import ParseError

MAX_FILE_SIZE = (1 << 32) - 1
"""Bytes: the size field of a newc header has eight hex digits."""

MAX_PATH = 4000
MAX_COMPONENT = 255
"""The kernel silently drops longer names while it unpacks an initramfs; we refuse them."""


class Kind(Enum):
    """File types that a tree can hold, with their ``st_mode`` type bits."""

    DIRECTORY = 0o040000
    FILE = 0o100000
    SYMLINK = 0o120000
    CHARACTER = 0o020000
    BLOCK = 0o060000
    FIFO = 0o010000


class Content(Protocol):
    """Bytes of a regular file, read on demand."""

    def chunks(self) -> Iterator[bytes | memoryview]:
        """The bytes in order, in pieces of moderate size, as many as the node's size says."""
        ...


class NoContent:
    """Content of everything that is not a regular file with bytes."""

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Nothing."""
        return iter(())


NO_CONTENT = NoContent()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One inode. Equality is identity: that is what makes a hard link.

    ``mode``: permission bits incl. setuid, setgid, sticky (07777); ``mtime``: whole seconds as the source
    says; ``target``: of a symlink; ``device``: (major, minor); ``attributes``: names of extended attributes,
    which a ramdisk cannot hold.
    """

    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    content: Content = NO_CONTENT
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileTree:
    """All paths of an image below its root (the root itself is not listed)."""

    nodes: Mapping[bytes, Node]
    warnings: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[tuple[bytes, Node]]:
        """Paths in raw byte order, so every directory comes before what it holds."""
        for path in sorted(self.nodes):
            yield path, self.nodes[path]

    def content_size(self) -> int:
        """Bytes of all regular files, hard links counted once."""
        return sum({id(node): node.size for node in self.nodes.values()}.values())


def check_path(path: bytes, *, source: str) -> None:
    """Refuse a path that a ramdisk cannot carry or that tries to leave the tree."""
    problem = _path_problem(path)
    if problem is not None:
        code, message = problem
        shown = path[:120].decode("utf-8", "backslashreplace")
        raise ParseError(code, message, field=shown, source=source)


def is_plain(path: bytes) -> bool:
    """Whether a look at the whole suffices, as with most paths: short, and no component begins with a dot."""
    return (
        0 < len(path) <= MAX_COMPONENT
        and path[0] not in b"/."
        and path[-1] != 0x2F
        and b"/." not in path
        and b"//" not in path
        and b"\0" not in path
    )


def _path_problem(path: bytes) -> tuple[str, str] | None:
    if is_plain(path):
        return None
    if not path or path.startswith(b"/"):
        return "image.path.form", "an empty or absolute path"
    if b"\0" in path:
        return "image.path.nul", "a path with a NUL byte"
    if len(path) > MAX_PATH:
        return "image.path.long", f"a path longer than {MAX_PATH} bytes"
    for component in path.split(b"/"):
        if component in (b"", b".", b".."):
            return "image.path.form", "a path with an empty, '.' or '..' component"
        if len(component) > MAX_COMPONENT:
            return "image.path.long", f"a name longer than {MAX_COMPONENT} bytes"
    return None
