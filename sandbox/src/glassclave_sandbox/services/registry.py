"""A small OCI registry: pull, push, tags, and the referrers API, which can be left out.

Distribution specification 1.1, "Endpoints" end-1 to end-13. Open to everyone, on loopback.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

from glassclave_sandbox.services.server import (
    Answer,
    Listener,
    RefusedRequestError,
    Request,
    json_answer,
)
from glassclave_sandbox.services.storage import (
    DIGEST,
    LARGEST_MANIFEST,
    BlobStore,
    OciError,
    Repository,
    StoredManifest,
    limited,
)

INDEX = "application/vnd.oci.image.index.v1+json"
_NAME = r"(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_ROUTES = {
    "manifest": re.compile(rf"/v2/{_NAME}/manifests/(?P<last>[^/]+)"),
    "uploads": re.compile(rf"/v2/{_NAME}/blobs/(?P<last>uploads)/?"),
    "blob": re.compile(rf"/v2/{_NAME}/blobs/(?P<last>[^/]+)"),
    "upload": re.compile(rf"/v2/{_NAME}/blobs/uploads/(?P<last>[^/]+)"),
    "tags": re.compile(rf"/v2/{_NAME}/tags/(?P<last>list)"),
    "referrers": re.compile(rf"/v2/{_NAME}/referrers/(?P<last>[^/]+)"),
}
_RANGE = re.compile(r"(?:bytes )?([0-9]{1,18})-([0-9]{1,18})(?:/.*)?")
_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}

Endpoint = Callable[[Request, str, str], Answer]


class Registry:
    """Repositories and everything that is asked about them."""

    def __init__(self, folder: Path, *, referrers_api: bool) -> None:
        self._folder = folder
        self._blobs = BlobStore(folder)
        self._repositories: dict[str, Repository] = {}
        self._requests: list[tuple[str, str, int]] = []
        self._lock = threading.Lock()
        self._endpoints: dict[str, dict[str, Endpoint]] = {
            "manifest": {
                "GET": self._get_manifest,
                "HEAD": self._get_manifest,
                "PUT": self._put_manifest,
                "DELETE": self._delete_manifest,
            },
            "uploads": {"POST": self._start_upload},
            "blob": {"GET": self._get_blob, "HEAD": self._get_blob, "DELETE": self._delete_blob},
            "upload": {
                "GET": self._upload_status,
                "PATCH": self._continue_upload,
                "PUT": self._finish_upload,
                "DELETE": self._cancel_upload,
            },
            "tags": {"GET": self._tags},
        }
        self._referrers_api = referrers_api
        if referrers_api:
            self._endpoints["referrers"] = {"GET": self._referrers}

    def listen(self, *, port: int = 0) -> Listener:
        """The registry on a port of its own; what it is asked goes to ``access.log`` in its folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return Listener(self.answer, port=port, refusal=oci_refusal, observer=self._observe)

    def requests(self) -> list[tuple[str, str, int]]:
        """(method, path with query, status) of every request so far, in the order they were answered."""
        with self._lock:
            return list(self._requests)

    def _observe(self, method: str, path: str, status: int) -> None:
        with self._lock, (self._folder / "access.log").open("a", encoding="utf-8") as log:
            self._requests.append((method, path, status))
            log.write(f'"{method} {path} HTTP/1.1" {status}\n')

    def answer(self, request: Request) -> Answer:
        """The answer to any request below ``/v2/``; one that is refused has one of the OCI codes."""
        if request.path in ("/v2", "/v2/"):
            return json_answer({}, headers=_VERSION)
        for kind, endpoints in self._endpoints.items():
            match = _ROUTES[kind].fullmatch(request.path)
            if match is None:
                continue
            if request.method not in endpoints:
                raise OciError(405, "UNSUPPORTED", f"{request.method} is not answered here")
            return endpoints[request.method](request, match["name"], match["last"])
        raise RefusedRequestError(404, "nothing answers here")

    def _repository(self, name: str, *, make: bool = False) -> Repository:
        with self._lock:
            if make:
                return self._repositories.setdefault(name, Repository())
            if name not in self._repositories:
                raise OciError(404, "NAME_UNKNOWN", f"no repository {name}")
            return self._repositories[name]

    def _get_manifest(self, _request: Request, name: str, reference: str) -> Answer:
        manifest = self._repository(name).manifest(reference)
        headers = {"Docker-Content-Digest": manifest.digest, "ETag": f'"{manifest.digest}"'}
        return Answer(200, manifest.data, manifest.media_type, headers)

    def _put_manifest(self, request: Request, name: str, reference: str) -> Answer:
        if not DIGEST.fullmatch(reference) and not _TAG.fullmatch(reference):
            raise OciError(400, "TAG_INVALID", "neither a tag nor a sha256 digest")
        data = limited(request.body, LARGEST_MANIFEST)
        manifest = StoredManifest(data, request.headers.get("Content-Type", ""))
        declared = manifest.parsed().get("mediaType", manifest.media_type)
        if not manifest.media_type or declared != manifest.media_type:
            raise OciError(400, "MANIFEST_INVALID", "its mediaType and its Content-Type differ")
        repository = self._repository(name, make=True)
        with self._lock:
            subject = repository.put(reference, manifest)
        headers = {
            "Location": f"/v2/{name}/manifests/{manifest.digest}",
            "Docker-Content-Digest": manifest.digest,
        }
        if subject is not None and self._referrers_api:
            headers["OCI-Subject"] = subject
        return Answer(201, headers=headers)

    def _delete_manifest(self, _request: Request, name: str, reference: str) -> Answer:
        repository = self._repository(name)
        with self._lock:
            repository.delete(reference)
        return Answer(202)

    def _get_blob(self, _request: Request, name: str, digest: str) -> Answer:
        self._require_blob(name, digest)
        headers = {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
        return Answer(200, self._blobs.path(digest), headers=headers)

    def _delete_blob(self, _request: Request, name: str, digest: str) -> Answer:
        self._require_blob(name, digest).blobs.discard(digest)
        return Answer(202)

    def _require_blob(self, name: str, digest: str) -> Repository:
        repository = self._repository(name)
        if digest not in repository.blobs:
            raise OciError(404, "BLOB_UNKNOWN", f"no blob {digest}")
        return repository

    def _start_upload(self, request: Request, name: str, _last: str) -> Answer:
        repository = self._repository(name, make=True)
        mount, source = request.query.get("mount", ""), request.query.get("from", "")
        if mount and source in self._repositories and mount in self._repositories[source].blobs:
            repository.blobs.add(mount)
            return _created(name, mount)
        upload = self._blobs.start(name)
        if "digest" in request.query:
            return self._finish_upload(request, name, upload)
        return _accepted(name, upload, 0)

    def _upload_status(self, _request: Request, name: str, upload: str) -> Answer:
        size = self._blobs.require(upload, name).stat().st_size
        return Answer(204, headers=_accepted(name, upload, size).headers)

    def _continue_upload(self, request: Request, name: str, upload: str) -> Answer:
        wanted = request.headers.get("Content-Range")
        size = self._blobs.require(upload, name).stat().st_size
        if wanted is not None:
            found = _RANGE.fullmatch(wanted)
            if found is None or int(found[1]) != size:
                raise OciError(416, "BLOB_UPLOAD_INVALID", f"the upload goes on at byte {size}")
        return _accepted(name, upload, self._blobs.append(upload, name, request.body))

    def _finish_upload(self, request: Request, name: str, upload: str) -> Answer:
        digest = request.query.get("digest", "")
        if not DIGEST.fullmatch(digest):
            raise OciError(400, "DIGEST_INVALID", "not a sha256 digest")
        self._blobs.append(upload, name, request.body)
        self._blobs.finish(upload, name, digest)
        self._repository(name, make=True).blobs.add(digest)
        return _created(name, digest)

    def _cancel_upload(self, _request: Request, name: str, upload: str) -> Answer:
        self._blobs.cancel(upload, name)
        return Answer(204)

    def _tags(self, request: Request, name: str, _last: str) -> Answer:
        after, count = request.query.get("last", ""), request.query.get("n", "")
        tags = sorted(tag for tag in self._repository(name).tags if tag > after)
        shown = tags[: int(count)] if count.isascii() and count.isdigit() else tags
        headers = {}
        if shown and len(shown) < len(tags):
            headers["Link"] = f'</v2/{name}/tags/list?n={count}&last={shown[-1]}>; rel="next"'
        return json_answer({"name": name, "tags": shown}, headers=headers)

    def _referrers(self, request: Request, name: str, digest: str) -> Answer:
        if not DIGEST.fullmatch(digest):
            raise OciError(400, "DIGEST_INVALID", "not a sha256 digest")
        with self._lock:
            found = self._repositories.get(name, Repository()).referrers(digest)
        headers = {}
        if wanted := request.query.get("artifactType"):
            found = [entry for entry in found if entry.get("artifactType") == wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": found}
        answer = json_answer(index, headers=headers)
        return Answer(200, answer.body, INDEX, headers)


def oci_refusal(refused: RefusedRequestError) -> dict[str, object]:
    """The body of a refusal (specification, "Error Codes")."""
    code = refused.code if isinstance(refused, OciError) else "UNSUPPORTED"
    return {"errors": [{"code": code, "message": refused.message, "detail": None}]}


def _accepted(name: str, upload: str, size: int) -> Answer:
    headers = {
        "Location": f"/v2/{name}/blobs/uploads/{upload}",
        "Docker-Upload-UUID": upload,
        "Range": f"0-{max(size - 1, 0)}",
    }
    return Answer(202, headers=headers)


def _created(name: str, digest: str) -> Answer:
    headers = {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}
    return Answer(201, headers=headers)
