"""A proxy on loopback that lets everything pass, but for the requests that a plan spoils."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"})


@dataclass(frozen=True)
class Asked:
    """One request: ``number`` from 1 in the order of arrival; ``path`` with its query."""

    number: int
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Given:
    """An answer. ``announced``: a Content-Length that is not the body's."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    announced: int | None = None


@dataclass(frozen=True)
class Login:
    """The registry wants a bearer token, which its token service gives for a name and a password."""

    name: str
    password: str
    bearer: str

    @property
    def basic(self) -> str:
        """As docker's configuration and the header hold it."""
        return base64.b64encode(f"{self.name}:{self.password}".encode()).decode()


@dataclass
class Exchange:
    """One request with the ways to answer it."""

    asked: Asked
    proxy: Proxy
    handler: BaseHTTPRequestHandler

    def forward(self) -> Given:
        """What the real service answers."""
        return self.proxy.genuine(self.asked)

    def send(self, data: bytes) -> None:
        """Raw bytes; a client that has gone is nobody's fault."""
        with suppress(OSError):
            self.handler.wfile.write(data)
            self.handler.wfile.flush()

    def answer(self, given: Given) -> None:
        """A whole answer."""
        lines = [f"HTTP/1.1 {given.status} Answer"]
        lines += [f"{name}: {value}" for name, value in given.headers.items()]
        has_length = any(name.lower() == "content-length" for name in given.headers)
        if not has_length and given.status != 204:
            size = len(given.body) if given.announced is None else given.announced
            lines.append(f"Content-Length: {size}")
        head = "\r\n".join(lines) + "\r\n\r\n"
        self.send(head.encode("latin-1") + (b"" if self.asked.method == "HEAD" else given.body))
        if given.announced is not None:
            self.hang_up()

    def is_gone(self) -> bool:
        """Whether the client has hung up."""
        with suppress(BlockingIOError):
            try:
                return not self.handler.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except ConnectionError:
                return True
        return False

    def hang_up(self) -> None:
        """No more on this connection."""
        self.handler.close_connection = True


Fault = Callable[[Exchange], None]
Plan = Callable[[Asked], Fault | None]


def nothing(_asked: Asked) -> Fault | None:
    """No fault at all."""
    return None


@dataclass
class Proxy:
    """``upstream``: address of the real service, or of one by path; ``elsewhere``: where redirects lead."""

    upstream: Callable[[Asked], str]
    plan: Plan = nothing
    login: Login | None = None
    elsewhere: str = ""
    address: str = ""
    requests: list[Asked] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    """Bodies of answers of a token service: secrets."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Asked:
        with self._lock:
            asked = Asked(len(self.requests) + 1, method, path, headers, body)
            self.requests.append(asked)
            return asked

    def genuine(self, asked: Asked) -> Given:
        if self.login is not None:
            refused = self._guard(self.login, asked)
            if refused is not None:
                return refused
        connection = http.client.HTTPConnection(self.upstream(asked), timeout=60)
        try:
            headers = {name: value for name, value in asked.headers.items() if name not in _HOP}
            connection.request(asked.method, asked.path, body=asked.body or None, headers=headers)
            reply = connection.getresponse()
            body = reply.read()
            kept = {name: value for name, value in reply.getheaders() if name.lower() not in _HOP}
            if asked.method == "HEAD" and reply.getheader("content-length"):
                kept["Content-Length"] = reply.getheader("content-length") or ""
            if asked.path.startswith("/token"):
                self.answers.append(body)
            return Given(reply.status, kept, body)
        finally:
            connection.close()

    def challenge(self) -> Mapping[str, str]:
        """The header of a 401: a bearer token is wanted."""
        realm = f'Bearer realm="http://{self.address}/v2/token",service="faults"'
        return {"WWW-Authenticate": realm, "Content-Type": "application/json"}

    def _guard(self, login: Login, asked: Asked) -> Given | None:
        shown = asked.headers.get("authorization", "")
        if asked.path.startswith("/v2/token"):
            if shown != f"Basic {login.basic}":
                return Given(401, {"Content-Type": "application/json"}, b"{}")
            body = json.dumps({"token": login.bearer}).encode()
            return Given(200, {"Content-Type": "application/json"}, body)
        if shown != f"Bearer {login.bearer}":
            return Given(401, self.challenge(), b'{"errors": [{"code": "UNAUTHORIZED"}]}')
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    proxy: Proxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a child that was killed is what some tests want."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _handle(self) -> None:
        proxy = cast("_Server", self.server).proxy
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = proxy.count(self.command, self.path, headers, self._body(headers))
        exchange = Exchange(asked, proxy, self)
        fault = proxy.plan(asked)
        if fault is None:
            exchange.answer(exchange.forward())
        else:
            fault(exchange)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(headers.get("content-length", "0")))
        pieces = []
        while size := int(self.rfile.readline(64).split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline(8)
        self.rfile.readline(8)
        return b"".join(pieces)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _handle  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Nothing: the test looks at ``requests``."""


@contextmanager
def proxying(proxy: Proxy) -> Iterator[Proxy]:
    """``proxy`` listens while the block runs."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.proxy = proxy
        proxy.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
