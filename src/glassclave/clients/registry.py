"""A client of registries: OCI distribution specification 1.1 over urllib3.

Every digest is computed here from the bytes that came; ``Docker-Content-Digest`` is never looked at. Plain
http is used on loopback only. An answer that is neither the thing nor "there is no such thing" is an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, TypeVar
from urllib.parse import urlsplit

from glassclave.clients.blob_transfer import BlobDownload, BlobUpload, upload_url
from glassclave.clients.credentials import DOCKER_HUB, Credentials, NoCredentials
from glassclave.clients.http import Reply, Web, check_leap, is_loopback, refuse_outage, target_of
from glassclave.clients.registry_answers import (
    next_page,
    not_found,
    other_digest,
    refused,
    refused_manifest,
    refused_upload,
)
from glassclave.clients.registry_auth import Keyring
from glassclave.clients.retries import Failing, Waiting, retrying
from glassclave.digests import is_oci_digest, sha256_digest
from glassclave.errors import LimitError, UnavailableError, UsageError
from glassclave.oci.manifest import (
    DOCKER_INDEX_MEDIA_TYPE,
    DOCKER_MANIFEST_MEDIA_TYPE,
    INDEX_MEDIA_TYPE,
    MANIFEST_MEDIA_TYPE,
    MAX_MANIFEST,
    Descriptor,
    parse_index,
)
from glassclave.oci.reference import Reference
from glassclave.oci.referrers import MAX_REFERRERS, means_no_api
from glassclave.oci.transport import PushResult, StoredManifest
from glassclave.progress import Progress, Silent
from glassclave.streams import ByteSource, BytesSource

MAX_PAGES = 16
"""Pages of a list of referrers that are followed."""

_ACCEPTED = ", ".join(
    (MANIFEST_MEDIA_TYPE, INDEX_MEDIA_TYPE, DOCKER_MANIFEST_MEDIA_TYPE, DOCKER_INDEX_MEDIA_TYPE)
)

Result = TypeVar("Result")


class Registry:
    """Reads and writes any registry; answers `glassclave.oci.transport.RegistryWriter`.

    ``credentials`` are asked for only when a registry demands a login. ``sleep`` waits between tries.
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        web: Web | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._credentials = credentials or NoCredentials()
        self._web = web or Web()
        self._sleep = Waiting(sleep)
        self._failing = Failing()
        self._keyrings: dict[str, Keyring] = {}

    def resolve(self, ref: Reference) -> StoredManifest:
        """See `RegistryReader`. `UsageError` ``reference.open`` where ``ref`` has neither tag nor digest."""
        if ref.digest is not None:
            return self.fetch_manifest(ref, ref.digest)
        if ref.tag is None:
            raise UsageError(
                "reference.open", f"{ref} names no tag and no digest", hint="add :TAG or @sha256:DIGEST"
            )
        found = self.find_tag(ref, ref.tag)
        if found is None:
            raise not_found(f"there is no tag {ref.tag}", ref.name)
        return found

    def find_tag(self, ref: Reference, tag: str) -> StoredManifest | None:
        """See `RegistryReader`."""
        return self._manifest(ref, tag, MAX_MANIFEST)

    def tag_exists(self, ref: Reference, tag: str) -> bool:
        """See `RegistryWriter`."""
        return self.find_tag(ref, tag) is not None

    def fetch_manifest(self, ref: Reference, digest: str, *, limit: int = MAX_MANIFEST) -> StoredManifest:
        """See `RegistryReader`. `UnavailableError` ``registry.not-found``, ``registry.digest``."""
        found = self._manifest(ref, digest, limit)
        if found is None:
            raise not_found("there is no such manifest", str(ref.pinned(digest)))
        if found.digest != digest:
            raise other_digest(str(ref.pinned(digest)))
        return found

    def fetch_small_blob(self, ref: Reference, descriptor: Descriptor, limit: int) -> bytes:
        """See `RegistryReader`. `LimitError` ``registry.blob.size``; `UnavailableError` ``registry.*``."""
        source = f"{ref.name}@{descriptor.digest}"
        if descriptor.size > limit:
            raise LimitError(
                "registry.blob.size", f"has {descriptor.size} bytes, at most {limit} are read", source=source
            )

        def take(reply: Reply) -> bytes:
            if reply.status != 200:
                raise refused(reply, "the blob", source)
            try:
                return reply.body(descriptor.size)
            except LimitError as error:
                raise other_digest(source) from error

        data = self._ask(ref, "GET", f"blobs/{descriptor.digest}", take, follow=True)
        if len(data) != descriptor.size or sha256_digest(data) != descriptor.digest:
            raise other_digest(source)
        return data

    def fetch_blob_head(self, ref: Reference, descriptor: Descriptor, length: int) -> bytes:
        """See `RegistryReader`. A registry that knows no ranges is hung up on."""
        source = f"{ref.name}@{descriptor.digest}"

        def take(reply: Reply) -> bytes:
            whole_or_part = reply.status == 200 or (
                reply.status == 206 and reply.header("content-range").startswith("bytes 0-")
            )
            if not whole_or_part:
                raise refused(reply, "the blob", source)
            return reply.head(length)

        wanted = {"Range": f"bytes=0-{length - 1}"}
        return self._ask(ref, "GET", f"blobs/{descriptor.digest}", take, headers=wanted, follow=True)

    def fetch_blob_to(
        self, ref: Reference, descriptor: Descriptor, file: BinaryIO, progress: Progress
    ) -> None:
        """See `RegistryReader`. A broken transfer is taken up where it broke, where the registry can."""
        source = f"{ref.name}@{descriptor.digest}"
        download = BlobDownload(descriptor, file, progress)

        def take(reply: Reply) -> None:
            if not download.begin(reply):
                raise refused(reply, "the blob", source)
            download.take(reply)

        url = self._url(ref, f"blobs/{descriptor.digest}")
        retrying(
            lambda: self._once(ref, "GET", url, take, headers=download.headers(), follow=True), self._sleep
        )
        if download.digest != descriptor.digest:
            raise other_digest(source)

    def list_referrers(self, ref: Reference, digest: str) -> tuple[Descriptor, ...] | None:
        """See `RegistryReader`. Unfiltered; the pages of a long list are followed, up to a bound."""
        source = f"referrers of {ref.pinned(digest)}"
        entries: list[Descriptor] = []
        url = self._url(ref, f"referrers/{digest}")

        def take(reply: Reply) -> tuple[tuple[Descriptor, ...], str | None] | None:
            if means_no_api(reply.status, reply.content_type):
                return None
            if reply.status != 200:
                raise refused(reply, "the list of referrers", source)
            page = parse_index(reply.body(MAX_MANIFEST), source=source).manifests
            return page, next_page(reply)

        for number in range(MAX_PAGES):
            answer = self._ask_url(ref, "GET", url, take, headers={"Accept": INDEX_MEDIA_TYPE}, follow=True)
            if answer is None:
                if number == 0:
                    return None
                raise UnavailableError("registry.referrers.page", "a page is missing", source=source)
            entries += answer[0]
            if answer[1] is None:
                return tuple(entries)
            url = answer[1]
            if len(entries) > MAX_REFERRERS:
                break
        raise LimitError("registry.referrers.count", "too many referrers to look into", source=source)

    def push_blob(
        self, ref: Reference, source: ByteSource | bytes, digest: str, progress: Progress | None = None
    ) -> bool:
        """See `RegistryWriter`. `UnavailableError` ``registry.digest`` where the source is not ``digest``."""
        if self._has_blob(ref, digest):
            return False
        content = BytesSource(source) if isinstance(source, bytes) else source
        retrying(lambda: self._upload(ref, content, digest, progress or Silent()), self._sleep)
        return True

    def push_manifest(self, ref: Reference, target: str, data: bytes, media_type: str) -> PushResult:
        """See `RegistryWriter`. `UnavailableError` ``registry.*`` where the registry does not take it."""
        digest = sha256_digest(data)
        if ":" in target and target != digest:
            raise UsageError("registry.digest", f"a manifest with digest {digest} cannot be put as {target}")
        separator = "@" if ":" in target else ":"
        source = f"{ref.name}{separator}{target}"

        def take(reply: Reply) -> PushResult:
            if reply.status not in (200, 201):
                raise refused_manifest(reply, source, by_tag=separator == ":")
            subject = reply.header("oci-subject")
            return PushResult(digest, subject if is_oci_digest(subject) else None)

        headers = {"Content-Type": media_type}
        return self._ask(
            ref, "PUT", f"manifests/{target}", take, headers=headers, body=lambda: data, push=True
        )

    def _manifest(self, ref: Reference, target: str, limit: int) -> StoredManifest | None:
        separator = "@" if ":" in target else ":"
        source = f"{ref.name}{separator}{target}"

        def take(reply: Reply) -> StoredManifest | None:
            if reply.status == 404:
                return None
            if reply.status != 200:
                raise refused(reply, "the manifest", source)
            data = reply.body(limit)
            return StoredManifest(sha256_digest(data), data, reply.content_type)

        return self._ask(ref, "GET", f"manifests/{target}", take, headers={"Accept": _ACCEPTED}, follow=True)

    def _has_blob(self, ref: Reference, digest: str) -> bool:
        url = self._url(ref, f"blobs/{digest}")

        def take(reply: Reply) -> bool:
            # Storage behind a redirect may refuse HEAD, and some registries have none; then the blob is sent
            # once more, at no harm.
            if reply.status not in (200, 404, 405, 501) and reply.target == target_of(url):
                raise refused(reply, "the question for a blob", f"{ref.name}@{digest}")
            return reply.status == 200

        return self._ask_url(ref, "HEAD", url, take, follow=True, push=True)

    def _upload(self, ref: Reference, content: ByteSource, digest: str, progress: Progress) -> None:
        source = f"{ref.name}@{digest}"
        begin = self._url(ref, "blobs/uploads/")

        def opened(reply: Reply) -> str:
            if reply.status != 202 or not reply.header("location"):
                raise refused_upload(reply, source)
            return upload_url(begin, reply.header("location"), digest)

        url = self._once(ref, "POST", begin, opened, headers={"Content-Length": "0"}, push=True)
        upload = BlobUpload(content, progress)

        def closed(reply: Reply) -> None:
            if reply.status not in (201, 204):
                raise refused(reply, "the blob", source)

        self._once(ref, "PUT", url, closed, headers=upload.headers(), body=upload.chunks, push=True)
        if upload.digest != digest:
            raise UnavailableError("registry.digest", "the file changed while it was pushed", source=source)

    def _url(self, ref: Reference, path: str) -> str:
        registry = "registry-1.docker.io" if ref.registry in DOCKER_HUB else ref.registry
        scheme = "http" if is_loopback(urlsplit(f"//{registry}").hostname or "") else "https"
        return f"{scheme}://{registry}/v2/{ref.repository}/{path}"

    def _ask(
        self,
        ref: Reference,
        method: str,
        path: str,
        take: Callable[[Reply], Result],
        *,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], bytes | Iterator[bytes]] | None = None,
        follow: bool = False,
        push: bool = False,
    ) -> Result:
        return self._ask_url(
            ref, method, self._url(ref, path), take, headers=headers, body=body, follow=follow, push=push
        )

    def _ask_url(
        self,
        ref: Reference,
        method: str,
        url: str,
        take: Callable[[Reply], Result],
        *,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], bytes | Iterator[bytes]] | None = None,
        follow: bool = False,
        push: bool = False,
    ) -> Result:
        def once() -> Result:
            return self._once(ref, method, url, take, headers=headers, body=body, follow=follow, push=push)

        return retrying(lambda: self._failing.bearing(once), self._sleep)

    def _once(
        self,
        ref: Reference,
        method: str,
        url: str,
        take: Callable[[Reply], Result],
        *,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], bytes | Iterator[bytes]] | None = None,
        follow: bool = False,
        push: bool = False,
    ) -> Result:
        """What ``take`` makes of the answer; a challenge of the registry itself is answered once."""
        scope = f"repository:{ref.repository}:{'pull,push' if push else 'pull'}"
        keyring = self._keyring(ref.registry)
        home = target_of(self._url(ref, ""))
        target = check_leap(home, url)
        ours = target == home  # an upload may go to another host: without our login
        for is_last in (False, True):
            sent = {**(headers or {}), **(keyring.header(scope) if ours else {})}
            content = None if body is None else body()
            with self._web.send(method, url, sent, body=content, follow=follow) as reply:
                refuse_outage(reply)
                if is_last or reply.status != 401 or not ours or reply.target != target:
                    return take(reply)
                keyring.answer(reply, scope)
        raise AssertionError("unreachable: the second answer is taken")

    def _keyring(self, registry: str) -> Keyring:
        return self._keyrings.setdefault(registry, Keyring(self._web, registry, self._credentials))
