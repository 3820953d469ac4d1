"""What the layers of a container image that was just built show of what came from outside of its folder.

Nothing is unpacked: the package databases and git repositories of the merged tree are read after each layer
that this build made, and compared with what was there before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from glassclave.errors import LimitError, ParseError
from glassclave.image.commands import Command
from glassclave.image.config import ImageConfig
from glassclave.image.layers import Watch
from glassclave.image.repositories import MAX_FILE, Repository, read_repository, repository_folder
from glassclave.image.tree import Kind, Node
from glassclave.packages import Package, Reader, readers
from glassclave.packages.changes import compare
from glassclave.progress import Progress
from glassclave.provenance.outside import (
    CommandClaim,
    OutsideClaim,
    PackageChange,
    RepositoryClaim,
    UnreadClaim,
    listed,
)

PACKAGES_ROOM = 384 << 10
"""Bytes of the measurements file that the list of packages may take; all of it has at most 1 MiB."""
OTHERS_ROOM = 48 << 10
"""Bytes that each of the other lists may take."""

_MAX_READ = 512 << 20
"""Bytes of databases and repositories that are read for one image, all layers together."""
_MAX_PER_FILE = 100_000
"""Packages of one file."""
_MAX_WALKED = 20_000_000
"""Paths looked at, all layers together: beyond it only the last layer is looked at once more."""
_MAX_PATH = 500
"""Characters of a path that are kept."""

Nodes = Mapping[bytes, Node]
_Value = TypeVar("_Value")


@dataclass(slots=True)
class _State:
    """What a tree holds: packages by the file that names them, repositories and failures by their path."""

    packages: dict[bytes, frozenset[Package]] = field(default_factory=dict)
    repositories: dict[bytes, Repository] = field(default_factory=dict)
    unread: dict[bytes, ParseError] = field(default_factory=dict)

    def all_packages(self) -> frozenset[Package]:
        """Each once, wherever it is."""
        return frozenset().union(*self.packages.values())


class OutsideWatch:
    """Watches one image being merged (`glassclave.flows.source.open_image`), then says what it saw.

    ``base``: the diffIDs of the base image's layers, ``None``: not known.
    """

    def __init__(self, base: tuple[str, ...] | None, commands: Iterable[Command], progress: Progress) -> None:
        self._base = base
        self._commands = tuple(commands)
        self._progress = progress
        self._layers = 0
        self._base_layers: int | None = None
        self._number = 0
        self._walked = 0
        self._state = _State()
        self._contents = _Contents()
        self._packages: list[PackageChange] = []
        self._repositories: list[RepositoryClaim] = []
        self._unread: list[UnreadClaim] = []

    def __call__(self, config: ImageConfig) -> Watch:
        """What is to be told after each layer of the image with this configuration."""
        layers = config.layer_digests
        self._layers = len(layers)
        # Not believed but compared: a tag may have moved since the build.
        if self._base is not None and layers[: len(self._base)] == self._base:
            self._base_layers = len(self._base)
        return self._layer

    def _layer(self, nodes: Callable[[], Nodes]) -> None:
        self._number += 1
        base = self._base_layers or 0
        if self._number < base or (self._walked > _MAX_WALKED and base < self._number < self._layers):
            return
        tree = nodes()
        self._walked += len(tree)
        before, self._state = self._state, self._contents.state(tree, self._state)
        if self._number > base:
            self._compare(before, self._state)

    def _compare(self, before: _State, after: _State) -> None:
        layer = self._number
        self._packages += [
            PackageChange(
                layer=layer,
                change=change.kind.value,
                type=change.package.type,
                name=change.package.name,
                version=change.package.version,
                before=change.before,
            )
            for change in compare(before.all_packages(), after.all_packages())
        ]
        self._repositories += [
            RepositoryClaim(
                layer=layer, path=_cut(one.path), commit=one.commit, ref=one.ref, remotes=one.remotes
            )
            for one in _new(before.repositories, after.repositories)
        ]
        self._unread += [
            UnreadClaim(
                layer=layer, path=_cut("/" + path.decode("utf-8", "backslashreplace")),
                code=error.code, reason=error.message,
            )
            for path, error in sorted(after.unread.items())
            if before.unread.get(path) is not error
        ]  # fmt: skip

    def claim(self) -> OutsideClaim:
        """What was seen. A warning names what could not be read."""
        if self._unread:
            shown = ", ".join(f"{one.path} ({one.reason})" for one in self._unread[:4])
            self._progress.warn(
                "packages.unread", f"not read, so not in the list of packages: {len(self._unread)}: {shown}"
            )
        commands = (CommandClaim(line=one.line, text=one.text) for one in self._commands)
        return OutsideClaim(
            layers=self._layers,
            base_layers=self._base_layers,
            packages=listed(sorted(self._packages, key=_order), room=PACKAGES_ROOM),
            repositories=listed(self._repositories, room=OTHERS_ROOM),
            commands=listed(commands, room=OTHERS_ROOM),
            unread=listed(self._unread, room=OTHERS_ROOM),
        )


def _order(change: PackageChange) -> tuple[int, str, str, str, str, str]:
    return change.layer, change.type, change.name, change.version, change.change, change.before or ""


def _new(before: Mapping[bytes, _Value], after: Mapping[bytes, _Value]) -> Iterator[_Value]:
    """What is there now and was not, or was another, in the order of its path."""
    for path, value in sorted(after.items(), key=lambda item: item[0]):
        if before.get(path) != value:
            yield value


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_PATH else text[: _MAX_PATH - 1] + "…"


class _Contents:
    """Reads files of trees; a file that several trees have is read once."""

    def __init__(self) -> None:
        self._left = _MAX_READ
        self._known: dict[tuple[bytes, Node], frozenset[Package] | ParseError] = {}
        self._refused: dict[tuple[bytes, Node], ParseError] = {}

    def state(self, nodes: Nodes, before: _State) -> _State:
        """What the tree holds. Of a file that cannot be read what was there ``before`` is kept."""
        state = _State()
        for path, node in nodes.items():
            reader = _reader_of(path, node, nodes)
            if reader is not None:
                found = self._packages(reader, path, node)
                if isinstance(found, ParseError):
                    state.unread[path] = found
                    state.packages[path] = before.packages.get(path, frozenset())
                else:
                    state.packages[path] = found
            elif path.endswith(b"HEAD") and (folder := repository_folder(path, nodes)) is not None:
                self._repository(folder, node, nodes, state)
        return state

    def _packages(self, reader: Reader, path: bytes, node: Node) -> frozenset[Package] | ParseError:
        key = (path, node)
        found = self._known.get(key)
        if found is None:
            try:
                found = frozenset(_bounded(reader.read(path, self._data(node, reader.limit))))
            except ParseError as error:
                found = error
            self._known[key] = found
        return found

    def _repository(self, folder: bytes, head: Node, nodes: Nodes, state: _State) -> None:
        def read(path: bytes) -> bytes | None:
            node = nodes.get(path)
            return self._data(node, MAX_FILE) if node is not None and node.kind is Kind.FILE else None

        try:
            state.repositories[folder] = read_repository(folder, read)
        except ParseError as error:
            # The first error of the same HEAD again, so that it is told once.
            state.unread[folder] = self._refused.setdefault((folder, head), error)

    def _data(self, node: Node, limit: int) -> bytes:
        """The file's bytes; of a directory none."""
        if node.kind not in (Kind.FILE, Kind.DIRECTORY):
            raise ParseError("packages.link", "a link or device in the place of a file")
        if node.size > limit:
            raise LimitError("packages.limit", f"has {node.size:,} bytes, at most {limit:,} are read")
        self._left -= node.size
        if self._left < 0:
            raise LimitError("packages.limit", f"more than {_MAX_READ:,} bytes of such files in one image")
        return b"".join(node.content.chunks())


def _bounded(packages: Iterable[Package]) -> list[Package]:
    found = list(islice(packages, _MAX_PER_FILE + 1))
    if len(found) > _MAX_PER_FILE:
        raise LimitError("packages.limit", f"more than {_MAX_PER_FILE:,} packages in one file")
    return found


def _reader_of(path: bytes, node: Node, nodes: Nodes) -> Reader | None:
    """Whose database this is: a file's by its path, a directory's where the file in it is missing."""
    if node.kind is Kind.DIRECTORY:
        for reader in readers():
            instead = reader.directory(path)
            if instead is not None:
                return None if instead in nodes else reader
        return None
    return next((reader for reader in readers() if reader.concerns(path)), None)
