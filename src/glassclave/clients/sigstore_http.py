"""sigstore-python's HTTP, bounded: by itself it waits for an answer for ever, and reads whatever comes."""

from __future__ import annotations

import time
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as RequestError
from urllib3.exceptions import HTTPError

from glassclave.clients import http

MAX_ANSWER = 4 << 20
"""A certificate chain, a log entry with its proof, a time-stamp: all of a few KiB."""
MAX_REDIRECTS = 5
_PIECE = 1 << 16


class _Bounded(HTTPAdapter):
    """Sends requests with our time-outs, and reads no more and no longer than we do elsewhere."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """See `HTTPAdapter`: connections that hang up on a head without end."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = http.PATIENT_POOLS

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        """See `HTTPAdapter`."""
        seconds = (http.CONNECT_SECONDS, http.SILENCE_SECONDS)
        reply = super().send(request, True, seconds, verify, cert, proxies)
        # What `Response.content` would keep, had it read the body itself.
        reply._content = _whole(reply.raw)
        reply._content_consumed = True
        return reply


def bound_sessions(context: Any) -> None:
    """Put `_Bounded` under every session of a ``SigningContext``, whose parts are private to the library."""
    sessions = [context._fulcio.session, context._rekor._session]
    sessions += [client._session for client in context._tsa_clients]
    for session in sessions:
        session.max_redirects = MAX_REDIRECTS
        # Nothing is unpacked: an answer cannot be larger than what came.
        session.headers["Accept-Encoding"] = "identity"
        for scheme in ("https://", "http://"):
            session.mount(scheme, _Bounded())


def _whole(raw: Any) -> bytes:
    """A body of at most `MAX_ANSWER` bytes that is there in time."""
    data = bytearray()
    started = time.monotonic()
    try:
        while piece := raw.read1(_PIECE, decode_content=False):
            data += piece
            if len(data) > MAX_ANSWER:
                raise RequestError(f"the answer has more than {MAX_ANSWER} bytes")
            if time.monotonic() - started > http.GRACE_SECONDS:
                raise RequestError("the answer comes too slowly")
    except (HTTPError, OSError) as error:
        raw.close()
        raise error if isinstance(error, RequestError) else RequestError("the answer broke off") from error
    return bytes(data)
