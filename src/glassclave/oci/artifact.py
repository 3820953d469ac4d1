"""Our artifact: one EIF and the documents about it in one OCI image manifest (``docs/spec/artifact.md``).

The same files always give the same manifest digest: nothing in it comes from a clock. The ``PCR0``…
annotations are hints for people who look at the manifest; nothing is ever judged by them alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from glassclave.digests import sha256_digest
from glassclave.errors import RefusedError
from glassclave.escaping import escape_untrusted
from glassclave.oci.manifest import (
    EMPTY_BLOB,
    EMPTY_DESCRIPTOR,
    MANIFEST_MEDIA_TYPE,
    Descriptor,
    Manifest,
    build_manifest,
)

ARTIFACT_TYPE = "application/vnd.glassclave.nitro.eif.v1"
EIF_MEDIA_TYPE = "application/vnd.glassclave.nitro.eif.layer.v1"
MEASUREMENTS_MEDIA_TYPE = "application/vnd.glassclave.nitro.measurements.v1+json"
DESCRIBE_MEDIA_TYPE = "application/vnd.glassclave.nitro.describe.v1+json"
TITLE = "org.opencontainers.image.title"

HINTED_PCRS = (0, 1, 2)
_HINT = re.compile(r"PCR([0-2])\Z")


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A blob that is too large to hold: its OCI digest and its bytes in all."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Titles:
    """File names under which a plain ``oras pull`` lays the layers down."""

    eif: str = "app.eif"
    measurements: str = "app.measurements.json"
    describe: str = "app.describe.json"


@dataclass(frozen=True, slots=True)
class PlannedBlob:
    """A blob to push before the manifest; ``data`` is ``None`` for the EIF, which is streamed from a file."""

    descriptor: Descriptor
    data: bytes | None


@dataclass(frozen=True, slots=True)
class ArtifactPlan:
    """The manifest's bytes and digest, and what it refers to."""

    manifest: bytes
    digest: str
    blobs: tuple[PlannedBlob, ...]

    @property
    def descriptor(self) -> Descriptor:
        """The manifest as a subject of referrers."""
        return Descriptor(MANIFEST_MEDIA_TYPE, self.digest, len(self.manifest))


@dataclass(frozen=True, slots=True)
class ArtifactLayers:
    """The layers of an artifact. ``pcr_hints`` holds the annotations as they stand, unchecked.

    ``kind``: whose it is where it is not ours, and ``others`` is then all that stands beside the image.
    """

    eif: Descriptor
    measurements: Descriptor | None
    describe: Descriptor | None
    pcr_hints: Mapping[int, str]
    kind: str | None = None
    others: tuple[Descriptor, ...] = ()


def plan_artifact(
    eif: BlobInfo,
    measurements: bytes,
    describe: bytes,
    pcrs: Mapping[int, bytes],
    titles: Titles | None = None,
) -> ArtifactPlan:
    """The manifest and blobs of an EIF with its measurement and description documents.

    ``pcrs`` maps PCR numbers to values; those of `HINTED_PCRS` become annotations.
    """
    names = titles or Titles()
    layers = (
        PlannedBlob(Descriptor(EIF_MEDIA_TYPE, eif.digest, eif.size, {TITLE: names.eif}), None),
        _small(MEASUREMENTS_MEDIA_TYPE, measurements, names.measurements),
        _small(DESCRIBE_MEDIA_TYPE, describe, names.describe),
    )
    manifest = build_manifest(
        artifact_type=ARTIFACT_TYPE,
        config=EMPTY_DESCRIPTOR,
        layers=[layer.descriptor for layer in layers],
        annotations={f"PCR{number}": pcrs[number].hex() for number in HINTED_PCRS if number in pcrs},
    )
    config = PlannedBlob(EMPTY_DESCRIPTOR, EMPTY_BLOB)
    return ArtifactPlan(manifest, sha256_digest(manifest), (*layers, config))


def read_artifact(manifest: Manifest) -> ArtifactLayers:
    """The layers of an artifact of ours.

    Raises `RefusedError` ``artifact.type`` (another kind of artifact), ``artifact.eif.none``,
    ``artifact.eif.several``, ``artifact.layer.several`` (which of two would be judged is open).
    """
    if not is_ours(manifest):
        raise RefusedError(
            "artifact.type",
            f"is no enclave image of ours but {kind_of(manifest)}",
            field="artifactType",
            hint=f"artifacts of `glassclave publish` have artifactType {ARTIFACT_TYPE}",
        )
    images = [layer for layer in manifest.layers if layer.media_type == EIF_MEDIA_TYPE]
    if len(images) != 1:
        code = "artifact.eif.several" if images else "artifact.eif.none"
        raise RefusedError(code, f"has {len(images)} EIF layers, exactly one is needed", field="layers")
    return ArtifactLayers(
        eif=images[0],
        measurements=_at_most_one(manifest, MEASUREMENTS_MEDIA_TYPE),
        describe=_at_most_one(manifest, DESCRIBE_MEDIA_TYPE),
        pcr_hints=pcr_hints(manifest),
    )


def is_ours(manifest: Manifest) -> bool:
    """Whether it says of itself that `glassclave publish` wrote it."""
    return manifest.artifact_type == ARTIFACT_TYPE


def kind_of(manifest: Manifest) -> str:
    """What it says it is, escaped."""
    return escape_untrusted(manifest.artifact_type or manifest.config.media_type, limit=120)


def pcr_hints(manifest: Manifest) -> dict[int, str]:
    """PCR number to text of the annotations, as they stand."""
    return {
        int(found[1]): text
        for name, text in manifest.annotations.items()
        if (found := _HINT.match(name)) is not None
    }


def _small(media_type: str, data: bytes, title: str) -> PlannedBlob:
    return PlannedBlob(Descriptor(media_type, sha256_digest(data), len(data), {TITLE: title}), data)


def _at_most_one(manifest: Manifest, media_type: str) -> Descriptor | None:
    found = [layer for layer in manifest.layers if layer.media_type == media_type]
    if len(found) > 1:
        raise RefusedError(
            "artifact.layer.several", f"has {len(found)} layers of type {media_type}", field="layers"
        )
    return found[0] if found else None
