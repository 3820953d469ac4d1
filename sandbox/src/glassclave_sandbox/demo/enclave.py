"""The enclave of the demo: booted in QEMU where that is there, else the software NSM speaks for it."""

from __future__ import annotations

import socket
from pathlib import Path

from glassclave.errors import GlassclaveError, UnavailableError
from glassclave_sandbox.demo.stage import SERVICES, Show, Stage
from glassclave_sandbox.machine import Machine

PORT = 8080
DOCUMENT = "document.bin"
ROOT = f"--attestation-root {SERVICES}/attestation-root.pem"
_UNSIGNED = "qemu.b64"
_PATH = "/enclave/attestation?nonce={}"
_BOOT_SECONDS = 60.0
_ANSWER_LIMIT = 65536


def answer_nonce(stage: Stage, show: Show, nonce: str, qemu: Path | None, why_not: str) -> bool:
    """Have `DOCUMENT` written for ``nonce``; whether a booted enclave answered.

    Of a QEMU that cannot do it the reason is shown, and the software NSM answers instead.
    """
    attest = ["glassclave-sandbox", "attest", "hello.eif", "--nonce", nonce, "--root", SERVICES]
    show.command(f"NONCE={nonce}")
    if qemu is not None:
        try:
            _ask_booted(stage, show, nonce, qemu)
        except (GlassclaveError, OSError) as error:
            why_not = str(error)
        else:
            attest += ["--resign", _UNSIGNED, "-o", DOCUMENT]
            _write_document(stage, show, attest, nonce)
            show.note("QEMU signs nothing: our notary compared PCRs and nonce, and signed for the demo")
            return True
    show.note(f"no enclave can be booted here: {why_not}")
    show.note("so a security module in software answers for it")
    _write_document(stage, show, [*attest, "-o", DOCUMENT], nonce)
    return False


def _write_document(stage: Stage, show: Show, words: list[str], nonce: str) -> None:
    show.command(" ".join("$NONCE" if word == nonce else word for word in words))
    stage.run(words).expect(0)


def _ask_booted(stage: Stage, show: Show, nonce: str, qemu: Path) -> None:
    show.command(f"glassclave-sandbox run hello.eif --forward hello.sock:{PORT} &")
    with Machine(stage.folder / "hello.eif", qemu=qemu) as machine:
        machine.wait_for_heartbeat(_BOOT_SECONDS)
        asked = f'"http://hello{_PATH.format("$NONCE")}"'
        show.command(f"curl --unix-socket hello.sock {asked} > {_UNSIGNED}")
        with machine.connect(PORT, timeout=_BOOT_SECONDS) as connection:
            body = _get(connection, _PATH.format(nonce))
    (stage.folder / _UNSIGNED).write_bytes(body)
    show.note(f"the kernel booted, init sent its heartbeat, hello answered {len(body):,} bytes over vsock")


def _get(connection: socket.socket, path: str) -> bytes:
    """The body of the answer. `UnavailableError` ``demo.enclave`` for any answer but 200."""
    connection.settimeout(_BOOT_SECONDS)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: hello\r\n\r\n".encode("ascii"))
    data = b""
    while len(data) < _ANSWER_LIMIT and (piece := connection.recv(_ANSWER_LIMIT)):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise UnavailableError("demo.enclave", f"answered {head[:80]!r}", source="hello")
    return body
