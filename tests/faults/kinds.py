"""What a server may do wrong, one function for each: rows of the tables of faults."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace

from tests.faults.proxy import Asked, Exchange, Fault, Given, Plan

_HTML = {"Content-Type": "text/html; charset=utf-8"}
_JSON = {"Content-Type": "application/json"}
LONGEST_SILENCE = 300.0
"""Seconds, for whoever does not hang up."""


def down(exchange: Exchange) -> None:
    """The connection ends without an answer."""
    exchange.hang_up()


def lost(exchange: Exchange) -> None:
    """Done as asked, and nobody says so."""
    exchange.forward()
    exchange.hang_up()


def status(number: int, headers: Mapping[str, str] | None = None) -> Fault:
    """A refusal."""

    def fault(exchange: Exchange) -> None:
        body = json.dumps({"errors": [{"code": "DENIED", "message": "no"}], "message": "no"}).encode()
        exchange.answer(Given(number, {**_JSON, **(headers or {})}, body))

    return fault


def unauthorized(exchange: Exchange) -> None:
    """401, with a way to a token that does not help."""
    exchange.answer(Given(401, exchange.proxy.challenge(), b"{}"))


def done_and_500(exchange: Exchange) -> None:
    """Done as asked, and called a failure."""
    exchange.forward()
    exchange.answer(Given(500, _JSON, b"{}"))


def short(exchange: Exchange) -> None:
    """Half of the body."""
    given = exchange.forward()
    half = given.body[: len(given.body) // 2]
    exchange.answer(replace(given, body=half, announced=len(given.body)) if half else given)


def announces_more(exchange: Exchange) -> None:
    """A Content-Length that is too large."""
    given = exchange.forward()
    exchange.answer(replace(given, announced=len(given.body) + 7))


def announces_less(exchange: Exchange) -> None:
    """A Content-Length that is too small."""
    given = exchange.forward()
    exchange.answer(replace(given, announced=max(len(given.body) - 7, 0)))


def other_bytes(exchange: Exchange) -> None:
    """One bit of the body is another."""
    given = exchange.forward()
    body = given.body[:-1] + bytes([given.body[-1] ^ 1]) if given.body else b"x"
    exchange.answer(replace(given, body=body))


def html(exchange: Exchange) -> None:
    """A page, as of a portal that stands between."""
    exchange.answer(Given(200, _HTML, b"<!DOCTYPE html><title>Log in</title>"))


def empty(exchange: Exchange) -> None:
    """The status, and nothing else."""
    exchange.answer(Given(exchange.forward().status))


def bare(exchange: Exchange) -> None:
    """No header but the length."""
    given = exchange.forward()
    exchange.answer(replace(given, headers={}))


def elsewhere(exchange: Exchange) -> None:
    """To another host, which asks for a login too."""
    where = f"http://{exchange.proxy.elsewhere}{exchange.asked.path}"
    exchange.answer(Given(307, {"Location": where}))


def circle(exchange: Exchange) -> None:
    """To where one is."""
    exchange.answer(Given(307, {"Location": exchange.asked.path}))


def garbage(exchange: Exchange) -> None:
    """No HTTP."""
    exchange.send(b"\x16\x03\x01\x02\x00\x01\x00\xff\r\n\r\n")
    exchange.hang_up()


def many_headers(exchange: Exchange) -> None:
    """A head without end."""
    exchange.send(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(20000)))
    exchange.hang_up()


def long_header(exchange: Exchange) -> None:
    """One line of a megabyte."""
    exchange.send(b"HTTP/1.1 200 OK\r\nX: " + b"y" * (1 << 20) + b"\r\n\r\n")
    exchange.hang_up()


def echo(exchange: Exchange) -> None:
    """The request itself as the reason of a refusal, in every place that a client may show."""
    told = json.dumps(dict(exchange.asked.headers)) + exchange.asked.body[:4096].decode("latin-1")
    error = {"code": told, "message": told, "detail": told}
    body = json.dumps({"errors": [error], "message": told, "code": 400}).encode()
    exchange.answer(Given(400, _JSON, body))


def deep(exchange: Exchange) -> None:
    """JSON that is nested without end."""
    given = exchange.forward()
    exchange.answer(Given(given.status, given.headers, b"[" * 200_000))


def endless_pages(exchange: Exchange) -> None:
    """A list that always goes on."""
    given = exchange.forward()
    path = exchange.asked.path.partition("?")[0]
    link = f'<{path}?n={exchange.asked.number}>; rel="next"'
    exchange.answer(replace(given, headers={**given.headers, "Link": link}))


def silence(exchange: Exchange) -> None:
    """No answer, and the connection stays."""
    _until_gone(exchange, b"")


def dripping_head(exchange: Exchange) -> None:
    """A head that comes byte by byte."""
    exchange.send(b"HTTP/1.1 200 OK\r\nX: ")
    _until_gone(exchange, b"y")


def dripping_body(exchange: Exchange) -> None:
    """A body that comes byte by byte."""
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4096\r\n\r\n")
    _until_gone(exchange, b" ")


def _until_gone(exchange: Exchange, piece: bytes) -> None:
    until = time.monotonic() + LONGEST_SILENCE
    while time.monotonic() < until and not exchange.is_gone():
        time.sleep(0.2)
        exchange.send(piece)
    exchange.hang_up()


OUTAGES: Mapping[str, Fault] = {
    "down": down,
    "lost": lost,
    "429": status(429, {"Retry-After": "1"}),
    "500": status(500),
    "503": status(503, {"Retry-After": "0"}),
    "done-500": done_and_500,
    "short": short,
    "garbage": garbage,
}
"""What may be over the next time: once only, it must do no harm."""

WRONG: Mapping[str, Fault] = {
    "401": unauthorized,
    "403": status(403),
    "404": status(404),
    "429-hour": status(429, {"Retry-After": "3600"}),
    "announces-more": announces_more,
    "announces-less": announces_less,
    "other-bytes": other_bytes,
    "html": html,
    "empty": empty,
    "bare": bare,
    "elsewhere": elsewhere,
    "circle": circle,
    "many-headers": many_headers,
    "long-header": long_header,
    "echo": echo,
    "deep": deep,
    "endless-pages": endless_pages,
}

SLOW: Mapping[str, Fault] = {
    "silence": silence,
    "dripping-head": dripping_head,
    "dripping-body": dripping_body,
}

KINDS: Mapping[str, Fault] = {**OUTAGES, **WRONG, **SLOW}


def once(number: int, fault: Fault) -> Plan:
    """At the request with this number only."""
    return lambda asked: fault if asked.number == number else None


def since(number: int, fault: Fault) -> Plan:
    """At that request and all after it."""
    return lambda asked: fault if asked.number >= number else None


def at_path(prefix: str, fault: Fault, *, skip: int = 0) -> Plan:
    """At every request of a path, but for the first ``skip``."""
    seen: list[Asked] = []

    def plan(asked: Asked) -> Fault | None:
        if not asked.path.startswith(prefix):
            return None
        seen.append(asked)
        return fault if len(seen) > skip else None

    return plan
