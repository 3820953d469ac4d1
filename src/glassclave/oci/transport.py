"""What flows ask of a registry. `glassclave.clients.registry.Registry` answers both protocols.

All errors of a registry are `UnavailableError` ``registry.*``; none of them means "there is nothing".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Protocol

from glassclave.oci.manifest import MAX_MANIFEST, Descriptor
from glassclave.oci.reference import Reference
from glassclave.progress import Progress
from glassclave.streams import ByteSource


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as fetched: the digest computed here, the media type as the registry named it."""

    digest: str
    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class PushResult:
    """A manifest pushed. ``oci_subject``: the ``OCI-Subject`` header, a promise to list it as a referrer."""

    digest: str
    oci_subject: str | None


class RegistryReader(Protocol):
    """Reads artifacts. Except in `resolve`, ``ref`` only names the repository."""

    def resolve(self, ref: Reference) -> StoredManifest:
        """The manifest that ``ref`` names: one request; with a digest, checked against it."""
        ...

    def find_tag(self, ref: Reference, tag: str) -> StoredManifest | None:
        """The manifest behind ``tag``, or ``None`` where the registry knows no such tag (404)."""
        ...

    def fetch_manifest(self, ref: Reference, digest: str, *, limit: int = MAX_MANIFEST) -> StoredManifest:
        """The manifest ``digest``, of at most ``limit`` bytes."""
        ...

    def fetch_small_blob(self, ref: Reference, descriptor: Descriptor, limit: int) -> bytes:
        """A blob of exactly the descriptor's size (at most ``limit`` bytes) and digest."""
        ...

    def fetch_blob_head(self, ref: Reference, descriptor: Descriptor, length: int) -> bytes:
        """The first ``length`` bytes of a blob (fewer where it has fewer), no more of it fetched.

        Nothing holds them to the digest: they may say what to fetch, and nothing else.
        """
        ...

    def fetch_blob_to(
        self, ref: Reference, descriptor: Descriptor, file: BinaryIO, progress: Progress
    ) -> None:
        """A blob written to ``file`` (seekable, from its position on), its size and digest checked."""
        ...

    def list_referrers(self, ref: Reference, digest: str) -> tuple[Descriptor, ...] | None:
        """What the referrers API lists for ``digest``; ``None`` where the registry has no such API."""
        ...


class RegistryWriter(RegistryReader, Protocol):
    """Reads and writes artifacts."""

    def push_blob(
        self, ref: Reference, source: ByteSource | bytes, digest: str, progress: Progress | None = None
    ) -> bool:
        """Upload a blob unless the registry has it; whether anything was uploaded."""
        ...

    def push_manifest(self, ref: Reference, target: str, data: bytes, media_type: str) -> PushResult:
        """Put a manifest under ``target``, a tag or its own digest."""
        ...

    def tag_exists(self, ref: Reference, tag: str) -> bool:
        """Whether the registry knows ``tag``."""
        ...
