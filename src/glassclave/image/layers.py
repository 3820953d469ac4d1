"""Layers merged into one tree, in memory, as an index (OCI image-spec, layer.md, "Applying Changesets").

Where the specification is silent this follows containerd: a layer's path is resolved through the symlinks of
the tree below it, its last component is not; whiteouts concern lower layers only, wherever they stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from glassclave.errors import ParseError
from glassclave.image.tar import TarEntry, read_entries
from glassclave.image.tree import MAX_FILE_SIZE, NO_CONTENT, FileTree, Kind, Node, check_path
from glassclave.streams import CHUNK_SIZE

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
AUFS_METADATA = b".wh..wh."
MAX_ENTRIES = 4_000_000
"""Entries of all layers together: far above real images, far below what would exhaust memory."""
MAX_SYMLINKS = 40
"""Followed in one path, as the kernel does."""

_KINDS = {
    b"0": Kind.FILE,
    b"2": Kind.SYMLINK,
    b"3": Kind.CHARACTER,
    b"4": Kind.BLOCK,
    b"5": Kind.DIRECTORY,
    b"6": Kind.FIFO,
}
_IMPLIED = {"kind": Kind.DIRECTORY, "mode": 0o755}


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


class _Place:
    """A name in the tree: its inode and, for a directory, what is in it."""

    __slots__ = ("children", "node")

    def __init__(self, node: Node, children: dict[bytes, _Place] | None) -> None:
        self.node = node
        self.children = children


@dataclass(frozen=True, slots=True)
class Layer:
    """An uncompressed layer in memory (mapped). ``name`` is for messages."""

    data: memoryview
    name: str


def merge_layers(layers: Iterable[Layer]) -> FileTree:
    """The tree that the layers give, lowest first. Raises `ParseError` ``image.tar.*``, ``image.layer.*``."""
    merge = _Merge()
    for layer in layers:
        merge.apply(layer)
    return FileTree(merge.flatten())


class _Merge:
    def __init__(self) -> None:
        self.root = _Place(Node(kind=Kind.DIRECTORY, mode=0o755), {})
        self._directories: dict[bytes, dict[bytes, _Place]] = {}
        self._entries = 0
        self._source = ""

    def apply(self, layer: Layer) -> None:
        self._source = layer.name
        self._directories.clear()
        additions: list[tuple[bytes, bytes, TarEntry]] = []
        # Whiteouts first: they remove what lower layers brought, never what this layer brings.
        for entry in read_entries(layer.data, source=layer.name):
            self._entries += 1
            if self._entries > MAX_ENTRIES:
                raise self._error("image.layer.entries", "more entries than this tool holds", entry.name)
            path = self._clean(entry.name)
            if not path:
                continue  # the root's own attributes are not applied (containerd)
            parent, _, name = path.rpartition(b"/")
            if name.startswith(WHITEOUT):
                self._whiteout(parent, name)
            else:
                additions.append((parent, name, entry))
        self._directories.clear()
        for parent, name, entry in additions:
            self._add(parent, name, entry, layer.data)

    def _error(self, code: str, message: str, path: bytes) -> ParseError:
        return ParseError(
            code, message, field=path[:120].decode("utf-8", "backslashreplace"), source=self._source
        )

    def _clean(self, name: bytes) -> bytes:
        """The path without leading ``/`` and ``./``, trailing ``/`` and empty components."""
        path = name
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

    def _whiteout(self, parent: bytes, name: bytes) -> None:
        children = self._lookup(parent)
        if name == OPAQUE:
            if children:
                children.clear()
                self._directories.clear()
            return
        if name.startswith(AUFS_METADATA):
            return
        hidden = name.removeprefix(WHITEOUT)
        if hidden in (b"", b".", b".."):
            raise self._error("image.layer.whiteout", "a whiteout of no name", parent + b"/" + name)
        if children is not None and children.pop(hidden, None) is not None:
            self._directories.clear()

    def _add(self, parent: bytes, name: bytes, entry: TarEntry, data: memoryview) -> None:
        children = self._directories.get(parent)
        if children is None:
            found = self._resolve(parent, create=True)
            assert found is not None  # noqa: S101 - create never answers None
            children = self._directories[parent] = found
        existing = children.get(name)
        node = self._hard_link(entry) if entry.type == b"1" else self._node(entry, data)
        if node.kind is Kind.DIRECTORY:
            if existing is not None and existing.children is not None:
                existing.node = node
                return
            children[name] = _Place(node, {})
        else:
            children[name] = _Place(node, None)
        if existing is not None and existing.node.kind in (Kind.DIRECTORY, Kind.SYMLINK):
            self._directories.clear()  # a path that led through it leads elsewhere now

    def _hard_link(self, entry: TarEntry) -> Node:
        target = self._clean(entry.link)
        parent, _, name = target.rpartition(b"/")
        children = self._lookup(parent) if target else None
        place = None if children is None else children.get(name)
        if place is None:
            raise self._error("image.layer.hardlink", "a hard link to a file that is not there", entry.name)
        if place.children is not None:
            raise self._error("image.layer.hardlink", "a hard link to a directory", entry.name)
        return place.node

    def _node(self, entry: TarEntry, data: memoryview) -> Node:
        kind = _KINDS[entry.type]
        if entry.size > MAX_FILE_SIZE:
            raise self._error("image.file.size", "a file of 4 GiB or more", entry.name)
        if kind is Kind.SYMLINK and not entry.link:
            raise self._error("image.layer.symlink", "a symlink to nowhere", entry.name)
        return Node(
            kind=kind,
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            mtime=entry.mtime,
            size=entry.size,
            target=entry.link if kind is Kind.SYMLINK else b"",
            device=entry.device,
            content=Slice(data, entry.offset, entry.size) if entry.size else NO_CONTENT,
            attributes=entry.attributes,
        )

    def _lookup(self, path: bytes) -> dict[bytes, _Place] | None:
        """What is in the directory ``path`` (resolved), or ``None`` where there is no such directory."""
        return self._resolve(path, create=False)

    def _resolve(self, path: bytes, *, create: bool) -> dict[bytes, _Place] | None:
        """Follow ``path`` from the root through symlinks; with ``create`` missing directories are made."""
        stack = [self.root]
        todo = path.split(b"/")[::-1] if path else []
        followed = 0
        while todo:
            name = todo.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                if len(stack) > 1:
                    stack.pop()
                continue
            children = stack[-1].children
            assert children is not None  # noqa: S101 - only directories are put on the stack
            place = children.get(name)
            if place is None:
                if not create:
                    return None
                check_path(name, source=self._source)
                place = children[name] = _Place(Node(kind=Kind.DIRECTORY, mode=0o755), {})
            if place.children is not None:
                stack.append(place)
            elif place.node.kind is Kind.SYMLINK:
                followed += 1
                if followed > MAX_SYMLINKS:
                    raise self._error("image.layer.symlinks", "symlinks that lead in circles", path)
                if place.node.target.startswith(b"/"):
                    stack = [self.root]
                todo += place.node.target.split(b"/")[::-1]
            elif create:
                raise self._error("image.layer.parent", "a path through a file that is no directory", path)
            else:
                return None
        return stack[-1].children

    def flatten(self) -> dict[bytes, Node]:
        """Every path with its node."""
        nodes: dict[bytes, Node] = {}
        stack: list[tuple[bytes, dict[bytes, _Place]]] = [(b"", self.root.children or {})]
        while stack:
            prefix, children = stack.pop()
            for name, place in children.items():
                path = prefix + name
                check_path(path, source="the merged tree")
                nodes[path] = place.node
                if place.children:
                    stack.append((path + b"/", place.children))
        return nodes
