"""A directory on disk as a file tree (``dir:ROOT``). Symlinks are never followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from glassclave.errors import ParseError, UnavailableError
from glassclave.image.tree import MAX_FILE_SIZE, NO_CONTENT, Content, FileTree, Kind, Node, check_path
from glassclave.streams import CHUNK_SIZE

_KINDS = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class FileOnDisk:
    """Content of a file that must not change between the walk and the reading."""

    path: bytes
    size: int
    mtime_ns: int

    def chunks(self) -> Iterator[bytes | memoryview]:
        """See `Content`; `UnavailableError` ``image.directory.changed`` when the file is another by now."""
        shown = self.path.decode("utf-8", "backslashreplace")
        try:
            # O_NONBLOCK: what was a file may be a FIFO by now.
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise _unreadable(self.path, "read", error) from error
        try:
            status = os.fstat(fd)
            if (status.st_size, status.st_mtime_ns) != (self.size, self.mtime_ns):
                raise self._changed(shown)
            left = self.size
            while left > 0:
                part = self._read(fd, min(left, CHUNK_SIZE))
                if not part:
                    raise self._changed(shown)
                left -= len(part)
                yield part
        finally:
            os.close(fd)

    def _read(self, fd: int, length: int) -> bytes:
        try:
            return os.read(fd, length)
        except OSError as error:
            raise _unreadable(self.path, "read", error) from error

    def _changed(self, shown: str) -> UnavailableError:
        return UnavailableError(
            "image.directory.changed",
            "changed while it was read",
            source=shown,
            hint="build from a directory that nothing writes to",
        )


def read_directory(root: Path, *, preserve_owner: bool = False) -> FileTree:
    """The tree below ``root``; files are owned 0:0 unless ``preserve_owner``.

    Raises `UnavailableError` ``image.directory.*`` and `ParseError` ``image.path.*``. Sockets are left out
    with a warning: a socket without its server is nothing.
    """
    walk = _Walk(os.fsencode(root), preserve_owner)
    if not root.is_dir():
        raise UnavailableError("image.directory.missing", "is not a directory", source=str(root))
    walk.directory(b"")
    return FileTree(walk.nodes, tuple(sorted(walk.warnings)))


class _Walk:
    def __init__(self, root: bytes, preserve_owner: bool) -> None:
        self.root = root
        self.preserve_owner = preserve_owner
        self.nodes: dict[bytes, Node] = {}
        self.warnings: list[str] = []
        self._by_inode: dict[tuple[int, int], Node] = {}

    def directory(self, path: bytes) -> None:
        stack = [path]
        while stack:
            inside = stack.pop()
            for name in self._names(inside):
                child = inside + b"/" + name if inside else name
                if self._entry(child) is Kind.DIRECTORY:
                    stack.append(child)

    def _names(self, path: bytes) -> list[bytes]:
        try:
            return os.listdir(os.path.join(self.root, path))
        except OSError as error:
            raise _unreadable(path, "listed", error) from error

    def _entry(self, path: bytes) -> Kind | None:
        check_path(path, source=_shown(self.root))
        full = os.path.join(self.root, path)
        try:
            status = os.lstat(full)
        except OSError as error:  # no search permission, a path that is too long, a file just removed
            raise _unreadable(path, "looked at", error) from error
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            self.warnings.append(f"{_shown(path)}: a socket, left out")
            return None
        identity = (status.st_dev, status.st_ino)
        node = self._by_inode.get(identity) if kind is not Kind.DIRECTORY else None
        if node is None:
            node = self._node(full, kind, status)
            if status.st_nlink > 1 and kind is not Kind.DIRECTORY:
                self._by_inode[identity] = node
        self.nodes[path] = node
        return kind

    def _node(self, full: bytes, kind: Kind, status: os.stat_result) -> Node:
        size = status.st_size if kind is Kind.FILE else 0
        if size > MAX_FILE_SIZE:
            raise ParseError("image.file.size", "a file of 4 GiB or more", source=_shown(full))
        content: Content = FileOnDisk(full, size, status.st_mtime_ns) if size else NO_CONTENT
        is_device = kind in (Kind.CHARACTER, Kind.BLOCK)
        return Node(
            kind=kind,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid if self.preserve_owner else 0,
            gid=status.st_gid if self.preserve_owner else 0,
            mtime=status.st_mtime_ns // 1_000_000_000,  # st_mtime is a float and may round up
            size=size,
            target=_target(full) if kind is Kind.SYMLINK else b"",
            device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if is_device else (0, 0),
            content=content,
            attributes=_attributes(full),
        )


def _target(full: bytes) -> bytes:
    try:
        return os.readlink(full)
    except OSError as error:
        raise _unreadable(full, "read", error) from error


def _unreadable(path: bytes, verb: str, error: OSError) -> UnavailableError:
    return UnavailableError(
        "image.directory.unreadable",
        f"cannot be {verb}: {error.strerror}",
        source=_shown(path),
        hint="build as a user who may read the whole directory, from one that nothing writes to",
    )


def _attributes(full: bytes) -> tuple[str, ...]:
    if not hasattr(os, "listxattr"):
        return ()
    try:
        return tuple(sorted(os.listxattr(full, follow_symlinks=False)))
    except OSError:  # the file system has none
        return ()


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
