"""What the registry holds: blobs as files named after their digest, manifests and tags in memory."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glassclave_sandbox.services.server import RefusedRequestError

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
LARGEST_MANIFEST = 4 << 20


class OciError(RefusedRequestError):
    """A refusal with one of the codes of the distribution specification ("Error Codes")."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, message)
        self.code = code


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as it was pushed."""

    data: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes."""
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"

    def parsed(self) -> dict[str, Any]:
        """The JSON object; `OciError` where it is none."""
        try:
            value = json.loads(self.data)
        except ValueError as error:
            raise OciError(400, "MANIFEST_INVALID", f"not JSON: {error}") from error
        if not isinstance(value, dict):
            raise OciError(400, "MANIFEST_INVALID", "not a JSON object")
        return value


@dataclass(slots=True)
class Repository:
    """One name: which blobs it holds, its manifests by digest, its tags."""

    blobs: set[str] = field(default_factory=set)
    manifests: dict[str, StoredManifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def manifest(self, reference: str) -> StoredManifest:
        """By tag or digest; `OciError` (404) where there is none."""
        found = self.manifests.get(self.tags.get(reference, reference))
        if found is None:
            raise OciError(404, "MANIFEST_UNKNOWN", f"no manifest {reference}")
        return found

    def put(self, reference: str, manifest: StoredManifest) -> str | None:
        """Keeps a manifest whose parts are here; the digest of its subject, where it names one."""
        parsed = manifest.parsed()
        if DIGEST.fullmatch(reference) and reference != manifest.digest:
            raise OciError(400, "DIGEST_INVALID", f"the manifest's digest is {manifest.digest}")
        try:
            blobs = [part["digest"] for part in [*parsed.get("layers", []), parsed.get("config")] if part]
            children = [part["digest"] for part in parsed.get("manifests", [])]
            subject = parsed["subject"]["digest"] if parsed.get("subject") else None
        except (KeyError, TypeError) as error:
            raise OciError(400, "MANIFEST_INVALID", "a descriptor without digest") from error
        missing = [*set(blobs).difference(self.blobs), *set(children).difference(self.manifests)]
        if missing:
            raise OciError(400, "MANIFEST_BLOB_UNKNOWN", f"not here: {', '.join(sorted(missing))}")
        self.manifests[manifest.digest] = manifest
        if not DIGEST.fullmatch(reference):
            self.tags[reference] = manifest.digest
        return subject

    def delete(self, reference: str) -> None:
        """A tag, or a manifest with its tags."""
        if self.tags.pop(reference, None) is not None:
            return
        self.manifest(reference)
        del self.manifests[reference]
        self.tags = {tag: digest for tag, digest in self.tags.items() if digest != reference}

    def referrers(self, digest: str) -> list[dict[str, Any]]:
        """Descriptors of the manifests whose subject is ``digest`` (specification, "Listing Referrers")."""
        found = []
        for manifest in self.manifests.values():
            parsed = manifest.parsed()
            if (parsed.get("subject") or {}).get("digest") != digest:
                continue
            descriptor = {
                "mediaType": manifest.media_type,
                "digest": manifest.digest,
                "size": len(manifest.data),
            }
            kind = parsed.get("artifactType") or (parsed.get("config") or {}).get("mediaType")
            descriptor |= {"artifactType": kind} if kind else {}
            descriptor |= {"annotations": parsed["annotations"]} if parsed.get("annotations") else {}
            found.append(descriptor)
        return found


class BlobStore:
    """Blobs of all repositories below one folder, and the uploads that are not blobs yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._uploads: dict[str, str] = {}

    def path(self, digest: str) -> Path:
        """Where a blob is, or would be."""
        return self._folder / "blobs" / digest.removeprefix("sha256:")

    def start(self, repository: str) -> str:
        """The name of a new upload."""
        name = str(uuid.uuid4())
        (self._folder / "blobs").mkdir(parents=True, exist_ok=True)
        (self._folder / "uploads").mkdir(exist_ok=True)
        self._upload(name).touch()
        with self._lock:
            self._uploads[name] = repository
        return name

    def require(self, name: str, repository: str) -> Path:
        """The file of an upload into ``repository``; `OciError` (404) where there is none."""
        with self._lock:
            if self._uploads.get(name) != repository:
                raise OciError(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
        return self._upload(name)

    def append(self, name: str, repository: str, pieces: Iterable[bytes]) -> int:
        """The upload's size with ``pieces`` at its end."""
        with self.require(name, repository).open("ab") as file:
            for piece in pieces:
                file.write(piece)
            return file.tell()

    def finish(self, name: str, repository: str, digest: str) -> None:
        """The upload becomes the blob ``digest``, or is refused (and gone) where it is another."""
        upload = self.require(name, repository)
        with upload.open("rb") as file:
            found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        self.cancel(name, repository, keep=digest == found)
        if digest != found:
            raise OciError(400, "DIGEST_INVALID", f"the blob's digest is {found}")
        os.replace(upload, self.path(digest))

    def cancel(self, name: str, repository: str, *, keep: bool = False) -> None:
        """Forgets an upload, and removes its file unless it is to be kept."""
        upload = self.require(name, repository)
        with self._lock:
            self._uploads.pop(name, None)
        if not keep:
            upload.unlink(missing_ok=True)

    def _upload(self, name: str) -> Path:
        return self._folder / "uploads" / name


def limited(pieces: Iterator[bytes], most: int) -> bytes:
    """All pieces as one; `OciError` (413) where they are more than ``most`` bytes."""
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > most:
            raise OciError(413, "SIZE_INVALID", f"more than {most} bytes")
    return bytes(data)
