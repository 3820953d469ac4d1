"""Streams in both directions, over the real loop and real Unix sockets."""

import hashlib
import os
import socket
import threading
import time

import pytest

from glassclave_sandbox.vsock.events import EventKind
from glassclave_sandbox.vsock.packet import Op, Shutdown
from tests.unit.sandbox.conftest import Bench

PORT = {"src_port": 1111, "dst_port": 2222}


def opened(bench: Bench, port: int = 2222) -> socket.socket:
    """The host's end of a stream that the guest just opened."""
    with bench.listen(port) as listener:
        bench.guest.packet(Op.REQUEST, dst_port=port)
        header, _ = bench.guest.expect(Op.RESPONSE)
        assert (header.src_cid, header.dst_cid, header.src_port, header.dst_port) == (3, 16, port, 1111)
        assert (header.buf_alloc, header.fwd_cnt) == (262144, 0)
        return bench.keep(listener.accept()[0])


def read_all(sock: socket.socket) -> bytes:
    """Everything until the end."""
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_heartbeat_is_answered_and_told(bench: Bench) -> None:
    bench.guest.packet(Op.REQUEST, dst_port=9000)
    bench.guest.expect(Op.RESPONSE)
    bench.guest.packet(Op.RW, b"\xb7", dst_port=9000)
    data, _ = bench.guest.read(lambda data, ops: ops.count(Op.SHUTDOWN) >= 2)
    assert data == b"\xb7"
    assert bench.kinds() == [EventKind.GUEST_STARTED, EventKind.HEARTBEAT]


def test_another_byte_is_no_heartbeat(bench: Bench) -> None:
    bench.guest.packet(Op.REQUEST, dst_port=9000)
    bench.guest.expect(Op.RESPONSE)
    bench.guest.packet(Op.RW, b"\xb6", dst_port=9000)
    data, _ = bench.guest.read(lambda data, ops: Op.SHUTDOWN in ops)
    assert data == b""
    assert EventKind.HEARTBEAT not in bench.kinds()


def test_heartbeat_needs_the_parents_cid(bench: Bench) -> None:
    bench.guest.packet(Op.REQUEST, dst_port=9000, dst_cid=2)
    bench.guest.expect(Op.RST)


def test_echo_both_ways(bench: Bench) -> None:
    sock = opened(bench)
    bench.guest.packet(Op.RW, b"question", **PORT)
    assert sock.recv(100) == b"question"
    sock.sendall(b"answer")
    header, payload = bench.guest.expect(Op.RW)
    assert payload == b"answer"
    assert header.fwd_cnt == len(b"question")  # every packet advertises
    sock.close()


@pytest.mark.parametrize("cuts", [1, 2, 3, 45])
def test_header_and_payload_over_any_descriptors(bench: Bench, cuts: int) -> None:
    sock = opened(bench)
    bench.guest.packet(Op.RW, b"0123456789" * 10, cuts=cuts, **PORT)
    assert sock.recv(1000) == b"0123456789" * 10
    sock.close()


def test_extra_bytes_after_the_payload_are_ignored(bench: Bench) -> None:
    sock = opened(bench)
    bench.guest.packet(Op.RW, b"yesno", length=3, **PORT)
    assert sock.recv(100) == b"yes"
    sock.close()


@pytest.mark.parametrize("cid", [2, 3, 77, 1 << 40])
def test_any_cid_maps_to_its_socket(bench: Bench, cid: int) -> None:
    with bench.listen(5000, cid) as listener:
        bench.guest.packet(Op.REQUEST, dst_cid=cid, dst_port=5000)
        header, _ = bench.guest.expect(Op.RESPONSE)
        assert header.src_cid == cid
        listener.accept()[0].close()


def test_nobody_listens(bench: Bench) -> None:
    bench.guest.packet(Op.REQUEST, dst_port=4444)
    header, _ = bench.guest.expect(Op.RST)
    assert (header.src_cid, header.src_port, header.dst_cid, header.dst_port) == (3, 4444, 16, 1111)
    assert bench.events[-1].message == "nobody listens for the guest on 3:4444"


def test_another_cid_as_source_is_dropped_silently(bench: Bench) -> None:
    bench.guest.packet(Op.REQUEST, src_cid=17)
    assert bench.guest.silent()


def test_other_socket_types_are_reset_with_their_type(bench: Bench) -> None:
    bench.guest.packet(Op.REQUEST, type=2)
    header, _ = bench.guest.expect(Op.RST)
    assert header.type == 2


@pytest.mark.parametrize("type_", [1, 2])
def test_a_reset_is_never_answered(bench: Bench, type_: int) -> None:
    bench.guest.packet(Op.RST, type=type_)
    assert bench.guest.silent()


@pytest.mark.parametrize("op", [0, Op.RESPONSE, Op.SHUTDOWN, Op.RW, Op.CREDIT_UPDATE, Op.CREDIT_REQUEST, 8])
def test_packets_without_connection_are_reset(bench: Bench, op: int) -> None:
    bench.guest.packet(op)
    bench.guest.expect(Op.RST)


@pytest.mark.parametrize("op", [0, Op.REQUEST, Op.RESPONSE, 8, 65535])
def test_operations_that_fit_no_open_stream_end_it(bench: Bench, op: int) -> None:
    sock = opened(bench)
    bench.guest.packet(op, **PORT)
    bench.guest.expect(Op.RST)
    assert sock.recv(1) == b""
    bench.guest.packet(Op.RW, b"x", **PORT)  # forgotten: answered as any unknown stream
    bench.guest.expect(Op.RST)


def test_credit_request_is_answered(bench: Bench) -> None:
    sock = opened(bench)
    bench.guest.packet(Op.RW, b"abc", **PORT)
    assert sock.recv(3) == b"abc"
    bench.guest.packet(Op.CREDIT_REQUEST, **PORT)
    header, _ = bench.guest.expect(Op.CREDIT_UPDATE)
    assert (header.buf_alloc, header.fwd_cnt) == (262144, 3)
    sock.close()


def test_payload_longer_than_its_chain_ends_the_stream(bench: Bench) -> None:
    sock = opened(bench)
    bench.guest.packet(Op.RW, b"abc", length=4, **PORT)
    bench.guest.expect(Op.RST)
    sock.close()


def test_guest_that_ignores_credit_is_cut_off(bench: Bench) -> None:
    sock = opened(bench)
    block = bytes(60000)
    sent = 0
    while not bench.guest.received and sent < 4_000_000:
        bench.guest.packet(Op.RW, block, **PORT)
        sent += len(block)
        bench.guest.silent(0.01)
        bench.guest.received = [item for item in bench.guest.received if item[0].op == Op.RST]
    assert sent < 262144 + 212992 + 2 * len(block), "more was held than promised"
    held = read_all(sock)  # what was promised is still delivered
    assert len(held) >= 262144 - len(block)


def test_slow_reader_gets_everything(bench: Bench) -> None:
    """The guest keeps to its credit; the host reads late: all of 2 MB arrives, in order."""
    sock = opened(bench)
    data = os.urandom(2_000_000)
    received: list[bytes] = []

    def read_slowly() -> None:
        time.sleep(0.1)
        received.append(read_all(sock))

    reader = threading.Thread(target=read_slowly)
    reader.start()
    position, forwarded = 0, 0
    while position < len(data):
        room = forwarded + 262144 - position
        if room < 1:
            header, _ = bench.guest.expect(Op.CREDIT_UPDATE)
            forwarded = header.fwd_cnt
            continue
        part = data[position : position + min(room, 60000)]
        bench.guest.packet(Op.RW, part, **PORT)
        position += len(part)
    bench.guest.packet(Op.SHUTDOWN, flags=Shutdown.BOTH, **PORT)
    reader.join()
    assert hashlib.sha256(received[0]).digest() == hashlib.sha256(data).digest()


def test_guest_closes_while_host_has_not_read(bench: Bench) -> None:
    """Trap: the last bytes must survive the end of the stream, of the guest and of QEMU."""
    sock = opened(bench)
    data = os.urandom(250_000)
    for start in range(0, len(data), 50_000):
        bench.guest.packet(Op.RW, data[start : start + 50_000], **PORT)
    bench.guest.packet(Op.SHUTDOWN, flags=Shutdown.BOTH, **PORT)
    while bench.guest.next()[0].op != Op.RST:  # at once, not after the guest's 8 seconds
        pass
    bench.guest.stop()
    bench.guest.close()
    assert read_all(sock) == data


def test_packets_left_on_the_ring_at_a_reset_are_taken(bench: Bench) -> None:
    sock = opened(bench)
    bench.guest.packet(Op.RW, b"last words", wait=False, **PORT)
    assert bench.guest.stop() == [1, 2]
    assert read_all(sock) == b"last words"


def test_guest_half_close_reaches_the_host(bench: Bench) -> None:
    sock = opened(bench)
    bench.guest.packet(Op.RW, b"all", **PORT)
    bench.guest.packet(Op.SHUTDOWN, flags=Shutdown.SEND, **PORT)
    assert read_all(sock) == b"all"
    sock.sendall(b"still answered")
    assert bench.guest.expect(Op.RW)[1] == b"still answered"
    bench.guest.packet(Op.RW, b"more", **PORT)  # it said it would send no more
    bench.guest.expect(Op.RST)


def test_host_half_close_reaches_the_guest(bench: Bench) -> None:
    sock = opened(bench)
    sock.sendall(b"all")
    sock.shutdown(socket.SHUT_WR)
    assert bench.guest.expect(Op.RW)[1] == b"all"
    assert bench.guest.expect(Op.SHUTDOWN)[0].flags == Shutdown.SEND
    bench.guest.packet(Op.RW, b"still answered", **PORT)
    assert sock.recv(100) == b"still answered"
    bench.guest.packet(Op.SHUTDOWN, flags=Shutdown.BOTH, **PORT)
    bench.guest.expect(Op.RST)
    assert sock.recv(1) == b""


def test_guest_reads_no_more(bench: Bench) -> None:
    sock = opened(bench)
    bench.guest.packet(Op.SHUTDOWN, flags=Shutdown.RECEIVE, **PORT)
    bench.guest.packet(Op.RW, b"but writes", **PORT)
    assert sock.recv(100) == b"but writes"
    with pytest.raises(BrokenPipeError):
        sock.sendall(b"x")


def test_shutdown_flags_add_up(bench: Bench) -> None:
    sock = opened(bench)
    bench.guest.packet(Op.SHUTDOWN, flags=Shutdown.SEND, **PORT)
    assert bench.guest.silent(0.05)
    bench.guest.packet(Op.SHUTDOWN, flags=Shutdown.RECEIVE, **PORT)
    bench.guest.expect(Op.RST)
    assert sock.recv(1) == b""


def test_host_closes_with_bytes_unread_by_the_guest(bench: Bench) -> None:
    """Trap: flag 1 at once, flag 2 only after the last byte; the guest gets all of it."""
    sock = opened(bench)
    data = os.urandom(600_000)

    def write_and_close() -> None:
        sock.sendall(data)
        sock.close()

    writer = threading.Thread(target=write_and_close)
    writer.start()
    got, _ = bench.guest.read(lambda _data, ops: ops.count(Op.SHUTDOWN) >= 2)
    writer.join()
    assert got == data
    bench.guest.packet(Op.RST, **PORT)
    assert bench.guest.silent()


def test_credit_is_never_overrun(bench: Bench) -> None:
    bench.guest.buf_alloc = 10_000
    sock = opened(bench)
    sock.setblocking(False)
    sock.send(bytes(100_000))
    got = 0
    while not bench.guest.silent(0.1):
        got += bench.guest.next()[0].length
    assert got == 10_000
    bench.guest.fwd_cnt = 4_000
    bench.guest.packet(Op.CREDIT_UPDATE, **PORT)
    while not bench.guest.silent(0.1):
        got += bench.guest.next()[0].length
    assert got == 14_000
    bench.guest.buf_alloc = 5_000  # shrunk below what is in flight: wait, do not wrap
    bench.guest.packet(Op.CREDIT_UPDATE, **PORT)
    assert bench.guest.silent(0.1)
    sock.close()


def test_credit_for_bytes_never_sent_ends_the_stream(bench: Bench) -> None:
    sock = opened(bench)
    bench.guest.packet(Op.CREDIT_UPDATE, fwd_cnt=1, **PORT)
    bench.guest.expect(Op.RST)
    assert sock.recv(1) == b""


def test_a_hundred_streams_at_once(bench: Bench) -> None:
    with bench.listen(6000) as listener:
        socks = []
        for port in range(100):
            bench.guest.packet(Op.REQUEST, src_port=port, dst_port=6000)
            assert bench.guest.expect(Op.RESPONSE)[0].dst_port == port
            socks.append(bench.keep(listener.accept()[0]))
        for port, sock in enumerate(socks):
            sock.sendall(b"%d" % port)
            header, payload = bench.guest.expect(Op.RW)
            assert (header.dst_port, payload) == (port, b"%d" % port)


def test_streams_beyond_the_limit_are_refused(bench: Bench) -> None:
    with bench.listen(6000) as listener:
        for port in range(512):
            bench.guest.packet(Op.REQUEST, src_port=port, dst_port=6000)
            assert bench.guest.expect(Op.RESPONSE)[0].dst_port == port
            bench.keep(listener.accept()[0])
        bench.guest.packet(Op.REQUEST, src_port=512, dst_port=6000)
        bench.guest.expect(Op.RST)
        bench.guest.packet(Op.SHUTDOWN, flags=3, src_port=0, dst_port=6000)
        bench.guest.expect(Op.RST)
        bench.guest.packet(Op.REQUEST, src_port=512, dst_port=6000)
        bench.guest.expect(Op.RESPONSE)
