"""SOURCE of `build`: a word that names what to build from, opened as a file tree with its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from glassclave.errors import UsageError
from glassclave.image.config import ImageConfig
from glassclave.image.directory import read_directory
from glassclave.image.tree import FileTree
from glassclave.progress import Progress

DEFAULT_ARCHITECTURE = "amd64"
"""Of a directory, which does not say: never taken from the machine that builds (promise 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """``architecture``: ``amd64`` or ``arm64``; ``preserve_owner`` concerns directories only."""

    architecture: str | None = None
    preserve_owner: bool = False


@dataclass(frozen=True, slots=True)
class OpenImage:
    """A source ready to be built; contents are read while it is open."""

    tree: FileTree
    config: ImageConfig


@contextmanager
def open_image(source: str, options: SourceOptions, progress: Progress) -> Iterator[OpenImage]:
    """Open ``source``. Raises `UsageError` ``build.source.kind`` and the errors of the image room."""
    kind, _, place = source.partition(":")
    if kind != "dir" or not place:
        raise UsageError(
            "build.source.kind",
            "the source is not one that can be built from",
            field=source[:80],
            hint="use dir:ROOT",
        )
    tree = read_directory(Path(place), preserve_owner=options.preserve_owner)
    yield OpenImage(tree, ImageConfig(architecture=options.architecture or DEFAULT_ARCHITECTURE))
