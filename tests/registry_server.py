"""A registry in memory on loopback whose answers a test may replace: what real ones do wrong, on demand."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import parse_qs, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """``announced``: a Content-Length that is not the body's, or none (-1)."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    announced: int | None = None


@dataclass
class RegistryServer:
    """Holds blobs by digest, manifests by tag and digest. ``override`` answers first, where it answers."""

    address: str = ""
    referrers_api: bool = True
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    override: Callable[[Request], Answer | None] = field(default=lambda request: None)

    def add_blob(self, data: bytes) -> str:
        digest = digest_of(data)
        self.blobs[digest] = data
        return digest

    def add_manifest(self, data: bytes, media_type: str, *tags: str) -> str:
        digest = digest_of(data)
        for name in (digest, *tags):
            self.manifests[name] = (data, media_type)
        return digest

    def asked(self, method: str) -> list[str]:
        return [request.path for request in self.requests if request.method == method]

    def answer(self, request: Request) -> Answer:
        replaced = self.override(request)
        if replaced is not None:
            return replaced
        kind, _, name = request.path.removeprefix("/v2/o/r/").partition("/")
        if request.method == "POST":
            return Answer(202, headers={"Location": "/v2/o/r/blobs/uploads/1?_state=a%2Fb"})
        if kind == "referrers":
            return self._referrers(name)
        if request.method == "PUT":
            return self._put(request, kind, name)
        if kind == "manifests" and name in self.manifests:
            data, media_type = self.manifests[name]
            return Answer(200, data, {"Content-Type": media_type})
        if kind == "blobs" and name in self.blobs:
            return Answer(200, self.blobs[name])
        return failure(404, "MANIFEST_UNKNOWN")

    def _put(self, request: Request, kind: str, name: str) -> Answer:
        digest = digest_of(request.body)
        if kind == "manifests":
            self.manifests[name] = self.manifests[digest] = (request.body, request.headers["content-type"])
            return Answer(201)
        if request.query != {"_state": ["a/b"], "digest": [digest]}:
            return failure(400, "DIGEST_INVALID")
        self.blobs[digest] = request.body
        return Answer(201)

    def _referrers(self, digest: str) -> Answer:
        if not self.referrers_api:
            return Answer(404, b"404 page not found\n", {"Content-Type": "text/plain"})
        entries = [
            {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}
            for name, (data, media_type) in self.manifests.items()
            if name.startswith("sha256:") and json.loads(data).get("subject", {}).get("digest") == digest
        ]
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        return Answer(200, json.dumps(document).encode(), {"Content-Type": INDEX})


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def failure(status: int, code: str, **headers: str) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": "free text of the server"}]}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, body, {"Content-Type": "application/json", **named})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    registry: RegistryServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that refuses our certificate is what some tests want."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for the client's acknowledgement

    def _handle(self) -> None:
        registry = cast("_Server", self.server).registry
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        request = Request(self.command, parts.path, parse_qs(parts.query), headers, body)
        registry.requests.append(request)
        answer = registry.answer(request)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        announced = len(answer.body) if answer.announced is None else answer.announced
        if announced >= 0:
            self.send_header("Content-Length", str(announced))
        self.end_headers()
        if self.command != "HEAD":
            with suppress(BrokenPipeError, ConnectionResetError):  # a client may have read enough
                self.wfile.write(answer.body)
        self.close_connection = answer.announced is not None

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Nothing: the test looks at ``requests``."""


@contextmanager
def serving(*, referrers_api: bool = True, tls: ssl.SSLContext | None = None) -> Iterator[RegistryServer]:
    """A registry that listens on loopback while the block runs."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.registry = RegistryServer(f"127.0.0.1:{server.server_port}", referrers_api)
        if tls is not None:
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.registry
        finally:
            server.shutdown()
            thread.join()
