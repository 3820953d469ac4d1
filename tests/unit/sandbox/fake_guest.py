"""A guest and its QEMU in one object: shared memory, two rings, eventfds, the vhost-user messages."""

import array
import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from types import TracebackType

from glassclave_sandbox.vsock.packet import HEADER_SIZE, Header, Op, parse_header

GUEST = 16
SIZE = 64
MEMORY = 1 << 21
USER = 0x7F0000000000
BASE = 0x100000
BUFFER = 4096
_RING = 0x4000
_BUFFERS = 0x10000

Packet = tuple[Header, bytes]


class FakeGuest:
    """Drives a device from the guest's side, one step at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(5)
        self.fd = os.memfd_create("guest")
        os.ftruncate(self.fd, MEMORY)
        self.memory = mmap.mmap(self.fd, MEMORY)
        self.kicks = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
        self.calls = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
        self.seen = [0, 0]
        self.posted = 0
        self.received: list[Packet] = []
        self.buf_alloc = 262144
        self.fwd_cnt = 0

    # vhost-user

    def send(self, request: int, payload: bytes = b"", *fds: int, flags: int = 1) -> None:
        """One message."""
        message = struct.pack("<III", request, flags, len(payload)) + payload
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([message], rights)

    def ask(self, request: int, payload: bytes = b"", *fds: int, flags: int = 1) -> bytes:
        """One message and the payload of its reply."""
        self.send(request, payload, *fds, flags=flags)
        head = self.sock.recv(12, socket.MSG_WAITALL)
        answered, reply_flags, size = struct.unpack("<III", head)
        assert (answered, reply_flags) == (request, 5)
        return self.sock.recv(size, socket.MSG_WAITALL)

    def realize(self) -> None:
        """What QEMU says before the guest runs."""
        assert struct.unpack("<Q", self.ask(1)) == (1 << 32 | 1 << 30,)
        assert struct.unpack("<Q", self.ask(15)) == (0x209,)
        self.send(16, struct.pack("<Q", 0x209))
        assert struct.unpack("<Q", self.ask(17)) == (2,)
        self.send(3)
        config = self.ask(24, struct.pack("<III", 0, 8, 0) + bytes(8))
        assert config == struct.pack("<IIIQ", 0, 8, 0, GUEST)

    def start(self) -> None:
        """What QEMU says when the guest's driver is ready; buffers are posted before."""
        self.memory[: 2 * _RING] = bytes(2 * _RING)
        self.seen, self.posted = [0, 0], 0
        self.send(2, struct.pack("<Q", 1 << 30))
        table = struct.pack("<II", 1, 0) + struct.pack("<QQQQ", BASE, MEMORY, USER, 0)
        assert self.ask(5, table, self.fd, flags=9) == bytes(8)
        for ring in range(2):
            at = USER + ring * _RING
            self.send(8, struct.pack("<II", ring, SIZE))
            self.send(10, struct.pack("<II", ring, 0))
            self.send(9, struct.pack("<IIQQQQ", ring, 0, at, at + 0x2000, at + 0x1000, 0xDEAD))
            self.send(12, struct.pack("<Q", ring), self.kicks[ring])
            self.send(13, struct.pack("<Q", ring), self.calls[ring])
        self.send(18, struct.pack("<II", 0, 1))
        assert self.ask(18, struct.pack("<II", 1, 1), flags=9) == bytes(8)

    def stop(self) -> list[int]:
        """Guest reset: both rings off. The bases that the device gives back."""
        self.send(18, struct.pack("<II", 0, 0))
        self.send(18, struct.pack("<II", 1, 0))
        return [struct.unpack("<II", self.ask(11, struct.pack("<II", ring, 0)))[1] for ring in range(2)]

    # Rings

    def describe(self, ring: int, index: int, address: int, length: int, flags: int, following: int) -> None:
        """Write a descriptor, any descriptor."""
        struct.pack_into("<QIHH", self.memory, ring * _RING + 16 * index, address, length, flags, following)

    def offer(self, ring: int, head: int, *, kick: bool = True) -> None:
        """Make a chain available."""
        at = ring * _RING + 0x1000
        index = struct.unpack_from("<H", self.memory, at + 2)[0]
        struct.pack_into("<H", self.memory, at + 4 + 2 * (index % SIZE), head)
        struct.pack_into("<H", self.memory, at + 2, (index + 1) & 0xFFFF)
        if kick:
            self.kick(ring)

    def kick(self, ring: int) -> None:
        """Tell the device to look."""
        os.write(self.kicks[ring], struct.pack("<Q", 1))

    def used(self, ring: int) -> list[tuple[int, int]]:
        """Buffers given back since the last look: head, bytes written."""
        at = ring * _RING + 0x2000
        index = struct.unpack_from("<H", self.memory, at + 2)[0]
        found: list[tuple[int, int]] = []
        while self.seen[ring] != index:
            slot = self.seen[ring] % SIZE
            found.append(struct.unpack_from("<II", self.memory, at + 4 + 8 * slot))
            self.seen[ring] = (self.seen[ring] + 1) & 0xFFFF
        return found

    def wait_used(self, ring: int, seconds: float = 5) -> list[tuple[int, int]]:
        """As `used`, waiting for the device's signal if there is nothing."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.used(ring)
            left = deadline - time.monotonic()
            if found or left <= 0:
                return found
            if select.select([self.calls[ring]], [], [], left)[0]:
                os.read(self.calls[ring], 8)

    def post(self, count: int = SIZE - 1, length: int = BUFFER) -> None:
        """Offer receive buffers."""
        for _ in range(count):
            slot = self.posted % SIZE
            self.describe(0, slot, BASE + _BUFFERS + slot * BUFFER, length, 2, 0)
            self.offer(0, slot, kick=False)
            self.posted += 1
        self.kick(0)

    def packet(self, op: int, payload: bytes = b"", /, **fields: int) -> None:
        """Send a packet. ``fields`` override the header; ``cuts`` descriptors; ``wait`` till taken."""
        wait, cuts = fields.pop("wait", True), fields.pop("cuts", 1)
        values = {
            "src_cid": GUEST, "dst_cid": 3, "src_port": 1111, "dst_port": 2222, "length": len(payload),
            "type": 1, "op": op, "flags": 0, "buf_alloc": self.buf_alloc, "fwd_cnt": self.fwd_cnt,
        }  # fmt: skip
        data = Header(**(values | fields)).encode() + payload
        at = _BUFFERS + SIZE * BUFFER
        self.memory[at : at + len(data)] = data
        size = -(-len(data) // cuts)
        for index in range(cuts):
            length = max(0, min(size, len(data) - index * size))
            following = (index + 1) % cuts
            self.describe(1, index, BASE + at + index * size, length, int(following > 0), following)
        self.offer(1, 0)
        if wait:
            assert self.wait_used(1) == [(0, 0)], "the packet was not taken"

    def next(self, seconds: float = 5) -> Packet:
        """The next packet from the device; its buffer is posted again."""
        if not self.received:
            for head, written in self.wait_used(0, seconds):
                at = _BUFFERS + head * BUFFER
                header = parse_header(self.memory[at : at + HEADER_SIZE])
                assert written == HEADER_SIZE + header.length
                self.received.append((header, self.memory[at + HEADER_SIZE : at + written]))
                self.offer(0, head, kick=False)
            self.kick(0)
        if not self.received:
            raise TimeoutError("no packet came")
        return self.received.pop(0)

    def expect(self, op: int) -> Packet:
        """The next packet, which must be ``op``."""
        header, payload = self.next()
        assert header.op == op, f"{Op(header.op).name} came, {Op(op).name} was expected"
        return header, payload

    def silent(self, seconds: float = 0.15) -> bool:
        """Whether nothing comes for a while."""
        try:
            packet = self.next(seconds)
        except TimeoutError:
            return True
        self.received.insert(0, packet)
        return False

    def read(self, until: Callable[[bytes, list[int]], bool]) -> tuple[bytes, list[int]]:
        """Payload bytes and operations until ``until`` holds, giving credit all the time."""
        data, ops = b"", list[int]()
        while not until(data, ops):
            header, payload = self.next()
            data += payload
            ops.append(header.op)
            if payload:
                self.fwd_cnt += len(payload)
                self.packet(Op.CREDIT_UPDATE, src_port=header.dst_port, dst_port=header.src_port)
        return data, ops

    def close(self) -> None:
        """QEMU dies."""
        if self.fd >= 0:
            self.sock.close()
            for fd in (self.fd, *self.kicks, *self.calls):
                os.close(fd)
            self.fd = -1

    def __enter__(self) -> "FakeGuest":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
