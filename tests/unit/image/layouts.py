"""OCI layouts and docker archives for tests, written by hand so that each part can be made wrong."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import zstandard

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
REFERENCE_NAME = "org.opencontainers.image.ref.name"


def digest(data: bytes) -> str:
    return "sha256:" + sha256(data).hexdigest()


def packed(data: bytes, codec: str) -> bytes:
    """``data`` as ``gzip`` or ``zstd``, or as it is."""
    if codec == "gzip":
        return gzip.compress(data, mtime=0)
    if codec == "zstd":
        return zstandard.compress(data)
    return data


def config_document(layers: Sequence[bytes], **changes: Any) -> dict[str, Any]:
    """A configuration for uncompressed ``layers``; ``changes`` replace its parts."""
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/app"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
    } | changes


class Layout:
    """An OCI image layout in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
        self.listed: list[dict[str, Any]] = []

    def path(self, name: str) -> Path:
        return self.folder / "blobs" / "sha256" / name.removeprefix("sha256:")

    def blob(self, data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        """Store ``data``; its descriptor."""
        self.path(digest(data)).write_bytes(data)
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)} | more

    def document(self, value: Mapping[str, Any], media_type: str, **more: Any) -> dict[str, Any]:
        return self.blob(json.dumps(value).encode(), media_type, **more)

    def image(
        self,
        layers: Sequence[bytes],
        *,
        codec: str = "gzip",
        config: Mapping[str, Any] | None = None,
        config_type: str = OCI + "config.v1+json",
        layer_type: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Store an image; its manifest's descriptor (``more`` are fields of that)."""
        kind = layer_type or OCI + "layer.v1.tar" + ("" if codec == "plain" else f"+{codec}")
        media_type = OCI + "manifest.v1+json"
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": self.document(config or config_document(layers), config_type),
            "layers": [self.blob(packed(layer, codec), kind) for layer in layers],
        }
        return self.document(manifest, media_type, **more)

    def index(self, *listed: Mapping[str, Any], **more: Any) -> Path:
        """Write ``index.json``; the layout's folder."""
        value = {"schemaVersion": 2, "manifests": list(listed)} | more
        (self.folder / "index.json").write_text(json.dumps(value), encoding="utf-8")
        return self.folder


def tag(name: str) -> dict[str, Any]:
    return {"annotations": {REFERENCE_NAME: name}}


def platform(architecture: str, system: str = "linux") -> dict[str, Any]:
    return {"platform": {"architecture": architecture, "os": system}}


def folder_tar(folder: Path) -> bytes:
    """A folder as a tar, as `skopeo copy … oci-archive:` writes it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, arcname=str(path.relative_to(folder)), recursive=False)
    return file.getvalue()


def docker_tar(
    layers: Sequence[bytes],
    *,
    tags: Sequence[str] | None = ("hello:1",),
    config: Mapping[str, Any] | None = None,
    config_name: str | None = None,
    manifest: Any = None,
    extra: Mapping[str, bytes] | None = None,
) -> bytes:
    """What ``docker save`` writes, the classic shape."""
    document = json.dumps(config or config_document(layers)).encode()
    name = config_name or sha256(document).hexdigest() + ".json"
    names = [sha256(layer).hexdigest() + "/layer.tar" for layer in layers]
    entry = {"Config": name, "RepoTags": tags, "Layers": names}
    files = {name: document, **dict(zip(names, layers, strict=True))}
    files |= {"manifest.json": json.dumps([entry] if manifest is None else manifest).encode()}
    return plain_tar(files | dict(extra or {}))


def plain_tar(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return file.getvalue()
