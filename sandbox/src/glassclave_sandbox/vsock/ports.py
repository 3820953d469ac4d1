"""Packets on and off the two rings: the switch's packets meet the guest's buffers here."""

from __future__ import annotations

from collections.abc import Sequence

from glassclave_sandbox.vsock.connection import Connection
from glassclave_sandbox.vsock.errors import GuestError
from glassclave_sandbox.vsock.packet import HEADER_SIZE, Op, parse_header
from glassclave_sandbox.vsock.ring import Chain, Ring, clear_event
from glassclave_sandbox.vsock.switch import OUTGOING_LIMIT, Switch

_RX, _TX = 0, 1
_PACKETS_PER_ROUND = 64
_BUFFERS_PER_READ = 32
_VIEWS_PER_READ = 512
"""Half of what one system call takes (IOV_MAX)."""


class RingPorts:
    """The guest's receive ring (towards it) and transmit ring (from it). Methods may raise `GuestError`."""

    def __init__(self, receive: Ring, transmit: Ring, switch: Switch) -> None:
        self._receive = receive
        self._transmit = transmit
        self._switch = switch
        self._packets_waiting = False
        self._held_back = False
        self._room_for_guest = False
        self._blocked: dict[Connection, None] = {}

    @property
    def up(self) -> bool:
        """Whether the guest can be reached."""
        return self._receive.ready and self._transmit.ready

    @property
    def busy(self) -> bool:
        """Whether there is work that nobody will wake us for."""
        if self._may_take():
            return True
        return self._room_for_guest and (bool(self._switch.outgoing) or bool(self._blocked))

    def start(self, index: int) -> None:
        """A ring may be used now, and may hold buffers already."""
        if index == _TX:
            self._packets_waiting = True
        else:
            self._room_for_guest = True

    def stop_port(self, index: int) -> None:
        """A ring may not be used any more."""
        if index == _TX:
            self._packets_waiting = False
            self._held_back = False
        else:
            self._room_for_guest = False
            self._blocked.clear()

    def stop(self) -> None:
        """Neither ring may be used any more."""
        for index, ring in enumerate((self._receive, self._transmit)):
            ring.stop()
            self.stop_port(index)

    def kicked(self, index: int, fd: int) -> None:
        """The guest added buffers. The event is cleared before the ring is looked at, or one is lost."""
        clear_event(fd)
        if (self._transmit if index == _TX else self._receive).ready:
            self.start(index)

    # From the guest

    def take_packets(self) -> None:
        """Some packets, unless too many answers wait."""
        if self._may_take():
            self._take(_PACKETS_PER_ROUND, OUTGOING_LIMIT)

    def _may_take(self) -> bool:
        """None is taken while too many answers wait (virtio 1.2 §5.10.6.1), until half of them are gone."""
        if len(self._switch.outgoing) >= OUTGOING_LIMIT:
            self._held_back = True
        elif len(self._switch.outgoing) <= OUTGOING_LIMIT // 2:
            self._held_back = False
        return self._packets_waiting and not self._held_back and self._transmit.ready

    def take_all_packets(self) -> None:
        """Every packet that is there, whatever waits: the ring is about to stop."""
        if self._transmit.ready:
            self._take(self._transmit.size, OUTGOING_LIMIT + self._transmit.size)
            self._transmit.publish()

    def _take(self, count: int, answers: int) -> None:
        for _ in range(count):
            chain = self._transmit.pop()
            if chain is None:
                self._packets_waiting = False
                return
            self._handle(chain)
            self._transmit.push(chain.head, 0)
            if len(self._switch.outgoing) >= answers:
                return

    def _handle(self, chain: Chain) -> None:
        if chain.writable:
            raise GuestError("vsock.ring.direction", "a packet to send has room to be written to")
        if sum(map(len, chain.readable)) < HEADER_SIZE:
            raise GuestError("vsock.ring.short", f"a packet shorter than its header's {HEADER_SIZE} bytes")
        header = parse_header(_gather(chain.readable, HEADER_SIZE))
        self._switch.handle(header, _after(chain.readable, HEADER_SIZE))

    # To the guest

    def send_answers(self) -> None:
        """As many waiting answers as there are buffers."""
        while self._switch.outgoing and self._room_for_guest:
            chain = self._next_buffer()
            if chain is None:
                return
            answer = self._switch.next_outgoing()
            if answer is None:
                self._receive.unpop(1)
                return
            _scatter(chain.writable, answer)
            self._receive.push(chain.head, HEADER_SIZE)

    def _next_buffer(self) -> Chain | None:
        chain = self._receive.pop() if self._receive.ready else None
        if chain is None:
            self._room_for_guest = False
            return None
        if chain.readable:
            raise GuestError("vsock.ring.direction", "a buffer to receive into has bytes to be read")
        if sum(map(len, chain.writable)) <= HEADER_SIZE:
            raise GuestError(
                "vsock.ring.short", f"a buffer with no room beyond a header's {HEADER_SIZE} bytes"
            )
        return chain

    def pump_guest(self, connection: Connection) -> bool:
        """Move bytes from the host to the guest once; ``True`` if there may be more to move at once."""
        if not connection.wants_read():
            return False
        credit = connection.credit()
        if credit == 0:
            return False  # the guest's next credit update wakes the connection
        if self._switch.outgoing or not self._room_for_guest:
            self._blocked[connection] = None  # answers go first
            return False
        chains, views = self._buffers(credit)
        if not views:
            self._blocked[connection] = None
            return False
        size = connection.read_into(views)
        self._deliver(connection, chains, size or 0)
        if size == 0:
            self._switch.host_ended(connection)
        return bool(size)

    def _buffers(self, credit: int) -> tuple[list[Chain], list[memoryview]]:
        """Buffers for up to ``credit`` bytes, and the parts of them that payload goes to."""
        chains: list[Chain] = []
        views: list[memoryview] = []
        while credit > 0 and len(chains) < _BUFFERS_PER_READ:
            chain = self._next_buffer()
            if chain is None:
                break
            chains.append(chain)
            for view in _after(chain.writable, HEADER_SIZE):
                views.append(view[:credit])
                credit -= len(views[-1])
        return chains, [view for view in views if len(view)][:_VIEWS_PER_READ]

    def _deliver(self, connection: Connection, chains: Sequence[Chain], size: int) -> None:
        """Put headers before the ``size`` bytes just read, and give back the buffers they did not need."""
        used = 0
        for chain in chains:
            if size == 0:
                break
            length = min(size, sum(map(len, chain.writable)) - HEADER_SIZE)
            _scatter(chain.writable, connection.packet(Op.RW, length=length).encode())
            self._receive.push(chain.head, HEADER_SIZE + length)
            size -= length
            used += 1
        if used < len(chains):
            self._receive.unpop(len(chains) - used)
            self._room_for_guest = True

    def publish(self) -> None:
        """Let the guest see what was done."""
        for ring in (self._receive, self._transmit):
            if ring.running:
                ring.publish()

    def take_unblocked(self) -> list[Connection]:
        """Connections that waited for room, if there is room now."""
        if not self._room_for_guest or self._switch.outgoing:
            return []
        connections = list(self._blocked)
        self._blocked.clear()
        return connections

    def unblock(self, connection: Connection) -> None:
        """The connection is over."""
        self._blocked.pop(connection, None)


def _gather(views: Sequence[memoryview], size: int) -> bytes:
    """The first ``size`` bytes, copied: what is checked must be what is used."""
    if len(views[0]) >= size:
        return bytes(views[0][:size])
    return b"".join(views)[:size]


def _after(views: Sequence[memoryview], size: int) -> list[memoryview]:
    """What comes after the first ``size`` bytes."""
    rest: list[memoryview] = []
    for view in views:
        if size < len(view):
            rest.append(view[size:])
        size = max(0, size - len(view))
    return rest


def _scatter(views: Sequence[memoryview], data: bytes) -> None:
    """``data`` over the first bytes."""
    for view in views:
        part = data[: len(view)]
        view[: len(part)] = part
        data = data[len(part) :]
        if not data:
            return
