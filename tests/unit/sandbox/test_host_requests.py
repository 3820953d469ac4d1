"""Host programs that reach the guest: in process, by control line, by forwarded socket."""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from glassclave_sandbox.vsock.host import listen_unix
from glassclave_sandbox.vsock.packet import Op
from tests.unit.sandbox.conftest import Bench


def test_host_connects_in_process(bench: Bench) -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(bench.device.connect, 7000, timeout=5)
        header, _ = bench.guest.expect(Op.REQUEST)
        assert (header.src_cid, header.dst_port) == (3, 7000)
        stream = {"src_port": 7000, "dst_port": header.src_port}
        bench.guest.packet(Op.RESPONSE, **stream)
        with future.result() as sock:
            sock.settimeout(5)
            sock.sendall(b"hello")
            assert bench.guest.expect(Op.RW)[1] == b"hello"
            bench.guest.packet(Op.RW, b"world", **stream)
            assert sock.recv(10) == b"world"


def test_guest_refuses(bench: Bench) -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(bench.device.connect, 7000, timeout=5)
        header, _ = bench.guest.expect(Op.REQUEST)
        bench.guest.packet(Op.RST, src_port=7000, dst_port=header.src_port)
        with pytest.raises(ConnectionRefusedError):
            future.result()


def test_no_answer_from_the_guest(bench: Bench) -> None:
    with pytest.raises(TimeoutError):
        bench.device.connect(7000, timeout=0.1)
    header, _ = bench.guest.expect(Op.REQUEST)
    stream = {"src_port": 7000, "dst_port": header.src_port}
    bench.guest.packet(Op.RESPONSE, **stream)  # too late: nobody is there any more
    bench.guest.read(lambda _data, ops: ops.count(Op.SHUTDOWN) == 2)


def control(bench: Bench) -> socket.socket:
    """A client of a fresh control socket."""
    path = bench.directory / "control"
    if not path.exists():
        bench.device.listen_control(listen_unix(path))
    sock = bench.keep(socket.socket(socket.AF_UNIX))
    sock.connect(str(path))
    return sock


def test_control_line_keeps_what_follows(bench: Bench) -> None:
    sock = control(bench)
    sock.sendall(b"CONN")
    time.sleep(0.02)
    sock.sendall(b"ECT 7000\nearly bytes")
    header, _ = bench.guest.expect(Op.REQUEST)
    stream = {"src_port": 7000, "dst_port": header.src_port}
    bench.guest.packet(Op.RESPONSE, **stream)
    assert sock.recv(100) == b"OK %d\n" % header.src_port
    assert bench.guest.expect(Op.RW)[1] == b"early bytes"
    sock.close()


def test_control_line_refused_by_the_guest(bench: Bench) -> None:
    sock = control(bench)
    sock.sendall(b"CONNECT 7000\n")
    header, _ = bench.guest.expect(Op.REQUEST)
    bench.guest.packet(Op.RST, src_port=7000, dst_port=header.src_port)
    assert sock.recv(100) == b""


@pytest.mark.parametrize(
    "line",
    [
        b"CONNECT\n", b"CONNECT \n", b"connect 1\n", b"CONNECT -1\n", b"CONNECT 4294967295\n",
        b"CONNECT 4294967296\n", b"CONNECT 99999999999\n", b"CONNECT 1 \n", b"CONNECT 0x1\n", b"\n",
        "CONNECT ١\n".encode(), b"x" * 64, b"CONNECT 1" + b" " * 60,
    ],
)  # fmt: skip
def test_wrong_control_lines_end_in_silence(bench: Bench, line: bytes) -> None:
    with control(bench) as sock:
        sock.sendall(line)
        with contextlib.suppress(ConnectionResetError):  # the line was left unread
            assert sock.recv(100) == b""
    assert bench.guest.silent(0.05)


def test_forwarded_socket(bench: Bench, tmp_path: Path) -> None:
    bench.device.forward(listen_unix(tmp_path / "f"), 8080)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(tmp_path / "f"))
        sock.sendall(b"GET")
        header, _ = bench.guest.expect(Op.REQUEST)
        assert header.dst_port == 8080
        bench.guest.packet(Op.RESPONSE, src_port=8080, dst_port=header.src_port)
        assert bench.guest.expect(Op.RW)[1] == b"GET"
