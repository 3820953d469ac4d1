"""OCI image manifests and indexes as records.

OCI image specification 1.1, ``manifest.md``, ``image-index.md``, ``descriptor.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from glassclave.digests import is_oci_digest
from glassclave.errors import ParseError
from glassclave.fields import Fields, parse_json

MANIFEST_MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY_MEDIA_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY_BLOB = b"{}"

MAX_MANIFEST = 4 << 20
"""Bytes of a manifest: what the distribution specification asks every registry to take."""

MAX_ENTRIES = 4096
"""Layers of a manifest, or entries of an index, that are read at all."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest says of a blob or of another manifest (image specification, ``descriptor.md``)."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest. ``media_type`` is the manifest's own (OCI's where it does not say)."""

    media_type: str
    artifact_type: str | None
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Index:
    """An image index, which is also the answer of the referrers API."""

    manifests: tuple[Descriptor, ...]


EMPTY_DESCRIPTOR = Descriptor(
    EMPTY_MEDIA_TYPE, "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", 2
)
"""The descriptor of ``{}`` (image specification, "Guidance for an Empty Descriptor")."""


def parse_manifest(data: bytes, *, source: str) -> Manifest:
    """The image manifest in ``data``; ``source`` names it in errors.

    Raises `ParseError` ``manifest.*``, ``field.*``, ``json.*``.
    """
    top = _document(data, source)
    # A document that is a manifest to one reader and an index to another hides something (CVE-2021-41190).
    if top.has("manifests") or not top.has("layers"):
        raise ParseError("manifest.kind", "is no image manifest", source=source)
    media_type = top.optional_text("mediaType", limit=255) or MANIFEST_MEDIA_TYPE
    if media_type not in (MANIFEST_MEDIA_TYPE, DOCKER_MANIFEST_MEDIA_TYPE):
        raise ParseError("manifest.kind", "its mediaType is not an image manifest's", source=source)
    return Manifest(
        media_type=media_type,
        artifact_type=top.optional_text("artifactType", limit=255),
        config=_descriptor(top.child("config")),
        layers=tuple(_descriptor(item) for item in top.objects("layers", limit=MAX_ENTRIES)),
        subject=_descriptor(top.child("subject")) if top.has("subject") else None,
        annotations=top.text_map("annotations"),
    )


def parse_index(data: bytes, *, source: str) -> Index:
    """The image index in ``data``; ``source`` names it in errors.

    Raises `ParseError` ``manifest.*``, ``field.*``, ``json.*``.
    """
    top = _document(data, source)
    if top.has("layers") or top.has("config") or "manifests" not in top.values:
        raise ParseError("manifest.kind", "is no image index", source=source)
    media_type = top.optional_text("mediaType", limit=255) or INDEX_MEDIA_TYPE
    if media_type not in (INDEX_MEDIA_TYPE, DOCKER_INDEX_MEDIA_TYPE):
        raise ParseError("manifest.kind", "its mediaType is not an image index's", source=source)
    if not top.has("manifests"):  # Go writes an empty list as null
        return Index(())
    return Index(tuple(_descriptor(item) for item in top.objects("manifests", limit=MAX_ENTRIES)))


def build_manifest(
    *,
    config: Descriptor,
    layers: Sequence[Descriptor],
    artifact_type: str | None = None,
    subject: Descriptor | None = None,
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    """A compact image manifest: the same records always give the same bytes."""
    document: dict[str, object] = {"schemaVersion": 2, "mediaType": MANIFEST_MEDIA_TYPE}
    if artifact_type is not None:
        document["artifactType"] = artifact_type
    document["config"] = written_descriptor(config)
    document["layers"] = [written_descriptor(layer) for layer in layers]
    if subject is not None:
        document["subject"] = written_descriptor(subject)
    if annotations:
        document["annotations"] = dict(sorted(annotations.items()))
    return compact_json(document)


def build_index(manifests: Sequence[Descriptor]) -> bytes:
    """A compact image index with the entries in the order given."""
    entries = [written_descriptor(entry) for entry in manifests]
    return compact_json({"schemaVersion": 2, "mediaType": INDEX_MEDIA_TYPE, "manifests": entries})


def compact_json(document: Mapping[str, object]) -> bytes:
    """UTF-8 JSON without white space, keys in the order of ``document``."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def _document(data: bytes, source: str) -> Fields:
    top = Fields.of(parse_json(data, source=source, limit=MAX_MANIFEST), source=source)
    if top.integer("schemaVersion") != 2:
        raise ParseError("manifest.version", "schemaVersion is not 2", field="schemaVersion", source=source)
    return top


def _descriptor(fields: Fields) -> Descriptor:
    digest = fields.text("digest", limit=255)
    if not is_oci_digest(digest):
        raise ParseError(
            "manifest.digest", "is no sha256 digest", field=fields.at("digest"), source=fields.source
        )
    return Descriptor(
        media_type=fields.text("mediaType", limit=255),
        digest=digest,
        size=fields.integer("size"),
        annotations=fields.text_map("annotations"),
        artifact_type=fields.optional_text("artifactType", limit=255),
    )


def written_descriptor(descriptor: Descriptor) -> dict[str, object]:
    """The JSON object of a descriptor, keys in the order of the specification, annotations sorted."""
    document: dict[str, object] = {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }
    if descriptor.annotations:
        document["annotations"] = dict(sorted(descriptor.annotations.items()))
    if descriptor.artifact_type is not None:
        document["artifactType"] = descriptor.artifact_type
    return document
