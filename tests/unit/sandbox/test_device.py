"""QEMU's messages, hostile rings, resets, and the device's own end."""

import os
import random
import socket
import struct
import time
from collections.abc import Callable

import pytest

from glassclave.errors import UsageError
from glassclave_sandbox.vsock.device import Device
from glassclave_sandbox.vsock.events import EventKind
from glassclave_sandbox.vsock.packet import Op
from tests.unit.sandbox.conftest import Bench
from tests.unit.sandbox.fake_guest import BASE, MEMORY, SIZE, FakeGuest

MakeBench = Callable[[], Bench]


def fault(bench: Bench) -> str:
    """The reason code of the guest fault that is, or will be, reported."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        for event in bench.events:
            if event.kind is EventKind.GUEST_FAULT:
                return event.message.rpartition("[")[2].rstrip("]")
        time.sleep(0.005)
    raise AssertionError("no fault was reported")


@pytest.mark.parametrize("cid", [0, 1, 2, 3, 0xFFFFFFFF, 1 << 32, -1])
def test_reserved_cids_are_refused(cid: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(UsageError) as caught:
        Device(ours, guest_cid=cid)
    assert caught.value.code == "sandbox.cid"


def hostile(name: str, guest: FakeGuest) -> None:
    """One impossible thing on the transmit ring."""
    match name:
        case "descriptor":
            guest.offer(1, SIZE)
        case "following":
            guest.describe(1, 0, BASE, 10, 1, SIZE)
            guest.offer(1, 0)
        case "loop":
            guest.describe(1, 0, BASE, 10, 1, 0)
            guest.offer(1, 0)
        case "address":
            guest.describe(1, 0, BASE + MEMORY - 10, 11, 0, 0)
            guest.offer(1, 0)
        case "below":
            guest.describe(1, 0, BASE - 1, 44, 0, 0)
            guest.offer(1, 0)
        case "wrap":
            guest.describe(1, 0, (1 << 64) - 20, 44, 0, 0)
            guest.offer(1, 0)
        case "huge":
            guest.describe(1, 0, BASE, 0xFFFFFFFF, 0, 0)
            guest.offer(1, 0)
        case "indirect":
            guest.describe(1, 0, BASE, 64, 4, 0)
            guest.offer(1, 0)
        case "writable":
            guest.describe(1, 0, BASE, 64, 2, 0)
            guest.offer(1, 0)
        case "order":
            guest.describe(1, 0, BASE, 64, 3, 1)
            guest.describe(1, 1, BASE, 64, 0, 0)
            guest.offer(1, 0)
        case "short":
            guest.describe(1, 0, BASE, 43, 0, 0)
            guest.offer(1, 0)
        case "empty":
            guest.describe(1, 0, BASE, 0, 0, 0)
            guest.offer(1, 0)
        case "index":
            struct.pack_into("<H", guest.memory, 0x4000 + 0x1000 + 2, SIZE + 1)
            guest.kick(1)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("descriptor", "descriptor"), ("following", "descriptor"), ("loop", "loop"), ("address", "address"),
        ("below", "address"), ("wrap", "address"), ("huge", "address"), ("indirect", "indirect"),
        ("writable", "direction"), ("order", "order"), ("short", "short"), ("empty", "short"),
        ("index", "index"),
    ],
)  # fmt: skip
def test_impossible_rings_stop_that_guest_only(bench: Bench, name: str, code: str) -> None:
    hostile(name, bench.guest)
    assert fault(bench) == f"vsock.ring.{code}"
    # QEMU still gets its answers, and after a reset the guest has its vsock again.
    assert bench.device.failure is None
    bench.guest.stop()
    bench.guest.start()
    bench.guest.post()
    bench.guest.packet(Op.REQUEST)
    bench.guest.expect(Op.RST)


@pytest.mark.parametrize(("flags", "length", "code"), [(0, 4096, "direction"), (2, 44, "short")])
def test_impossible_receive_buffers(make_bench: MakeBench, flags: int, length: int, code: str) -> None:
    bench = make_bench()
    bench.guest.realize()
    bench.guest.start()
    bench.guest.describe(0, 0, BASE, length, flags, 0)
    bench.guest.offer(0, 0)
    bench.guest.packet(Op.REQUEST, wait=False)
    assert fault(bench) == f"vsock.ring.{code}"


def test_smallest_receive_buffer(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.guest.realize()
    bench.guest.start()
    bench.guest.post(length=45)
    with bench.listen(2222) as listener:
        bench.guest.packet(Op.REQUEST)
        bench.guest.expect(Op.RESPONSE)
        sock, _ = listener.accept()
        sock.sendall(b"letters")
        sock.close()
    data, _ = bench.guest.read(lambda data, _ops: len(data) == 7)
    assert data == b"letters"


def test_flood_without_room_for_answers(make_bench: MakeBench) -> None:
    """Answers wait, up to a bound; then packets wait on the ring; nothing is lost."""
    bench = make_bench()
    bench.guest.realize()
    bench.guest.start()
    taken = 0
    while taken < 2000:
        bench.guest.packet(Op.REQUEST, src_port=taken, wait=False)
        if not bench.guest.wait_used(1, 0.2):
            break
        taken += 1
    assert taken == 512
    bench.guest.post()
    ports = [bench.guest.expect(Op.RST)[0].dst_port for _ in range(taken + 1)]
    assert ports == list(range(taken + 1))
    assert bench.guest.wait_used(1) == [(0, 0)]


def test_second_boot_on_the_same_connection(bench: Bench) -> None:
    for _ in range(3):
        bench.guest.packet(Op.REQUEST, dst_port=9000)
        bench.guest.expect(Op.RESPONSE)
        assert bench.guest.stop() == [1, 1]
        bench.guest.send(13, struct.pack("<Q", 0), bench.guest.calls[0])
        bench.guest.send(13, struct.pack("<Q", 1), bench.guest.calls[1])
        bench.guest.start()
        bench.guest.received.clear()
        bench.guest.post()


def test_requests_without_a_guest_are_refused(make_bench: MakeBench) -> None:
    bench = make_bench()
    with pytest.raises(ConnectionRefusedError):
        bench.device.connect(1, timeout=5)
    bench.guest.realize()
    bench.guest.start()
    bench.guest.stop()
    with pytest.raises(ConnectionRefusedError):
        bench.device.connect(1, timeout=5)
    bench.device.close()
    with pytest.raises(ConnectionRefusedError):
        bench.device.connect(1, timeout=5)


def broken(name: str, guest: FakeGuest) -> None:
    """One message that QEMU would never send."""
    match name:
        case "unknown":
            guest.send(99)
        case "flags":
            guest.send(1, flags=0)
        case "reply":
            guest.send(1, flags=5)
        case "size":
            guest.sock.send(struct.pack("<III", 1, 1, 1 << 20))
        case "short":
            guest.send(2, b"1234")
        case "ring":
            guest.send(8, struct.pack("<II", 2, 64))
        case "ring-size":
            guest.send(8, struct.pack("<II", 0, 63))
        case "features":
            guest.send(2, struct.pack("<Q", 1 << 29))
        case "config":
            guest.send(24, struct.pack("<III", 0, 9, 0) + bytes(8))
        case "kick-without-fd":
            guest.send(12, struct.pack("<Q", 0))
        case "kick-on-a-file":
            guest.send(12, struct.pack("<Q", 0), guest.fd)
        case "poll-mode":
            guest.send(12, struct.pack("<Q", 0x100))
        case "enable-before-set":
            guest.send(2, struct.pack("<Q", 1 << 30))
            guest.send(12, struct.pack("<Q", 0), guest.kicks[0])
            guest.send(18, struct.pack("<II", 0, 1))
        case "memory-longer-than-file":
            guest.send(5, struct.pack("<IIQQQQ", 1, 0, BASE, MEMORY + 4096, 0, 0), guest.fd)
        case "memory-without-fd":
            guest.send(5, struct.pack("<IIQQQQ", 1, 0, BASE, MEMORY, 0, 0))
        case "memory-overlap":
            region = struct.pack("<QQQQ", BASE, MEMORY, 0, 0)
            guest.send(5, struct.pack("<II", 2, 0) + region + region, guest.fd, guest.fd)
        case "memory-wrap":
            guest.send(5, struct.pack("<IIQQQQ", 1, 0, (1 << 64) - 4096, 8192, 0, 0), guest.fd)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("unknown", "request"), ("flags", "flags"), ("reply", "flags"), ("size", "size"), ("short", "size"),
        ("ring", "ring"), ("ring-size", "ring"), ("features", "features"), ("config", "size"),
        ("kick-without-fd", "fds"), ("poll-mode", "fds"), ("kick-on-a-file", "fds"),
        ("enable-before-set", "ring"),
        ("memory-longer-than-file", "memory"), ("memory-without-fd", "memory"), ("memory-overlap", "memory"),
        ("memory-wrap", "memory"),
    ],
)  # fmt: skip
def test_broken_front_end_ends_the_device_with_a_reason(make_bench: MakeBench, name: str, code: str) -> None:
    bench = make_bench()
    bench.guest.realize()
    broken(name, bench.guest)
    assert bench.device.finished.wait(5)
    assert bench.device.failure is not None
    assert bench.device.failure.code == f"vhost-user.{code}"


def test_message_in_pieces(make_bench: MakeBench) -> None:
    bench = make_bench()
    for byte in struct.pack("<III", 1, 1, 0):
        bench.guest.sock.send(bytes([byte]))
        time.sleep(0.002)
    assert len(bench.guest.sock.recv(100)) == 20


def test_end_of_qemu_is_told_and_leaves_nothing_open(bench: Bench) -> None:
    before = len(os.listdir("/proc/self/fd"))
    bench.guest.close()  # 6 descriptors of ours
    deadline = time.monotonic() + 5
    while EventKind.FRONT_END_GONE not in bench.kinds() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert bench.kinds()[-1] is EventKind.FRONT_END_GONE
    bench.device.close()
    # Kick and call of two rings, the vhost-user socket, epoll, the wake event; memory's when it is unmapped.
    assert len(os.listdir("/proc/self/fd")) <= before - 6 - 7


def test_random_packets_never_end_the_loop(make_bench: MakeBench) -> None:
    """Packets of all kinds, from a fixed seed; the device answers afterwards as if nothing had been."""
    chance = random.Random(20261123)
    bench = make_bench()
    bench.guest.realize()
    bench.guest.start()
    bench.guest.post()
    with bench.listen(2000), bench.listen(2001):
        for _ in range(1500):
            fields = {
                "src_port": chance.randrange(4),
                "dst_port": 2000 + chance.randrange(3),
                "flags": chance.randrange(5),
                "type": chance.choice([1, 1, 1, 1, 1, 1, 1, 1, 2, 0]),
                "buf_alloc": chance.choice([0, 1, 4096, 262144, 0xFFFFFFFF]),
                "fwd_cnt": chance.choice([0, 0, 0, 0, 1, 0xFFFFFFFF]),
            }
            op = chance.choice([1, 1, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8])
            data = chance.randbytes(chance.randrange(200)) if op == Op.RW else b""
            bench.guest.packet(op, data, cuts=chance.randrange(1, 5), **fields)
            while not bench.guest.silent(0):
                bench.guest.next()
    while not bench.guest.silent(0.05):
        bench.guest.next()
    bench.guest.packet(Op.REQUEST, src_port=77, dst_port=9000)
    assert bench.guest.expect(Op.RESPONSE)[0].dst_port == 77
    assert EventKind.GUEST_FAULT not in bench.kinds()
