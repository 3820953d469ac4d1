"""An image's configuration document read into what a build needs (OCI image-spec, config.md)."""

from __future__ import annotations

import re

from glassclave.digests import is_oci_digest
from glassclave.errors import ParseError, UsageError
from glassclave.fields import Fields, parse_json
from glassclave.image.config import ARCHITECTURES, ImageConfig
from glassclave.image.store import MAX_DOCUMENT

MAX_LAYERS = 4096
NO_TIME = "0001-01-01T00:00:00Z"
"""What the engine shows where an image has no time."""

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_LISTS = ("Cmd", "Entrypoint", "Env")
_SETS = ("ExposedPorts", "Volumes")
_ALWAYS_FALSE = ("AttachStderr", "AttachStdin", "AttachStdout", "OpenStdin", "StdinOnce", "Tty")
_ALWAYS_EMPTY = ("Domainname", "Hostname", "Image")


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
    diff_ids = _diff_ids(top.child("rootfs"))
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


def _diff_ids(rootfs: Fields) -> tuple[str, ...]:
    if rootfs.text("type") != "layers":
        raise ParseError(
            "image.config.rootfs", "must be 'layers'", field=rootfs.at("type"), source=rootfs.source
        )
    diff_ids = rootfs.texts("diff_ids", limit=MAX_LAYERS)
    for index, diff_id in enumerate(diff_ids):
        if not is_oci_digest(diff_id):
            raise ParseError(
                "image.digest.form",
                "is not a sha256 digest",
                field=f"{rootfs.at('diff_ids')}[{index}]",
                source=rootfs.source,
            )
    return diff_ids


def _list(fields: Fields, name: str) -> tuple[str, ...]:
    return fields.texts(name, limit=65536) if fields.has(name) else ()


def _inspect(top: Fields, inner: Fields, diff_ids: tuple[str, ...]) -> dict[str, object]:
    """``docker inspect``'s shape, made of nothing but what every form of the same image says.

    Left out is what depends on an engine or on the form the image came in: ``Id`` (tools rewrite the
    configuration when they convert an image), ``GraphDriver``, ``Size``, tags, and what only Docker's form of
    the configuration has (``Healthcheck``, ``OnBuild``, ``Shell``). It would give the same image other bytes.
    """
    config: dict[str, object] = dict.fromkeys(_ALWAYS_FALSE, False)
    config |= dict.fromkeys(_ALWAYS_EMPTY, "")
    for name in ("User", "WorkingDir"):
        config[name] = inner.optional_text(name) or ""
    if stop_signal := inner.optional_text("StopSignal"):
        config["StopSignal"] = stop_signal
    for name in _LISTS:
        if values := _list(inner, name):
            config[name] = list(values)
    for name in _SETS:
        if inner.has(name) and (keys := inner.child(name).values):
            config[name] = {key: {} for key in keys}
    if labels := inner.text_map("Labels"):
        config["Labels"] = labels
    return {
        "Architecture": top.text("architecture"),
        "Author": top.optional_text("author") or "",
        "Comment": "",
        "Config": config,
        "Created": _time(top),
        "DockerVersion": "",
        "Os": top.text("os"),
        "Parent": "",
        "RepoDigests": [],
        "RepoTags": [],
        "RootFS": {"Type": "layers", "Layers": list(diff_ids)},
    }


def _time(top: Fields) -> str:
    """``created`` as Go writes it: a fraction without zeros at its end, which tools drop on conversion."""
    text = top.optional_text("created", limit=64)
    if not text:
        return NO_TIME
    match = _TIME.fullmatch(text)
    if match is None:
        raise ParseError(
            "image.config.created", "is no RFC 3339 time", field=top.at("created"), source=top.source
        )
    seconds, fraction, zone = match.groups()
    fraction = (fraction or "").rstrip("0")
    # Go writes an offset of nothing as Z.
    return seconds + ("." + fraction if fraction else "") + ("Z" if zone == "+00:00" else zone)
