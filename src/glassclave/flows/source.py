"""SOURCE of `build`: a word that names what to build from, opened as a file tree with its configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from glassclave.errors import UnavailableError, UsageError
from glassclave.image import docker_archive, oci_layout
from glassclave.image.codecs import Codec, codec_of
from glassclave.image.config import ImageConfig
from glassclave.image.decode import DEFAULT_LIMIT, LayerBlob, Meter, decode_layers
from glassclave.image.directory import read_directory
from glassclave.image.layers import Layer, Watch, merge_layers
from glassclave.image.oci_layout import Choice, StoredImage
from glassclave.image.spool import is_in_memory, spool_folder
from glassclave.image.store import ArchiveStore, DirectoryStore, open_archive
from glassclave.image.tree import FileTree
from glassclave.progress import Progress
from glassclave.sizes import megabytes

DEFAULT_ARCHITECTURE = "amd64"
"""Of a directory, which does not say: never taken from the machine that builds (promise 1)."""

KINDS = ("oci", "oci-archive", "docker-archive", "dir")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """``architecture``: ``amd64`` or ``arm64``; ``preserve_owner`` concerns directories only.

    ``spool``: folder for decoded layers, ``None`` for the system's; ``unpacked_limit``: bytes that the layers
    may decode to, together.
    """

    architecture: str | None = None
    preserve_owner: bool = False
    spool: Path | None = None
    unpacked_limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True)
class OpenImage:
    """A source ready to be built; contents are read while it is open."""

    tree: FileTree
    config: ImageConfig


WatchImage = Callable[[ImageConfig], Watch]
"""Given the configuration of an image, what watches its layers being merged."""


@contextmanager
def open_image(
    source: str, options: SourceOptions, progress: Progress, watch: WatchImage | None = None
) -> Iterator[OpenImage]:
    """Open ``source``. Raises `UsageError` ``build.source.kind`` and the errors of the image room."""
    kind, _, place = source.partition(":")
    if kind not in KINDS or not place:
        raise UsageError(
            "build.source.kind",
            "the source is not one that can be built from",
            field=source[:80],
            hint="FOLDER with a Dockerfile, oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE or dir:ROOT",
        )
    if kind == "dir":
        tree = read_directory(Path(place), preserve_owner=options.preserve_owner)
        yield OpenImage(tree, ImageConfig(architecture=options.architecture or DEFAULT_ARCHITECTURE))
        return
    stored = _stored(kind, place, options)
    watching = None if watch is None else watch(stored.config)
    yield OpenImage(_merged(stored, options, progress, watching), stored.config)


def _stored(kind: str, place: str, options: SourceOptions) -> StoredImage:
    path, tag = _split(place)
    choice = Choice(tag=tag, architecture=options.architecture)
    if kind == "docker-archive":
        stored = docker_archive.find_image(_archive(path, options), choice)
    elif kind == "oci-archive":
        stored = oci_layout.find_image(_archive(path, options), choice)
    else:
        if not path.is_dir():
            raise UnavailableError(
                "image.layout.missing",
                "is not a directory",
                source=str(path),
                hint="a file is oci-archive:FILE or docker-archive:FILE" if path.is_file() else None,
            )
        stored = oci_layout.find_image(DirectoryStore(path, str(path)), choice)
    if options.architecture not in (None, stored.config.architecture):
        raise UsageError(
            "image.choice.architecture",
            f"the image is for {stored.config.architecture}, not {options.architecture}",
            source=place,
        )
    return stored


def _archive(path: Path, options: SourceOptions) -> ArchiveStore:
    return open_archive(path, folder=spool_folder(options.spool), limit=options.unpacked_limit)


def _split(place: str) -> tuple[Path, str | None]:
    """Path and tag. A path that exists as it stands has no tag, whatever colons are in it."""
    whole = Path(place)
    if whole.exists():
        return whole, None
    # docker-archive tags have a colon of their own (NAME:TAG): try the longest path that exists.
    for index in [match.start() for match in re.finditer(":", place)][::-1]:
        path, tag = Path(place[:index]), place[index + 1 :]
        if tag and path.exists():
            return path, tag
    return whole, None


def _merged(stored: StoredImage, options: SourceOptions, progress: Progress, watch: Watch | None) -> FileTree:
    """Layers decoded two at a time, and merged in their order while the next are decoded."""
    folder = spool_folder(options.spool)
    if is_in_memory(folder) and any(map(_is_compressed, stored.layers)):
        progress.warn(
            "image.spool.memory",
            f"decoded layers are kept in {folder}, which is memory: --spool-dir DIR takes another folder",
        )
    size = sum(layer.size for layer in stored.layers)
    meter = Meter(options.unpacked_limit, lambda done: progress.advance("layers", done, size))
    # Closed at once where a layer is refused: the others are decoded no further.
    with closing(decode_layers(stored.layers, folder, meter)) as decoded:
        layers = (Layer(data, layer.name) for layer, data in zip(stored.layers, decoded, strict=True))
        tree = merge_layers(layers, watch)
    count = len(stored.layers)
    progress.step("layers", f"{count} layer{'s' * (count != 1)}, {megabytes(size)} as stored")
    return tree


def _is_compressed(layer: LayerBlob) -> bool:
    return codec_of(bytes(layer.stored()[:6])) is not Codec.PLAIN
