"""Blobs on their way: a download that can be taken up again, an upload that can be begun again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import quote, urlsplit, urlunsplit

from glassclave.clients.http import Reply, joined
from glassclave.clients.retries import TransientError
from glassclave.errors import UnavailableError
from glassclave.oci.manifest import Descriptor
from glassclave.progress import Progress
from glassclave.streams import ByteSource, read_chunks

DOWNLOAD_STEP = "download"
UPLOAD_STEP = "upload"


class BlobDownload:
    """A blob written to a file from its position on, hashed as it comes."""

    def __init__(self, descriptor: Descriptor, file: BinaryIO, progress: Progress) -> None:
        self._size = descriptor.size
        self._file = file
        self._progress = progress
        self._start = file.tell()
        self._done = 0
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """OCI digest of what has come."""
        return f"sha256:{self._hash.hexdigest()}"

    def headers(self) -> dict[str, str]:
        """Of the next request: the rest only, where something is here already."""
        return {"Range": f"bytes={self._done}-"} if self._done else {}

    def begin(self, reply: Reply) -> bool:
        """Make ready for the body of ``reply``; whether it is the blob or the rest of it."""
        if self._done and reply.status == 206:
            return reply.header("content-range").startswith(f"bytes {self._done}-")
        if reply.status != 200:
            return False
        self._done = 0
        self._hash = hashlib.sha256()
        return True

    def take(self, reply: Reply) -> None:
        """Write the body. `TransientError` ``registry.unavailable`` where it is short."""
        try:
            self._file.seek(self._start + self._done)
            for chunk in reply.chunks(self._size - self._done):
                self._file.write(chunk)
                self._hash.update(chunk)
                self._done += len(chunk)
                self._progress.advance(DOWNLOAD_STEP, self._done, self._size)
            self._file.flush()
        except OSError as error:
            raise UnavailableError("file.unwritable", f"cannot be written: {error.strerror}") from error
        if self._done != self._size:
            raise TransientError("registry.unavailable", "ended its answer early", source=reply.target.shown)


class BlobUpload:
    """The content of one blob as a body, hashed as it goes."""

    def __init__(self, content: ByteSource, progress: Progress) -> None:
        self._content = content
        self._progress = progress
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """OCI digest of what was sent last."""
        return f"sha256:{self._hash.hexdigest()}"

    def headers(self) -> dict[str, str]:
        """Of the request that carries the body."""
        return {"Content-Length": str(self._content.size), "Content-Type": "application/octet-stream"}

    def chunks(self) -> Iterator[bytes]:
        """The body, from its beginning."""
        self._hash = hashlib.sha256()
        done = 0
        for chunk in read_chunks(self._content, 0, self._content.size):
            self._hash.update(chunk)
            yield chunk
            done += len(chunk)
            self._progress.advance(UPLOAD_STEP, done, self._content.size)


def upload_url(begin: str, location: str, digest: str) -> str:
    """Where to PUT the blob: ``Location`` (often relative) joined to ``begin``, query kept, digest added.

    A registry behind a proxy that ends TLS names itself with ``http``: the same host is then asked as before.
    """
    asked, parts = urlsplit(begin), urlsplit(joined(begin, location))
    if parts.scheme == "http" and asked.scheme == "https" and parts.hostname == asked.hostname:
        parts = parts._replace(scheme=asked.scheme, netloc=asked.netloc)
    query = "&".join(part for part in (parts.query, f"digest={quote(digest, safe='')}") if part)
    return urlunsplit(parts._replace(query=query, fragment=""))
