"""Layers merged into one tree, in memory, as an index (OCI image-spec, layer.md, "Applying Changesets").

Where the specification is silent this follows containerd: a layer's path is resolved through the symlinks of
the tree below it, its last component is not; whiteouts concern lower layers only, wherever they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from glassclave.errors import LimitError, ParseError
from glassclave.image.tar import TarEntry, read_entries
from glassclave.image.tree import (
    MAX_FILE_SIZE,
    MAX_PATH,
    NO_CONTENT,
    FileTree,
    Kind,
    Node,
    check_path,
    is_plain,
)
from glassclave.streams import CHUNK_SIZE

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
AUFS_METADATA = b".wh..wh."
MAX_ENTRIES = 500_000
"""Entries of all layers together, and directories made for them: far above real images."""
MAX_NAME_BYTES = 128 << 20
"""Bytes of all names, link targets and attribute names together, and of all paths of the tree."""
MAX_TARGET = 4095
"""Bytes of a symlink's target: PATH_MAX of Linux, with its NUL."""
MAX_SYMLINKS = 40
"""Followed in one path, as the kernel does."""
MAX_STEPS = 8_000_000
"""Names followed on the way to all entries: images have a few for each, links can make it 80,000."""

_KINDS = {
    b"0": Kind.FILE,
    b"2": Kind.SYMLINK,
    b"3": Kind.CHARACTER,
    b"4": Kind.BLOCK,
    b"5": Kind.DIRECTORY,
    b"6": Kind.FIFO,
}


class Slice:
    """Content of a file: a part of a layer that is mapped into memory."""

    __slots__ = ("_data", "_end", "_start")

    def __init__(self, data: memoryview, start: int, size: int) -> None:
        self._data = data
        self._start = start
        self._end = start + size

    def chunks(self) -> Iterator[bytes | memoryview]:
        """See `Content`."""
        for at in range(self._start, self._end, CHUNK_SIZE):
            yield self._data[at : min(at + CHUNK_SIZE, self._end)]


class _Directory:
    """A directory of the tree: its attributes and what is in it."""

    __slots__ = ("children", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.children: dict[bytes, _Place] = {}


_Place = _Directory | Node


@dataclass(frozen=True, slots=True)
class Layer:
    """An uncompressed layer in memory (mapped). ``name`` is for messages."""

    data: memoryview
    name: str


Watch = Callable[[Callable[[], Mapping[bytes, Node]]], None]
"""Told after each layer; what it is given lists every path with its node as it is then."""


def merge_layers(layers: Iterable[Layer], watch: Watch | None = None) -> FileTree:
    """The tree that the layers give, lowest first. ``watch`` sees it grow.

    Raises `ParseError` ``image.tar.*``, ``image.layer.*``, ``image.path.*``; `LimitError`
    ``image.layer.entries``.
    """
    merge = _Merge()
    for layer in layers:
        merge.apply(layer)
        if watch is not None:
            watch(merge.flatten)
    return FileTree(merge.flatten(last=True))


class _Merge:
    def __init__(self) -> None:
        self._root = _implied()
        # Parents as layers write them, resolved; emptied whenever a path may lead elsewhere.
        self._resolved: dict[bytes, _Directory] = {}
        self._hidden: dict[bytes, _Place] = {}
        self._entries = 0
        self._name_bytes = 0
        self._steps = 0
        self._source = ""

    def apply(self, layer: Layer) -> None:
        self._source = layer.name
        self._resolved.clear()
        whiteouts: list[tuple[bytes, bytes]] = []
        additions: list[tuple[bytes, bytes, TarEntry]] = []
        for entry in read_entries(layer.data, source=layer.name):
            self._count(entry)
            path = self._clean(entry.name)
            if not path:
                if entry.type != b"5":
                    raise ParseError(
                        "image.path.form", "the root itself as something else", source=layer.name
                    )
                continue  # the root's own attributes are not applied (containerd)
            parent, _, name = path.rpartition(b"/")
            if name.startswith(WHITEOUT):
                whiteouts.append((parent, name))
            else:
                additions.append((parent, name, entry))
        # First: they remove what lower layers brought, never what this layer brings.
        self._hide(whiteouts, additions)
        for parent, name, entry in additions:
            self._add(parent, name, entry, layer.data)

    def _count(self, entry: TarEntry) -> None:
        self._one_more(entry.name)
        self._name_bytes += len(entry.name) + len(entry.link)
        if entry.attributes:
            self._name_bytes += sum(map(len, entry.attributes))
        if self._name_bytes > MAX_NAME_BYTES:
            raise LimitError("image.layer.entries", "more names than this tool holds", source=self._source)

    def _follow(self, names: int, path: bytes) -> None:
        self._steps += names
        if self._steps > MAX_STEPS:
            raise LimitError(
                "image.layer.symlinks",
                "paths that lead through more links than this tool follows",
                field=_shown(path),
                source=self._source,
            )

    def _one_more(self, path: bytes) -> None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise LimitError(
                "image.layer.entries",
                f"more than {MAX_ENTRIES:,} entries",
                field=_shown(path),
                source=self._source,
            )

    def _error(self, code: str, message: str, path: bytes) -> ParseError:
        return ParseError(code, message, field=_shown(path), source=self._source)

    def _clean(self, name: bytes) -> bytes:
        """The path without leading ``/`` and ``./``, trailing ``/`` and empty components."""
        path = name[:-1] if name.endswith(b"/") else name
        if is_plain(path):  # as nearly all are
            return path
        if path.startswith((b"/", b"./")) or path.endswith((b"/", b"/.")) or b"//" in path or b"/./" in path:
            path = b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))
        if path in (b"", b"."):
            return b""
        check_path(path, source=self._source)
        if b"/.wh." in path or path.startswith(WHITEOUT):
            head = path.rpartition(b"/")[0]
            if head.startswith(WHITEOUT) or b"/.wh." in head:
                raise self._error("image.layer.whiteout", "a path inside a whiteout", path)
        return path

    # What a layer hides of those below it.

    def _hide(
        self, whiteouts: list[tuple[bytes, bytes]], additions: list[tuple[bytes, bytes, TarEntry]]
    ) -> None:
        self._hidden.clear()
        if not whiteouts:
            return
        made = {
            parent + b"/" + name if parent else name
            for parent, name, entry in additions
            if entry.type == b"5"
        }
        # All are looked up before any is applied: no whiteout changes where another one leads.
        found = [
            (parent, name, directory)
            for parent, name in whiteouts
            if (directory := self._hiding(parent, name, made)) is not None
        ]
        for parent, name, directory in found:
            hidden = list(directory.children) if name == OPAQUE else [name.removeprefix(WHITEOUT)]
            for child in hidden:
                place = directory.children.pop(child, None)
                if place is not None:
                    self._hidden[parent + b"/" + child if parent else child] = place
        self._resolved.clear()

    def _hiding(self, parent: bytes, name: bytes, made: Collection[bytes]) -> _Directory | None:
        """The directory in which a whiteout hides something."""
        if name.startswith(AUFS_METADATA) and name != OPAQUE:
            return None
        if name.removeprefix(WHITEOUT) in (b"", b".", b".."):
            raise self._error("image.layer.whiteout", "a whiteout of no name", parent + b"/" + name)
        return self._resolve(parent, create=False, made=made)

    # What a layer brings.

    def _add(self, parent: bytes, name: bytes, entry: TarEntry, data: memoryview) -> None:
        directory = self._resolved.get(parent)
        if directory is None:
            directory = self._resolved[parent] = self._made(parent)
        children = directory.children
        existing = children.get(name)
        if entry.type == b"1":
            children[name] = self._linked(entry)
        else:
            node = self._node(entry, data)
            if node.kind is not Kind.DIRECTORY:
                children[name] = node
            elif isinstance(existing, _Directory):
                existing.node = node
                return
            else:
                children[name] = _Directory(node)
        if existing is not None and (isinstance(existing, _Directory) or existing.kind is Kind.SYMLINK):
            self._resolved.clear()  # a path that led through it leads elsewhere now

    def _linked(self, entry: TarEntry) -> Node:
        """The inode that a hard link names, as it is at this point of this layer."""
        target = self._clean(entry.link)
        parent, _, name = target.rpartition(b"/")
        directory = self._resolve(parent, create=False) if target else None
        place = None if directory is None else directory.children.get(name)
        if place is None:
            # `mv a b` may come as "hide a, b is a link to a": in which order they stand must not matter.
            place = self._among_hidden(target)
        if place is None:
            raise self._error("image.layer.hardlink", "a hard link to a file that is not there", entry.name)
        if isinstance(place, _Directory):
            raise self._error("image.layer.hardlink", "a hard link to a directory", entry.name)
        return place

    def _among_hidden(self, path: bytes) -> _Place | None:
        """What lay at ``path`` before this layer's whiteouts."""
        if not self._hidden:
            return None
        self._follow(8 * (path.count(b"/") + 1), path)  # each is looked up by all its bytes
        end = len(path)
        while end > 0:
            place = self._hidden.get(path[:end])
            if place is not None:
                rest = path[end + 1 :].split(b"/") if end < len(path) else []
                for name in rest:
                    place = place.children.get(name) if isinstance(place, _Directory) else None
                return place
            end = path.rfind(b"/", 0, end)
        return None

    def _node(self, entry: TarEntry, data: memoryview) -> Node:
        kind = _KINDS[entry.type]
        if kind is Kind.SYMLINK and not entry.link:
            raise self._error("image.layer.symlink", "a symlink to nowhere", entry.name)
        if kind is Kind.SYMLINK and len(entry.link) > MAX_TARGET:
            raise self._error("image.layer.symlink", f"a target longer than {MAX_TARGET} bytes", entry.name)
        return Node(
            kind=kind,
            mode=entry.mode if kind is not Kind.SYMLINK else 0o777,  # Linux knows no other (symlink(7))
            uid=entry.uid,
            gid=entry.gid,
            mtime=entry.mtime,
            size=entry.size,
            target=entry.link if kind is Kind.SYMLINK else b"",
            device=entry.device,
            content=Slice(data, entry.offset, entry.size) if entry.size else NO_CONTENT,
            attributes=entry.attributes,
        )

    # Where a path leads.

    def _made(self, path: bytes) -> _Directory:
        """The directory ``path``, made where it is missing."""
        directory = self._resolve(path, create=True)
        if directory is None:
            raise self._error("image.layer.parent", "a path through a file that is no directory", path)
        return directory

    def _resolve(self, path: bytes, *, create: bool, made: Collection[bytes] = ()) -> _Directory | None:
        """Follow ``path`` from the root through symlinks; ``None`` where it leads to no directory.

        ``create`` makes missing directories, but none that a ``..`` leads out of again; ``made`` are
        directories of this layer: where one takes the place of a symlink, nothing of it is below that
        symlink's target.
        """
        stack = [self._root]
        missing: list[bytes] = []
        parts = path.split(b"/") if path else []
        todo = parts[::-1]
        own = len(parts)  # so many of `todo` are still the path's own, not a symlink's
        self._follow(own, path)
        followed = 0
        while todo:
            name = todo.pop()
            own = min(own, len(todo))
            if name in (b"", b"."):
                continue
            if name == b"..":
                if missing:
                    missing.pop()
                elif len(stack) > 1:
                    stack.pop()
                continue
            place = None if missing else stack[-1].children.get(name)
            if place is None:
                missing.append(name)
                continue
            if isinstance(place, _Directory):
                stack.append(place)
                continue
            if place.kind is not Kind.SYMLINK or b"/".join(parts[: len(parts) - own]) in made:
                return None
            followed += 1
            if followed > MAX_SYMLINKS:
                raise self._error("image.layer.symlinks", "symlinks that lead in circles", path)
            if place.target.startswith(b"/"):
                del stack[1:]
            onward = place.target.split(b"/")
            self._follow(len(onward), path)
            todo += onward[::-1]
        if missing and not create:
            return None
        return self._make(stack[-1], missing)

    def _make(self, directory: _Directory, names: list[bytes]) -> _Directory:
        """The directory that ``names``, of which there is none yet, lead to."""
        for name in names:
            check_path(name, source=self._source)
            self._one_more(name)
            inner = directory.children[name] = _implied()
            directory = inner
        return directory

    def flatten(self, *, last: bool = False) -> dict[bytes, Node]:
        """Every path with its node; ``last``: directories are emptied, so that nothing is held twice."""
        nodes: dict[bytes, Node] = {}
        size = 0
        stack = [(b"", self._root)]
        while stack:
            prefix, directory = stack.pop()
            for name, place in directory.children.items():
                path = prefix + name
                # Through a symlink a short name makes a long path.
                size += len(path)
                if size > MAX_NAME_BYTES:
                    raise LimitError(
                        "image.layer.entries", "longer paths than this tool holds", source="the merged tree"
                    )
                if len(path) > MAX_PATH:  # its names were looked at when they came
                    check_path(path, source="the merged tree")
                if isinstance(place, _Directory):
                    nodes[path] = place.node
                    stack.append((path + b"/", place))
                else:
                    if place.size > MAX_FILE_SIZE:
                        raise ParseError("image.file.size", "a file of 4 GiB or more", field=_shown(path))
                    nodes[path] = place
            if last:
                directory.children.clear()
        return nodes


def _implied() -> _Directory:
    """A parent directory that no layer names; with a node of its own, for a shared one is a hard link."""
    return _Directory(Node(kind=Kind.DIRECTORY, mode=0o755))


def _shown(path: bytes) -> str:
    return path[:120].decode("utf-8", "backslashreplace")
