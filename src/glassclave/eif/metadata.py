"""The metadata section: JSON that no PCR covers (EIF specification, "Metadata section").

Keys stand in the order of AWS's builder, free-form objects are sorted by key, text is compact UTF-8: the same
values give the same bytes.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from glassclave.eif.format import METADATA_MAX_SIZE
from glassclave.errors import LimitError, ParseError, UsageError
from glassclave.fields import Fields, parse_json

CUSTOM_MAX_SIZE = 4096
"""Bytes of user-supplied metadata that nitro-cli accepts."""

GENUINE_KEYS = (
    "BuildTime",
    "BuildTool",
    "BuildToolVersion",
    "OperatingSystem",
    "KernelVersion",
    "DockerInfo",
)
"""Keys of ``Metadata`` in what ``describe-eif`` prints; custom keys stand at the same level there."""

_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Content of the metadata section. ``docker_info`` and ``custom`` are any JSON value, ``None`` is null.

    ``build_time`` is RFC 3339 text.
    """

    image_name: str
    image_version: str
    build_time: str
    build_tool: str
    build_tool_version: str
    operating_system: str
    kernel_version: str
    docker_info: object = None
    custom: object = None


def shadowing_keys(custom: object) -> tuple[str, ...]:
    """Custom keys that have the name of a genuine one, sorted (``describe-eif`` prints both)."""
    return tuple(sorted(key for key in GENUINE_KEYS if isinstance(custom, dict) and key in custom))


def build_metadata(metadata: Metadata) -> bytes:
    """Section data. Raises `UsageError` ``eif.metadata.*`` for what JSON cannot hold and for too much."""
    document = {
        "ImageName": metadata.image_name,
        "ImageVersion": metadata.image_version,
        "BuildMetadata": {
            "BuildTime": metadata.build_time,
            "BuildTool": metadata.build_tool,
            "BuildToolVersion": metadata.build_tool_version,
            "OperatingSystem": metadata.operating_system,
            "KernelVersion": metadata.kernel_version,
        },
        "DockerInfo": _sorted(metadata.docker_info),
        "CustomMetadata": _sorted(metadata.custom),
    }
    data = _compact(document)
    if metadata.custom is not None and len(_compact(_sorted(metadata.custom))) > CUSTOM_MAX_SIZE:
        raise UsageError(
            "eif.metadata.custom-size", f"custom metadata is larger than {CUSTOM_MAX_SIZE} bytes"
        )
    if len(data) > METADATA_MAX_SIZE:
        raise UsageError(
            "eif.metadata.size", f"has {len(data)} bytes, at most {METADATA_MAX_SIZE} are written"
        )
    return data


def parse_custom_metadata(data: bytes, *, source: str) -> object:
    """Value of a user's metadata file: any JSON of at most 4,096 bytes."""
    if len(data) > CUSTOM_MAX_SIZE:
        raise LimitError(
            "eif.metadata.custom-size",
            f"has {len(data)} bytes, at most {CUSTOM_MAX_SIZE} are taken",
            source=source,
        )
    value = parse_json(data, source=source, limit=CUSTOM_MAX_SIZE, max_depth=_MAX_DEPTH)
    _refuse_unprintable(value, source)
    return value


def parse_metadata(data: bytes, *, source: str = "metadata section") -> Metadata | None:
    """Content of a metadata section; ``None`` for the document ``null``, which AWS reads as no metadata.

    Raises `ParseError` or `LimitError` (``json.*``, ``field.*``) for everything that
    ``describe-eif`` refuses. Unknown keys are ignored, as there.
    """
    value = parse_json(data, source=source, limit=METADATA_MAX_SIZE, max_depth=_MAX_DEPTH)
    if value is None:
        return None
    _refuse_unprintable(value, source)
    fields = Fields.of(value, source=source)
    build = fields.child("BuildMetadata")
    return Metadata(
        image_name=fields.text("ImageName"),
        image_version=fields.text("ImageVersion"),
        build_time=build.text("BuildTime"),
        build_tool=build.text("BuildTool"),
        build_tool_version=build.text("BuildToolVersion"),
        operating_system=build.text("OperatingSystem"),
        kernel_version=build.text("KernelVersion"),
        docker_info=fields.value("DockerInfo"),
        custom=fields.value("CustomMetadata"),
    )


def _compact(value: object) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    except (ValueError, TypeError) as error:  # NaN, a lone surrogate, something that is not JSON
        raise UsageError("eif.metadata.value", "a metadata value cannot be written as JSON") from error


def _sorted(value: object) -> object:
    """``value`` with the keys of its objects in code-point order, which is UTF-8's byte order."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def _refuse_unprintable(value: object, source: str) -> None:
    """Refuse what Python reads and no JSON can carry on: 1e999 and lone surrogates (RFC 8259 §6, §8.2)."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ParseError("json.number", "a number is too large", source=source)
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ParseError("json.encoding", "a string holds a lone surrogate", source=source) from error
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_unprintable(key, source)
            _refuse_unprintable(item, source)
    elif isinstance(value, list):
        for item in value:
            _refuse_unprintable(item, source)
