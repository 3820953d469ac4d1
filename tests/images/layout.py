"""OCI image layouts written with nothing but Python: any layers, compressed in any of the three ways."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

Layer = Mapping[str, "Entry"]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
REFERENCE_NAME = "org.opencontainers.image.ref.name"
LAYER_TIME = 1_700_000_001
"""Of every file: not the constant that `build` writes, so that a test sees the difference."""


@dataclass(frozen=True)
class Entry:
    """One file of a layer; ``kind`` is a type flag of tar, ``link`` the target of a symlink or hard link."""

    data: bytes = b""
    mode: int = 0o644
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    uid: int = 0
    gid: int = 0
    device: tuple[int, int] = (0, 0)


def directory(mode: int = 0o755, *, uid: int = 0, gid: int = 0) -> Entry:
    return Entry(mode=mode, kind=tarfile.DIRTYPE, uid=uid, gid=gid)


def symlink(target: str) -> Entry:
    return Entry(mode=0o777, kind=tarfile.SYMTYPE, link=target)


def hard_link(target: str) -> Entry:
    """Another name of ``target``, a path of the image without the leading slash."""
    return Entry(kind=tarfile.LNKTYPE, link=target)


def whiteout(path: str) -> dict[str, Entry]:
    """Removes ``path`` of the layers below."""
    parent, _, name = path.rpartition("/")
    return {f"{parent}/.wh.{name}".lstrip("/"): Entry()}


def opaque(path: str) -> dict[str, Entry]:
    """Removes all that the layers below have in the directory ``path``."""
    return {f"{path}/.wh..wh..opq": Entry()}


def _tar(layer: Layer) -> bytes:
    """The layer in its own order: what a mapping lists first is first in the tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, entry in layer.items():
            info = tarfile.TarInfo(path)
            info.type, info.mode, info.linkname = entry.kind, entry.mode, entry.link
            info.uid, info.gid, info.mtime = entry.uid, entry.gid, LAYER_TIME
            info.devmajor, info.devminor = entry.device
            info.size = len(entry.data)
            archive.addfile(info, io.BytesIO(entry.data))
    return out.getvalue()


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=1, mtime=0)


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(data)


_WAYS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": (LAYER + "+gzip", _gzip),
    "zstd": (LAYER + "+zstd", _zstd),
    "plain": (LAYER, bytes),
}
COMPRESSIONS = tuple(_WAYS)


def _put(folder: Path, data: bytes, media_type: str) -> dict[str, Any]:
    """Store a blob; the descriptor that names it."""
    name = hashlib.sha256(data).hexdigest()
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    (blobs / name).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _finish(folder: Path, config: Mapping[str, Any], layers: Sequence[dict[str, Any]], tag: str) -> Path:
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _put(folder, _json(config), CONFIG),
        "layers": list(layers),
    }
    listed = _put(folder, _json(manifest), MANIFEST) | {"annotations": {REFERENCE_NAME: tag}}
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [listed]}))
    return folder


def write_layout(
    folder: Path,
    layers: Sequence[Layer],
    config: Mapping[str, Any],
    *,
    compression: str = "gzip",
    tag: str = "t",
) -> Path:
    """An OCI layout in the new ``folder`` with one image; ``config`` holds its Cmd, Env and so on."""
    media_type, compress = _WAYS[compression]
    tars = [_tar(layer) for layer in layers]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(t).hexdigest()}" for t in tars]},
    }
    return _finish(folder, document, [_put(folder, compress(tar), media_type) for tar in tars], tag)


def _read(folder: Path, descriptor: Mapping[str, Any]) -> bytes:
    algorithm, _, name = str(descriptor["digest"]).partition(":")
    return (folder / "blobs" / algorithm / name).read_bytes()


def _image_of(folder: Path, tag: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Manifest and configuration of the image ``tag``."""
    index = json.loads((folder / "index.json").read_bytes())
    (listed,) = (m for m in index["manifests"] if m.get("annotations", {}).get(REFERENCE_NAME) == tag)
    manifest = json.loads(_read(folder, listed))
    return manifest, json.loads(_read(folder, manifest["config"]))


def extend_layout(source: Path, source_tag: str, folder: Path, layer: Layer, *, tag: str = "t") -> Path:
    """The image with one more layer on top, in the new ``folder``; its blobs are shared, not copied."""
    manifest, config = _image_of(source, source_tag)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for descriptor in manifest["layers"]:
        name = descriptor["digest"].removeprefix("sha256:")
        try:
            os.link(source / "blobs" / "sha256" / name, blobs / name)
        except OSError:  # another file system: `.peers` and the folder of temporary files may lie apart
            (blobs / name).write_bytes(_read(source, descriptor))
    tar = _tar(layer)
    config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(tar).hexdigest()}")
    if "history" in config:
        config["history"].append({"created_by": "tests"})
    added = _put(folder, _gzip(tar), LAYER + "+gzip")
    return _finish(folder, config, [*manifest["layers"], added], tag)


def recompress(source: Path, folder: Path, compression: str, *, tag: str = "t") -> Path:
    """The same image with every layer (gzip in ``source``) stored in another way; the configuration stays."""
    manifest, config = _image_of(source, tag)
    media_type, compress = _WAYS[compression]
    layers = [
        _put(folder, compress(gzip.decompress(_read(source, descriptor))), media_type)
        for descriptor in manifest["layers"]
    ]
    return _finish(folder, config, layers, tag)
