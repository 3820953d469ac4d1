"""A build log as a referrer of an image: its record and its text (``docs/spec/build-log-v1.md``)."""

from __future__ import annotations

from dataclasses import dataclass

from glassclave.digests import sha256_digest
from glassclave.oci.artifact import TITLE
from glassclave.oci.manifest import EMPTY_DESCRIPTOR, Descriptor, Manifest, build_manifest

LOG_ARTIFACT_TYPE = "application/vnd.glassclave.build-log.v1"
RECORD_MEDIA_TYPE = "application/vnd.glassclave.build-log.record.v1+json"
TEXT_MEDIA_TYPE = "application/vnd.glassclave.build-log.text.v1+gzip"
RECORD_NAME = "build-log.json"
TEXT_NAME = "build-log.txt.gz"


@dataclass(frozen=True, slots=True)
class LogPlan:
    """The referrer's manifest, and what it refers to beside the empty configuration."""

    manifest: bytes
    digest: str
    record: Descriptor
    text: Descriptor


@dataclass(frozen=True, slots=True)
class LogLayers:
    """What a referrer offers as record and text of a log: descriptors, nothing of them checked."""

    record: Descriptor
    text: Descriptor


def plan_log(record: bytes, text: bytes, subject: Descriptor) -> LogPlan:
    """The referrer of ``subject`` for a record and its compressed text."""
    layers = (
        Descriptor(RECORD_MEDIA_TYPE, sha256_digest(record), len(record), {TITLE: RECORD_NAME}),
        Descriptor(TEXT_MEDIA_TYPE, sha256_digest(text), len(text), {TITLE: TEXT_NAME}),
    )
    manifest = build_manifest(
        artifact_type=LOG_ARTIFACT_TYPE, config=EMPTY_DESCRIPTOR, layers=list(layers), subject=subject
    )
    return LogPlan(manifest, sha256_digest(manifest), *layers)


def read_log(manifest: Manifest) -> LogLayers | None:
    """The layers of a log of ours, ``None`` for any other manifest. By the layers, for some writers put a
    wrong ``artifactType`` into a list."""
    kinds = [layer.media_type for layer in manifest.layers]
    if kinds != [RECORD_MEDIA_TYPE, TEXT_MEDIA_TYPE]:
        return None
    return LogLayers(*manifest.layers)
