"""One HTTP exchange, bounded: time-outs, sizes, redirects, and errors that hold no secret.

Nothing that a server sent, no header of ours and no query of an URL (which may be a signed one) ever stands
in an error; hosts and status codes do.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
import urllib3.connection
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

from glassclave.clients.retries import TransientError
from glassclave.errors import LimitError, UnavailableError
from glassclave.escaping import escape_untrusted
from glassclave.streams import CHUNK_SIZE

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 60.0
"""Longest time without a byte from the other side."""

HEAD_SECONDS = 60.0
"""Until the head of an answer must be there, however it trickles in."""

SLOWEST_BYTES_PER_SECOND = 32 << 10
"""A body that comes slower than this, after the first `GRACE_SECONDS`, is given up."""

GRACE_SECONDS = 120.0
MAX_REDIRECTS = 5
MAX_URL = 8192
_DRAINED_BYTES = 64 << 10
_DRAIN_SECONDS = 2.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRANSIENT = frozenset({408, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes, without what must not be shown."""

    scheme: str
    host: str
    port: int

    @property
    def shown(self) -> str:
        """``host:port``, escaped."""
        return escape_untrusted(f"{self.host}:{self.port}", limit=270)


def is_loopback(host: str) -> bool:
    """Whether ``host`` (a name, or an address without brackets) is this machine: plain http is safe."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def target_of(url: str) -> Target:
    """Where ``url`` points. `UnavailableError` ``registry.url`` unless https, or http on loopback."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UnavailableError("registry.url", "the registry names an URL that is none") from error
    if len(url) > MAX_URL or not url.isascii() or not host or parts.username is not None:
        raise UnavailableError("registry.url", "the registry names an URL that is not followed")
    if parts.scheme == "https":
        return Target("https", host, port or 443)
    if parts.scheme == "http" and is_loopback(host):
        return Target("http", host, port or 80)
    raise UnavailableError(
        "registry.url",
        f"an URL on {escape_untrusted(host, limit=255)} is not https; it is not followed",
        hint="plain http is used on loopback only",
    )


def joined(base: str, location: str) -> str:
    """Where ``location``, which the answer to ``base`` named, leads. `UnavailableError` ``registry.url``."""
    try:
        return urljoin(base, location)
    except ValueError as error:  # brackets without end, for one
        raise UnavailableError("registry.url", "the registry names an URL that is none") from error


def check_leap(here: Target, url: str) -> Target:
    """Where ``url``, which ``here`` named, points.

    `UnavailableError` ``registry.url`` where it leads from https to plain http: that is on loopback only, and
    what is far away has no business with the services of this machine.
    """
    there = target_of(url)
    if here.scheme == "https" and there.scheme != "https":
        raise UnavailableError(
            "registry.url", f"leads to plain http on {there.shown}; it is not followed", source=here.shown
        )
    return there


class Reply:
    """An answer whose body has not been read yet."""

    def __init__(self, raw: urllib3.BaseHTTPResponse, target: Target, url: str, clock: Callable[[], float]):
        self._raw = raw
        self._clock = clock
        self.target = target
        self.url = url
        self.status = raw.status

    def header(self, name: str) -> str:
        """A header's value, empty where there is none."""
        return str(self._raw.headers.get(name, ""))

    @property
    def content_type(self) -> str:
        """The media type without parameters, lower case."""
        return self.header("content-type").partition(";")[0].strip().lower()

    def chunks(self, limit: int) -> Iterator[bytes]:
        """The body as it comes, no more than ``limit`` bytes.

        Raises `LimitError` ``registry.size``, `TransientError` ``registry.unavailable`` when it ends early.
        """
        announced = self.header("content-length")
        if announced.isdecimal() and len(announced) < 20 and int(announced) > limit:
            raise self._too_large(limit)
        done = 0
        started = self._clock()
        while True:
            with outages_of(self.target):
                part = self._raw.read1(CHUNK_SIZE, decode_content=False)
            if not part:
                break
            done += len(part)
            if done > limit:
                raise self._too_large(limit)
            if self._clock() - started > GRACE_SECONDS + done / SLOWEST_BYTES_PER_SECOND:
                raise TransientError("registry.unavailable", "answers too slowly", source=self.target.shown)
            yield part
        if announced.isdecimal() and done != int(announced):
            raise TransientError("registry.unavailable", "ended its answer early", source=self.target.shown)

    def head(self, length: int) -> bytes:
        """The first ``length`` bytes of the body, fewer where it ends before; the rest is not read."""
        data = b""
        while len(data) < length:
            with outages_of(self.target):
                part = self._raw.read1(length - len(data), decode_content=False)
            if not part:
                break
            data += part
        return data

    def body(self, limit: int) -> bytes:
        """The whole body, of at most ``limit`` bytes."""
        return b"".join(self.chunks(limit))

    def close(self) -> None:
        """Give the connection back, or close it where too much of the answer is unread to be worth it."""
        remaining = self._raw.length_remaining
        if remaining is not None and 0 < remaining <= _DRAINED_BYTES:
            self._drain()
        self._raw.close()

    def _drain(self) -> None:
        """Read what nobody wants, but not from a server that lets it drip."""
        connection = getattr(self._raw, "connection", None)
        if connection is None or connection.sock is None:
            return
        connection.sock.settimeout(_DRAIN_SECONDS)  # the next request sets its own
        until = self._clock() + _DRAIN_SECONDS
        with suppress(HTTPError, OSError):
            while self._raw.read1(_DRAINED_BYTES, decode_content=False) and self._clock() < until:
                pass

    def _too_large(self, limit: int) -> LimitError:
        return LimitError("registry.size", f"answers with more than {limit} bytes", source=self.target.shown)


class _Patient:
    """A connection that hangs up on a server that does not come to an end of its answer's head.

    Time-outs of sockets are for each piece: a server that sends one now and then would never meet them.
    """

    sock: socket.socket | None
    _hung_up = False

    def getresponse(self) -> Any:
        """See `http.client.HTTPConnection`."""
        self._hung_up = False
        timer = threading.Timer(HEAD_SECONDS, self._hang_up)
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()  # type: ignore[misc]  # of the connection this is mixed into
        finally:
            timer.cancel()
        if self._hung_up:  # the standard library takes the end of the connection for the end of the head
            response.close()
            raise TimeoutError("the head of the answer did not end")
        return response

    def _hang_up(self) -> None:
        self._hung_up = True
        with suppress(OSError):
            if self.sock is not None:
                self.sock.shutdown(socket.SHUT_RDWR)


class _HTTPConnection(_Patient, urllib3.connection.HTTPConnection):
    pass


class _HTTPSConnection(_Patient, urllib3.connection.HTTPSConnection):
    pass


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


PATIENT_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class Web:
    """Sends requests over a pool of connections. No credentials of its own."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=SILENCE_SECONDS)
        self._pool = urllib3.PoolManager(num_pools=8, maxsize=2, timeout=timeout, retries=False)
        self._pool.pool_classes_by_scheme = PATIENT_POOLS
        self._clock = clock

    @contextmanager
    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        body: bytes | Iterable[bytes] | None = None,
        follow: bool = False,
    ) -> Iterator[Reply]:
        """The answer to one request; with ``follow``, to the end of at most `MAX_REDIRECTS` redirects.

        A redirect to another scheme, host or port is followed without ``Authorization``; none leads from
        https to plain http. Raises `TransientError` ``registry.unavailable``, `UnavailableError`
        ``registry.tls``, ``registry.redirect``, ``registry.url``.
        """
        sent = dict(headers)
        for _ in range(MAX_REDIRECTS + 1):
            reply = self._exchange(method, url, sent, body)
            try:
                location = reply.header("location")
                if not (follow and reply.status in REDIRECTS and location):
                    yield reply
                    return
                url = joined(reply.url, location)
                if check_leap(reply.target, url) != reply.target:
                    sent.pop("Authorization", None)
            finally:
                reply.close()
        raise UnavailableError("registry.redirect", "redirects without end", source=reply.target.shown)

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
    ) -> Reply:
        target = target_of(url)
        with outages_of(target):
            raw = self._pool.request(
                method,
                url,
                body=body,
                headers=dict(headers),
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        return Reply(raw, target, url, self._clock)


@contextmanager
def outages_of(target: Target) -> Iterator[None]:
    """Errors of the connection as ours, without their texts: those may hold whole URLs."""
    try:
        yield
    except SSLError as error:
        raise UnavailableError(
            "registry.tls",
            "cannot be trusted: its TLS certificate or protocol was refused",
            source=target.shown,
            hint="for a private authority, set SSL_CERT_FILE",
        ) from error
    except NewConnectionError as error:
        raise TransientError("registry.unavailable", "cannot be reached", source=target.shown) from error
    except HTTPTimeoutError as error:
        raise TransientError(
            "registry.unavailable", "does not answer in time", source=target.shown
        ) from error
    except (HTTPError, OSError) as error:
        raise TransientError("registry.unavailable", "broke the connection", source=target.shown) from error


def refuse_outage(reply: Reply) -> None:
    """Raise for answers that may be better next time: 408, 429 and the 5xx of trouble (501 is an answer)."""
    if reply.status == 429:
        limited = TransientError(
            "registry.rate-limited",
            "answers 429: too many requests",
            source=reply.target.shown,
            hint="wait, or log in: registries allow more to those they know",
        )
        limited.wait = _seconds(reply.header("retry-after"))
        raise limited
    if reply.status in _TRANSIENT:
        trouble = TransientError("registry.unavailable", f"answers {reply.status}", source=reply.target.shown)
        trouble.wait = _seconds(reply.header("retry-after"))
        raise trouble


def _seconds(text: str) -> float | None:
    # The form with a date would need a clock that agrees with the server's: the usual pause does as well.
    return float(text) if text.isdecimal() and len(text) < 10 else None
