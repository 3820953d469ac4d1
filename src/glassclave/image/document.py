"""An image's configuration document read into what a build needs (OCI image-spec, config.md)."""

from __future__ import annotations

from glassclave.errors import ParseError, UsageError
from glassclave.fields import Fields, parse_json
from glassclave.image.config import ARCHITECTURES, ImageConfig
from glassclave.image.store import MAX_DOCUMENT

_TEXTS = ("User", "WorkingDir", "StopSignal")
_LISTS = ("Cmd", "Entrypoint", "Env")
_SETS = ("ExposedPorts", "Volumes")


def parse_config(data: bytes, *, source: str) -> ImageConfig:
    """The configuration. Raises `ParseError` ``image.config.*``, ``json.*``, ``field.*``; `UsageError`
    ``image.config.platform`` for an image that is not for Linux on amd64 or arm64."""
    top = Fields.of(parse_json(data, source=source, limit=MAX_DOCUMENT), source=source)
    system, architecture = top.text("os"), top.text("architecture")
    if system != "linux" or architecture not in ARCHITECTURES:
        raise UsageError(
            "image.config.platform",
            f"the image is for {system[:20]}/{architecture[:20]}, an enclave runs linux/amd64 or linux/arm64",
            source=source,
        )
    inner = top.child("config") if top.has("config") else Fields({}, "config", source)
    rootfs = top.child("rootfs")
    if rootfs.text("type") != "layers":
        raise ParseError(
            "image.config.rootfs", "must be of type 'layers'", field="rootfs.type", source=source
        )
    diff_ids = rootfs.texts("diff_ids", limit=4096)
    return ImageConfig(
        architecture=architecture,
        entrypoint=_list(inner, "Entrypoint"),
        cmd=_list(inner, "Cmd"),
        env=_list(inner, "Env"),
        working_directory=inner.optional_text("WorkingDir") or "",
        user=inner.optional_text("User") or "",
        document=_inspect(top, inner, diff_ids),
        layer_digests=diff_ids,
    )


def _list(fields: Fields, name: str) -> tuple[str, ...]:
    return fields.texts(name, limit=65536) if fields.has(name) else ()


def _inspect(top: Fields, inner: Fields, diff_ids: tuple[str, ...]) -> dict[str, object]:
    """``docker inspect``'s shape, made of nothing but what every form of the same image says.

    Left out: what depends on an engine or on the form the image came in (``Id``, ``GraphDriver``, ``Size``,
    tags); those would give the same image other bytes.
    """
    config: dict[str, object] = {}
    for name in _TEXTS:
        text = inner.optional_text(name)
        if text:
            config[name] = text
    for name in _LISTS:
        if inner.has(name):
            config[name] = list(inner.texts(name, limit=65536))
    for name in _SETS:
        if inner.has(name):
            config[name] = {key: {} for key in inner.child(name).values}
    labels = inner.text_map("Labels")
    if labels:
        config["Labels"] = labels
    return {
        "Architecture": top.text("architecture"),
        "Author": top.optional_text("author") or "",
        "Comment": "",
        "Config": config,
        "Created": top.optional_text("created") or "",
        "DockerVersion": "",
        "Os": top.text("os"),
        "Parent": "",
        "RepoDigests": [],
        "RepoTags": [],
        "RootFS": {"Type": "layers", "Layers": list(diff_ids)},
    }
