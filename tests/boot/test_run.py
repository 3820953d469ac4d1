"""An enclave in QEMU with our vsock device: heartbeat, both directions, large transfers, QEMU's document."""

import hashlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from glassclave.attestation.appraisal import appraise_document
from glassclave.attestation.document import parse_document
from glassclave.attestation.expectation import Expected, Live
from glassclave.attestation.roots import parse_root
from glassclave.cbor import decode
from glassclave.digests import pcr_of_digest
from glassclave.eif.reader import measure_image, read_image
from glassclave.errors import ParseError, UnavailableError
from glassclave.results import Measurements
from glassclave.streams import open_source
from glassclave_sandbox.authority import make_root
from glassclave_sandbox.machine import Machine, Options
from glassclave_sandbox.names import DEFAULT_INSTANCE
from glassclave_sandbox.notary import notarize
from glassclave_sandbox.qemu import Parent
from glassclave_sandbox.vsock.events import Event, EventKind
from tests.boot.conftest import WriteGuest
from tests.boot.enclave import SECONDS

pytestmark = pytest.mark.boot


def read_all(sock: socket.socket) -> bytes:
    """Everything until the end."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def write_all(sock: socket.socket, data: bytes) -> None:
    """All of it, then the end of the stream."""
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def measurements(image: Path) -> Measurements:
    """PCRs of an image file."""
    with open_source(image) as source:
        return measure_image(read_image(source, name=image.name)).measurements


def test_both_directions(qemu: Path, write_guest: WriteGuest) -> None:
    """Guest to host, host to guest, half-closes, refusals and 3 MB each way, in one boot."""
    image = write_guest(
        """
sock = connect(5000)
sock.sendall(b"hello from the enclave")
sock.shutdown(socket.SHUT_WR)
print("host said", read_all(sock).decode(), flush=True)
try:
    connect(5999)
except OSError as error:
    print("refused", error.errno, flush=True)
server = listen(7000)
sock, (cid, port) = server.accept()
print("parent", cid, flush=True)
data = read_all(sock)
sock.sendall(hashlib.sha256(data).digest() + data)
sock.close()
sock, _ = server.accept()
for _ in range(100):
    sock.sendall(sock.recv(1))
print("done", flush=True)
"""
    )
    events: list[Event] = []
    with Machine(image, qemu=qemu, on_event=events.append) as machine:
        with machine.listen(3, 5000) as listener:
            listener.settimeout(SECONDS)
            sock, _ = listener.accept()
            with sock:
                assert read_all(sock) == b"hello from the enclave"
                sock.sendall(b"good day")
        with machine.connect(7000, timeout=SECONDS) as sock:
            data = os.urandom(3_000_000)
            writer = threading.Thread(target=write_all, args=(sock, data))
            writer.start()
            answer = read_all(sock)
            writer.join()
            assert answer == hashlib.sha256(data).digest() + data
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(SECONDS)
            sock.connect(str(machine.directory / "connect"))
            sock.sendall(b"CONNECT 7000\n")
            assert re.fullmatch(rb"OK \d+\n", sock.recv(100))
            for byte in range(100):
                sock.sendall(bytes([byte]))
                assert sock.recv(1) == bytes([byte])
        assert machine.wait(SECONDS)
        lines = machine.console.splitlines()
    assert [
        line for line in ("host said good day", "refused 104", "parent 3", "done") if line not in lines
    ] == []
    kinds = [event.kind for event in events]
    assert kinds[:2] == [EventKind.GUEST_STARTED, EventKind.HEARTBEAT]
    assert EventKind.GUEST_FAULT not in kinds
    assert events[2].message == "nobody listens for the guest on 3:5999"
    assert not machine.directory.exists()


def test_last_bytes_outlive_the_enclave(qemu: Path, write_guest: WriteGuest) -> None:
    """The guest writes, closes and ends at once; the host reads much later and misses nothing."""
    image = write_guest(
        """
sock = connect(5000)
sock.sendall(bytes(range(256)) * 1600)
sock.close()
"""
    )
    received: list[bytes] = []
    with Machine(image, qemu=qemu) as machine:
        listener = machine.listen(3, 5000)
        listener.settimeout(SECONDS)
        sock, _ = listener.accept()
        assert machine.wait(SECONDS)
        reader = threading.Thread(target=lambda: received.append(read_all(sock)))
        reader.start()
    reader.join()
    sock.close()
    listener.close()
    assert received == [bytes(range(256)) * 1600]


def test_qemus_document(qemu: Path, write_guest: WriteGuest) -> None:
    """Its PCRs are the image's in all digits, our verifier refuses it, the notary's copy is accepted."""
    image = write_guest(
        """
sock, _ = listen(7000).accept()
nonce = sock.recv(32)
reply = attest(nonce, b"data of the user")
sock.sendall(reply)
sock.close()
"""
    )
    nonce = secrets.token_bytes(32)
    role = "arn:aws:iam::123456789012:role/Webserver"
    options = Options(parent=Parent(role=role))
    with Machine(image, qemu=qemu, options=options) as machine:
        machine.wait_for_heartbeat(SECONDS)
        with machine.connect(7000, timeout=SECONDS) as sock:
            sock.sendall(nonce)
            reply = decode(read_all(sock))
        at = datetime.now(UTC)
    assert isinstance(reply, dict)
    document = reply["Attestation"]["document"]

    with pytest.raises(ParseError) as caught:
        parse_document(document)
    assert caught.value.code == "cose.protected"

    measured = measurements(image)
    root = make_root(at=at)
    copy = notarize(document, root=root, expected=measured.by_index(), nonce=nonce, at=at)
    appraisal = appraise_document(
        copy,
        expected=Expected.of(
            measured, also={3: pcr_of_digest(role.encode()), 4: pcr_of_digest(DEFAULT_INSTANCE.encode())}
        ),
        mode=Live(nonce=nonce, at=at),
        roots=[parse_root(root.pem, source="sandbox")],
    )
    assert appraisal.passed, appraisal.checks
    assert appraisal.document is not None
    assert appraisal.document.user_data == b"data of the user"
    assert [finding.code for finding in appraisal.findings] == ["attestation.pcr8.zero"]


def test_command_line(qemu: Path, write_guest: WriteGuest, tmp_path: Path) -> None:
    """Console on stdout, escaped; the rest on stderr; a forwarded socket works; status 0."""
    image = write_guest(
        r"""
print("red \x1b[31m and \u202e back", flush=True)
sock, _ = listen(8080).accept()
connect(5000, cid=2).sendall(sock.recv(100))
"""
    )
    forwarded, listening = tmp_path / "forwarded", tmp_path / "listening"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(listening))
        listener.listen()
        listener.settimeout(SECONDS)
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "glassclave_sandbox", "run", str(image), "--qemu", str(qemu)),
                *("--forward", f"{forwarded}:8080", "--listen", f"2:5000={listening}"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("red"):
                    assert line == "red \\u{1b}[31m and \\u{202e} back\n"
                    break
            time.sleep(0.5)  # the guest listens right after that line
            client.connect(str(forwarded))
            client.sendall(b"through and back")
            sock, _ = listener.accept()
            with sock:
                assert sock.recv(100) == b"through and back"
            _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert "heartbeat answered" in errors
    assert not forwarded.exists()


def children(pid: int) -> list[int]:
    """Processes that ``pid`` started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text(encoding="ascii").split()]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_run_leaves_nothing(
    qemu: Path, write_guest: WriteGuest, number: signal.Signals, status: int
) -> None:
    image = write_guest("print('up', flush=True)\ntime.sleep(1000)\n")
    # Not below tmp_path: that is so long with several workers that no Unix socket's path fits behind it.
    with tempfile.TemporaryDirectory(prefix="gc-") as temporary:
        with subprocess.Popen(
            [sys.executable, "-m", "glassclave_sandbox", "run", str(image), "--qemu", str(qemu)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": temporary},
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line == "up\n":
                    break
            (enclave,) = children(process.pid)
            process.send_signal(number)
            process.communicate(timeout=SECONDS)
        assert process.returncode == status
        assert os.listdir(temporary) == []
    with pytest.raises(ProcessLookupError):
        os.kill(enclave, 0)


def test_timeout_ends_the_enclave(qemu: Path, write_guest: WriteGuest) -> None:
    image = write_guest("time.sleep(1000)\n")
    with Machine(image, qemu=qemu) as machine:
        machine.wait_for_heartbeat(SECONDS)
        pid = machine.pid
        assert not machine.wait(0.2)
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_end_of_the_device_ends_qemu(qemu: Path, write_guest: WriteGuest) -> None:
    image = write_guest("time.sleep(1000)\n")
    with Machine(image, qemu=qemu) as machine:
        machine.wait_for_heartbeat(SECONDS)
        machine.close_device()
        assert machine.wait(SECONDS)


def test_image_that_qemu_refuses(qemu: Path, tmp_path: Path) -> None:
    image = tmp_path / "no.eif"
    image.write_bytes(b"no image" * 100)
    with Machine(image, qemu=qemu) as machine, pytest.raises(UnavailableError) as caught:
        machine.wait_for_heartbeat(SECONDS)
    assert caught.value.code == "sandbox.qemu.failed"
