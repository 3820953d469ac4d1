"""SOURCE of `build`: a word that names what to build from, opened as a file tree with its configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from glassclave.errors import UnavailableError, UsageError
from glassclave.image import docker_archive, oci_layout
from glassclave.image.config import ImageConfig
from glassclave.image.decode import DEFAULT_LIMIT, map_layer
from glassclave.image.directory import read_directory
from glassclave.image.layers import Layer, merge_layers
from glassclave.image.oci_layout import Choice, StoredImage
from glassclave.image.store import DirectoryStore, open_archive
from glassclave.image.tree import FileTree
from glassclave.progress import Progress

DEFAULT_ARCHITECTURE = "amd64"
"""Of a directory, which does not say: never taken from the machine that builds (promise 1)."""

DECODERS = 2
"""Layers decoded at once."""

KINDS = ("oci", "oci-archive", "docker-archive", "dir")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """``architecture``: ``amd64`` or ``arm64``; ``preserve_owner`` concerns directories only.

    ``spool``: folder for decoded layers, ``None`` for the system's; ``layer_limit``: bytes that one layer may
    decode to.
    """

    architecture: str | None = None
    preserve_owner: bool = False
    spool: Path | None = None
    layer_limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True)
class OpenImage:
    """A source ready to be built; contents are read while it is open."""

    tree: FileTree
    config: ImageConfig


@contextmanager
def open_image(source: str, options: SourceOptions, progress: Progress) -> Iterator[OpenImage]:
    """Open ``source``. Raises `UsageError` ``build.source.kind`` and the errors of the image room."""
    kind, _, place = source.partition(":")
    if kind not in KINDS or not place:
        raise UsageError(
            "build.source.kind",
            "the source is not one that can be built from",
            field=source[:80],
            hint="use oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE or dir:ROOT",
        )
    if kind == "dir":
        tree = read_directory(Path(place), preserve_owner=options.preserve_owner)
        yield OpenImage(tree, ImageConfig(architecture=options.architecture or DEFAULT_ARCHITECTURE))
        return
    stored = _stored(kind, place, options)
    yield OpenImage(_merged(stored, options, progress), stored.config)


def _stored(kind: str, place: str, options: SourceOptions) -> StoredImage:
    path, tag = _split(place)
    choice = Choice(tag=tag, architecture=options.architecture)
    if kind == "docker-archive":
        stored = docker_archive.find_image(open_archive(path), choice)
    elif kind == "oci-archive":
        stored = oci_layout.find_image(open_archive(path), choice)
    else:
        if not (path / "index.json").is_file():
            raise UnavailableError(
                "image.layout.missing", "holds no index.json: no OCI image layout", source=str(path)
            )
        stored = oci_layout.find_image(DirectoryStore(path, str(path)), choice)
    if options.architecture not in (None, stored.config.architecture):
        raise UsageError(
            "image.choice.architecture",
            f"the image is for {stored.config.architecture}, not {options.architecture}",
            source=place,
        )
    return stored


def _split(place: str) -> tuple[Path, str | None]:
    """Path and tag. A path that exists as it stands has no tag, whatever colons are in it."""
    whole = Path(place)
    if whole.exists():
        return whole, None
    # docker-archive tags have a colon of their own (NAME:TAG): try the longest path that exists.
    for index in [match.start() for match in re.finditer(":", place)][::-1]:
        path, tag = Path(place[:index]), place[index + 1 :]
        if tag and path.exists():
            if ":" not in tag and "/" not in tag and _TAG.match(tag) is None:
                raise UsageError("image.choice.tag", "is not a tag", field=tag[:80])
            return path, tag
    return whole, None


def _merged(stored: StoredImage, options: SourceOptions, progress: Progress) -> FileTree:
    """Every layer decoded (two at a time), then all merged."""
    with ThreadPoolExecutor(DECODERS) as pool:
        futures = [
            pool.submit(map_layer, blob, directory=options.spool, limit=options.layer_limit)
            for blob in stored.layers
        ]
        try:
            mapped = [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
    size = sum(blob.size for blob in stored.layers)
    progress.step("layers", f"{len(stored.layers)} layers, {size / 1_000_000:,.1f} MB as stored")
    return merge_layers(Layer(data, blob.name) for data, blob in zip(mapped, stored.layers, strict=True))
