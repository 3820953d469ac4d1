from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from glassclave.clients import http as http_module
from glassclave.clients.blob_transfer import upload_url
from glassclave.clients.http import (
    Web,
    check_leap,
    is_loopback,
    joined,
    target_of,
)
from glassclave.clients.registry_answers import _next_target
from glassclave.clients.retries import TransientError
from glassclave.errors import LimitError, UnavailableError
from tests.registry_server import Answer, serving
from tests.unit.clients.tls import certificate


def test_a_certificate_that_nobody_vouches_for_is_refused_unless_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, context = certificate(tmp_path)
    with serving(tls=context) as server:
        url = f"https://{server.address}/v2/"
        with pytest.raises(UnavailableError) as caught, Web().send("GET", url, {}):
            pytest.fail("the certificate was accepted")
        assert caught.value.code == "registry.tls"
        assert not isinstance(caught.value, TransientError)
        assert server.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        with Web().send("GET", url, {}) as reply:
            assert reply.status == 404


def test_a_server_with_tls_may_not_lead_to_one_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http is this machine's loopback: a registry far away has no business there."""
    pem, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with serving(tls=context) as secure, serving() as local:
        secure.override = lambda request: Answer(307, headers={"Location": f"http://{local.address}/v2/"})
        with (
            pytest.raises(UnavailableError) as caught,
            Web().send("GET", f"https://{secure.address}/", {}, follow=True),
        ):
            pytest.fail("the redirect was followed")
        assert caught.value.code == "registry.url"
        assert local.requests == []


@pytest.mark.parametrize("location", ["http://[::1", "//[", "https://[x"])
def test_a_place_that_is_no_url_is_a_typed_error(location: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        joined("http://127.0.0.1/v2/", location)
    assert caught.value.code == "registry.url"
    with pytest.raises(UnavailableError) as caught:
        upload_url("http://h/", location, "d")
    assert caught.value.code == "registry.url"


def test_a_head_that_trickles_in_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends a piece of its head now and then meets no time-out of a socket."""
    monkeypatch.setattr(http_module, "HEAD_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                for _ in range(100):
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    time.sleep(0.1)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        started = time.monotonic()
        with pytest.raises(TransientError), Web().send("GET", url, {}):
            pytest.fail("it answered")
        assert time.monotonic() - started < 5
        thread.join(15)


def test_an_answer_that_broke_off_in_its_head_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library takes the end of the connection for the end of the head: 200, and no body."""
    monkeypatch.setattr(http_module, "HEAD_SECONDS", 0.5)
    with (
        dripping(b"HTTP/1.1 200 OK\r\nX: ", b"y") as url,
        pytest.raises(TransientError),
        Web().send("HEAD", url, {}),
    ):
        pytest.fail("it answered")


def test_what_nobody_wants_to_read_is_not_waited_for() -> None:
    """To keep a connection, the rest of a refusal is read: not at one byte a second."""
    with dripping(b"HTTP/1.1 404 No\r\nContent-Length: 4096\r\n\r\n", b" ") as url:
        started = time.monotonic()
        with Web().send("GET", url, {}) as reply:
            assert reply.status == 404
        assert time.monotonic() - started < 8


@contextmanager
def dripping(head: bytes, piece: bytes) -> Iterator[str]:
    """An URL whose answer begins with ``head`` and goes on with ``piece`` ten times a second."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(head)
                for _ in range(300):
                    time.sleep(0.1)
                    connection.sendall(piece)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join(15)


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('</next>; rel="next"', "/next"),
        ("<a>; rel=prev, </b?x=1>;REL = Next", "/b?x=1"),
        ('<a>; title="x"; rel="next"', "a"),
        ('<a>; rel="previous"', None),
        ("", None),
        ("next", None),
        ("<>;" * 2000, None),
    ],
)
def test_the_next_page(header: str, target: str | None) -> None:
    assert _next_target(header) == target


def test_an_endless_list_of_links_is_refused() -> None:
    with pytest.raises(LimitError):
        _next_target("<>;" * 21000)


def test_leaps() -> None:
    secure, plain = target_of("https://ghcr.io/"), target_of("http://127.0.0.1:5000/")
    assert check_leap(secure, "https://blobs.example/x") == target_of("https://blobs.example/")
    assert check_leap(plain, "http://127.0.0.1:5001/x") == target_of("http://127.0.0.1:5001/")
    assert check_leap(plain, "https://blobs.example/x") == target_of("https://blobs.example/")
    with pytest.raises(UnavailableError):
        check_leap(secure, "http://127.0.0.1:5000/x")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.0.9", "::1"])
def test_this_machine_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["localhost.example", "127.0.0.1.example", "128.0.0.1", "0.0.0.0", "::", "10.0.0.1", "2130706433", ""],
)
def test_other_machines_are_not_this_one(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "url",
    ["http://ghcr.io/v2/", "https:///v2/", "https://ghcr.io:x/", "https://[ghcr.io/", "https://h/é", "//h/"],
)
def test_urls_that_are_not_asked(url: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        target_of(url)
    assert caught.value.code == "registry.url"


def test_default_ports_are_the_same_place() -> None:
    assert target_of("https://ghcr.io/a") == target_of("https://GHCR.io:443/b?c")
    assert target_of("https://ghcr.io/a") != target_of("https://ghcr.io:444/a")
    assert target_of("http://localhost/") != target_of("http://127.0.0.1/")
