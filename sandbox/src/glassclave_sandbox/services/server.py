"""HTTP on loopback: what a service gets to see of a request, and how its answer is sent."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from glassclave.errors import UnavailableError

LOOPBACK = "127.0.0.1"
LARGEST_DOCUMENT = 8 << 20
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_PIECE = 1 << 16
_LONGEST_LINE = 256


class RefusedRequestError(Exception):
    """An answer that is a refusal: an HTTP status and its reason."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Its body can be read once."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: Iterator[bytes]

    def document(self) -> bytes:
        """The whole body; `RefusedRequestError` (413) where it is larger than any document may be."""
        data = bytearray()
        for piece in self.body:
            data += piece
            if len(data) > LARGEST_DOCUMENT:
                raise RefusedRequestError(413, "the body is too large")
        return bytes(data)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body; a path is sent as the file's bytes."""

    status: int
    body: bytes | Path = b""
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """``value`` as JSON."""
    return Answer(status, json.dumps(value).encode(), "application/json", headers or {})


Service = Callable[[Request], Answer]
RefusalBody = Callable[[RefusedRequestError], object]
Observer = Callable[[str, str, int], None]


class Listener:
    """A service behind a socket on loopback, one thread per connection, until it is closed."""

    def __init__(
        self,
        service: Service,
        *,
        port: int = 0,
        refusal: RefusalBody,
        observer: Observer | None = None,
    ) -> None:
        exchange = _Exchange(service, refusal, observer)
        try:
            self._server = _Server((LOOPBACK, port), exchange.handler())
        except OSError as error:
            raise UnavailableError("sandbox.port", f"cannot listen on {LOOPBACK}:{port}: {error}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``."""
        return f"{LOOPBACK}:{self._server.server_port}"

    def close(self) -> None:
        """Stops listening and hangs up on whoever is still connected."""
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def finish_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Serves one connection and remembers it meanwhile, so that closing can end it."""
        connection = request if isinstance(request, socket.socket) else request[1]
        with self._lock:
            self._open.add(connection)
        try:
            super().finish_request(request, client_address)
        finally:
            with self._lock:
                self._open.discard(connection)

    def hang_up(self) -> None:
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # gone already


@dataclass(frozen=True, slots=True)
class _Exchange:
    service: Service
    refusal: RefusalBody
    observer: Observer | None

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """A handler class, as the standard library wants one, for this service."""
        members = {f"do_{method}": _Handler.serve for method in METHODS}
        return type("Handler", (_Handler,), {"exchange": self, **members})

    def answer(self, request: Request) -> Answer:
        try:
            return self.service(request)
        except RefusedRequestError as refused:
            return json_answer(self.refusal(refused), refused.status, refused.headers)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    exchange: _Exchange

    def log_message(self, *_arguments: object, **_names: object) -> None:
        """Says nothing: what was asked is the observer's."""

    def handle_one_request(self) -> None:
        """One request; a peer that hangs up in the middle of it is nobody's error."""
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def serve(self) -> None:
        url = urlsplit(self.path)
        body = self._body()
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        answer = self.exchange.answer(Request(self.command, url.path, query, self.headers, body))
        for _ in body:  # what the service did not read would be taken for the next request
            pass
        if self.exchange.observer is not None:
            self.exchange.observer(self.command, self.path, answer.status)
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        body = answer.body
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        length = body.stat().st_size if isinstance(body, Path) else len(body)
        if length:
            self.send_header("Content-Type", answer.content_type)
        if "Content-Length" not in answer.headers and answer.status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(body, bytes):
            self.wfile.write(body)
            return
        with body.open("rb") as file:
            while piece := file.read(_PIECE):
                self.wfile.write(piece)

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        return self._exactly(_number(self.headers.get("Content-Length") or "0", 10))

    def _exactly(self, length: int) -> Iterator[bytes]:
        while length:
            piece = self.rfile.read(min(length, _PIECE))
            if not piece:
                raise ConnectionError("the peer hung up within a body")
            length -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := self._chunk_size():
            yield from self._exactly(size)
            self.rfile.readline(_LONGEST_LINE)
        while self.rfile.readline(_LONGEST_LINE).strip():  # trailers
            pass

    def _chunk_size(self) -> int:
        size, _, _extension = self.rfile.readline(_LONGEST_LINE).partition(b";")
        return _number(size.strip().decode("latin-1"), 16)


def _number(text: str, base: int) -> int:
    if not text.isalnum() or not text.isascii():
        raise ConnectionError(f"a length that is none: {text!r}")
    try:
        return int(text, base)
    except ValueError as error:
        raise ConnectionError(f"a length that is none: {text!r}") from error
