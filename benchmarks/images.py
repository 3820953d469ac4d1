"""Container images to build from: Debian's where it is to be had, and files of Python packages, repeated.

The tars are always the same for one environment; how well they compress depends on the processor (ISA-L).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sysconfig
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pytest
from isal import isal_zlib

from tests.images.debian import real_images
from tests.images.layout import CONFIG, LAYER, LAYER_TIME, MANIFEST, REFERENCE_NAME

TAG = "t"
_GZIP_BITS = 31


@dataclass(frozen=True)
class Image:
    """An OCI layout with one image. ``entries`` and ``bytes`` are those of its layers' files."""

    layout: Path
    entries: int
    bytes: int
    layers: int

    @property
    def words(self) -> str:
        """``31,000 files, 312 MB, 6 layers``."""
        return f"{self.entries:,} files, {self.bytes / 1e6:,.0f} MB, {self.layers} layers"


File = tuple[Path, str, int]
"""Where it is, its path in the image, its bytes."""


def package_files(largest: int) -> list[File]:
    """Files of this environment's packages, which are pinned by hash, up to ``largest`` bytes."""
    place = Path(sysconfig.get_paths()["purelib"])
    found = []
    for folder, folders, names in os.walk(place):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size <= largest:
                found.append((path, str(path.relative_to(place)), status.st_size))
    return found


def repeated(files: Sequence[File], *, least_files: int, least_bytes: int) -> Iterator[File]:
    """The files again and again, each time in another folder, until there are as many and as large."""
    copy = count = size = 0
    while True:
        for path, name, length in files:
            if count >= least_files and size >= least_bytes:
                return
            count, size = count + 1, size + length
            yield path, f"srv/copy-{copy:03}/{name}", length
        copy += 1


def make_image(
    folder: Path,
    *,
    least_files: int,
    least_bytes: int,
    largest_file: int,
    layers: int,
    debian: bool = True,
) -> Image:
    """An image in the new ``folder``; ``debian`` puts a Debian with a service below, if it can be had."""
    writer = _Layout(folder)
    if debian:
        with suppress(pytest.skip.Exception):
            writer.take(real_images().layout, "service")
    files = list(
        repeated(
            package_files(largest_file),
            least_files=least_files - writer.entries,
            least_bytes=least_bytes - writer.bytes,
        )
    )
    each = -(-len(files) // layers)
    rest = iter(files)
    while part := list(islice(rest, each)):
        writer.add(part)
    return writer.finish()


class _Layout:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blobs = folder / "blobs" / "sha256"
        self._blobs.mkdir(parents=True)
        self._layers: list[dict[str, Any]] = []
        self._diff_ids: list[str] = []
        self.entries = self.bytes = 0

    def take(self, layout: Path, tag: str) -> None:
        """The layers of another image."""
        index = json.loads((layout / "index.json").read_bytes())
        (listed,) = (m for m in index["manifests"] if m["annotations"][REFERENCE_NAME] == tag)
        manifest = json.loads(_blob(layout, listed).read_bytes())
        config = json.loads(_blob(layout, manifest["config"]).read_bytes())
        for descriptor in manifest["layers"]:
            path = _blob(layout, descriptor)
            (self._blobs / path.name).write_bytes(path.read_bytes())
            with tarfile.open(path, "r:gz") as archive:
                for member in archive:
                    self.entries, self.bytes = self.entries + 1, self.bytes + member.size
        self._layers += manifest["layers"]
        self._diff_ids += config["rootfs"]["diff_ids"]

    def add(self, files: Sequence[File]) -> None:
        """One more layer."""
        partial = self._folder / "layer"
        with partial.open("wb") as file:
            sink = _Gzip(file)
            with tarfile.open(fileobj=cast("Any", sink), mode="w|", format=tarfile.PAX_FORMAT) as archive:
                for path, name, size in files:
                    info = tarfile.TarInfo(name)
                    info.size, info.mtime, info.mode = size, LAYER_TIME, 0o644
                    with path.open("rb") as content:
                        archive.addfile(info, content)
            sink.close()
        name = sink.stored.hexdigest()
        self._layers.append(
            {"mediaType": LAYER + "+gzip", "digest": f"sha256:{name}", "size": partial.stat().st_size}
        )
        partial.rename(self._blobs / name)
        self._diff_ids.append(f"sha256:{sink.plain.hexdigest()}")
        self.entries += len(files)
        self.bytes += sum(size for _, _, size in files)

    def finish(self) -> Image:
        """Configuration, manifest and index."""
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/true"], "Env": ["PATH=/usr/bin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": self._diff_ids},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._put(config, CONFIG),
            "layers": self._layers,
        }
        listed = self._put(manifest, MANIFEST) | {"annotations": {REFERENCE_NAME: TAG}}
        index = {"schemaVersion": 2, "manifests": [listed]}
        (self._folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="ascii")
        (self._folder / "index.json").write_text(json.dumps(index), encoding="ascii")
        return Image(self._folder, self.entries, self.bytes, len(self._layers))

    def _put(self, value: object, media_type: str) -> dict[str, Any]:
        data = json.dumps(value).encode()
        name = hashlib.sha256(data).hexdigest()
        (self._blobs / name).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}


def _blob(layout: Path, descriptor: dict[str, Any]) -> Path:
    return layout / "blobs" / "sha256" / str(descriptor["digest"]).removeprefix("sha256:")


class _Gzip:
    """Compresses what is written, and takes both digests."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, _GZIP_BITS)
        self.plain, self.stored = hashlib.sha256(), hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.plain.update(data)
        self._keep(self._packer.compress(data))
        return len(data)

    def close(self) -> None:
        self._keep(self._packer.flush())

    def _keep(self, data: bytes) -> None:
        self.stored.update(data)
        self._file.write(data)


def layer_paths(image: Image) -> list[Path]:
    """The stored layers, lowest first."""
    index = json.loads((image.layout / "index.json").read_bytes())
    manifest = json.loads(_blob(image.layout, index["manifests"][0]).read_bytes())
    return [_blob(image.layout, descriptor) for descriptor in manifest["layers"]]
