"""ghcr.io under its own name: TLS, bearer tokens, no referrers API, before the sandbox's registry.

As documented of the real one: anybody may pull, only a job's token may push; bearer tokens are given for
basic authentication with any name.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

HOST = "ghcr.io"
_HOP = {"transfer-encoding", "connection", "host", "content-length"}


class Front:
    """Listens on 127.0.0.1:443 and hands on to ``backend``; ``may_push`` is asked about a job's token."""

    def __init__(self, certificate: Path, backend: str, may_push: Callable[[str], bool]) -> None:
        front = self

        class Handler(_Handler):
            server_front = front

        self.backend = backend
        self.may_push = may_push
        self.tokens: dict[str, bool] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 443), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def grant(self, authorization: str, scope: str) -> str | None:
        """A token for ``scope``; ``None`` where pushing was asked for without a token that may."""
        push = "push" in scope
        if push:
            kind, _, text = authorization.partition(" ")
            given = base64.b64decode(text).decode().partition(":")[2] if kind.lower() == "basic" else ""
            if not self.may_push(given):
                return None
        token = secrets.token_hex(16)
        self.tokens[token] = push
        return token


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for the client's acknowledgement
    server_front: Front

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        if url.path == "/token":
            scope = " ".join(parse_qs(url.query).get("scope", []))
            token = self.server_front.grant(self.headers.get("Authorization", ""), scope)
            self._answer(403 if token is None else 200, json.dumps({"token": token}).encode(), {})
            return
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        may_push = self.server_front.tokens.get(token)
        writes = self.command not in ("GET", "HEAD")
        if may_push is None or (writes and not may_push):
            name = (
                url.path.removeprefix("/v2/").partition("/manifests/")[0].partition("/blobs/")[0].strip("/")
            )
            scope = f"repository:{name}:{'pull,push' if writes else 'pull'}"
            challenge = f'Bearer realm="https://{HOST}/token",service="{HOST}",scope="{scope}"'
            errors = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
            self._answer(401, json.dumps(errors).encode(), {"WWW-Authenticate": challenge})
            return
        self._hand_on(body)

    def _hand_on(self, body: bytes) -> None:
        connection = http.client.HTTPConnection(self.server_front.backend)
        kept = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in {*_HOP, "authorization"}
        }
        connection.request(self.command, self.path, body, kept)
        reply = connection.getresponse()
        data = reply.read()
        self._answer(
            reply.status,
            data,
            {k: v for k, v in reply.getheaders() if k.lower() not in {*_HOP, "server", "date"}},
        )
        connection.close()

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler._serve)
