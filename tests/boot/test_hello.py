"""The example, built from the shipped layout and booted: it answers a nonce, and refuses what it should."""

from __future__ import annotations

import base64
import secrets
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest

from glassclave.attestation.appraisal import appraise_document
from glassclave.attestation.expectation import Expected, Live
from glassclave.attestation.roots import parse_root
from glassclave.cli import main
from glassclave.eif.reader import measure_image, read_image
from glassclave.streams import open_source
from glassclave_sandbox.authority import make_root
from glassclave_sandbox.machine import Machine
from glassclave_sandbox.notary import notarize
from tests.boot.enclave import SECONDS

pytestmark = pytest.mark.boot

Ask = Callable[[bytes], tuple[bytes, bytes]]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hello") / "hello.eif"
    layout = resources.files("glassclave_sandbox.demo").joinpath("hello")
    with resources.as_file(layout) as folder, pytest.raises(SystemExit) as stopped:
        main(["build", f"oci:{folder}", "-o", str(path)])
    assert stopped.value.code == 0
    return path


@pytest.fixture(scope="module")
def machine(image: Path, qemu: Path) -> Iterator[Machine]:
    with Machine(image, qemu=qemu) as running:
        running.wait_for_heartbeat(SECONDS)
        yield running


@pytest.fixture
def ask(machine: Machine) -> Ask:
    """Sends bytes as a request; the status line and the body of the answer, both empty where none came."""

    def exchange(request: bytes) -> tuple[bytes, bytes]:
        with machine.connect(8080, timeout=SECONDS) as sock:
            sock.settimeout(SECONDS)
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            head, _, body = b"".join(iter(lambda: sock.recv(65536), b"")).partition(b"\r\n\r\n")
        return head.partition(b"\r\n")[0], body

    return exchange


def get(path: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: hello\r\n\r\n"


def test_it_greets(ask: Ask) -> None:
    status, body = ask(get(b"/"))
    assert status == b"HTTP/1.1 200 OK"
    assert body.startswith(b"Hello from an enclave.")


@pytest.mark.parametrize("size", [16, 20, 64])
def test_a_nonce_is_answered_with_the_images_document(ask: Ask, image: Path, size: int) -> None:
    nonce = secrets.token_bytes(size)
    status, body = ask(get(b"/enclave/attestation?nonce=" + nonce.hex().upper().encode()))
    assert status == b"HTTP/1.1 200 OK"
    with open_source(image) as source:
        measured = measure_image(read_image(source, name="hello")).measurements
    at = datetime.now(UTC)
    root = make_root(at=at)
    document = notarize(
        base64.b64decode(body, validate=True), root=root, expected=measured.by_index(), nonce=nonce, at=at
    )
    appraisal = appraise_document(
        document,
        expected=Expected.of(measured),
        mode=Live(nonce=nonce, at=at),
        roots=[parse_root(root.pem, source="sandbox")],
    )
    assert appraisal.passed, appraisal.checks


@pytest.mark.parametrize(
    "nonce",
    [b"", b"00" * 15, b"00" * 65, b"00" * 15 + b"0", b"00" * 16 + b"0", b"0g" * 16, b"00" * 16 + b"&x=1"],
)
def test_what_is_no_nonce_is_refused(ask: Ask, nonce: bytes) -> None:
    assert ask(get(b"/enclave/attestation?nonce=" + nonce))[0] == b"HTTP/1.1 400 Bad Request"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get(b"/other"), b"HTTP/1.1 404 Not Found"),
        (get(b"/enclave/attestation"), b"HTTP/1.1 404 Not Found"),
        (b"POST / HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 Method Not Allowed"),
        (b"GET / HTTP/1.1\r\n", b""),
        (b"G" * 5000, b""),
        (b"", b""),
    ],
)
def test_other_requests(ask: Ask, request_bytes: bytes, status: bytes) -> None:
    """What is no whole request is answered by hanging up; the next one is served."""
    assert ask(request_bytes)[0] == status
    assert ask(get(b"/"))[0] == b"HTTP/1.1 200 OK"
