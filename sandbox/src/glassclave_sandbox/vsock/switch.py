"""What each packet does (virtio 1.2 §5.10.6): connections by key, answers to the guest, ends of streams.

Knows no ring and no loop: packets come in through `handle`, answers wait in `outgoing`, and the owner is told
through `SwitchOwner` which sockets to watch.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from glassclave_sandbox.vsock.connection import Answer, Connection, Key, State
from glassclave_sandbox.vsock.packet import PARENT_CID, TYPE_STREAM, Header, Op, Shutdown

CONNECTIONS_LIMIT = 512
"""Connections at once, those that drain counted: with their buffers at most 128 MiB."""
OUTGOING_LIMIT = 512
"""Answers waiting for room on the guest's receive ring; then no more packets are taken from it."""
CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 8.0
"""Linux waits as long for the answer to its own SHUTDOWN."""

_FIRST_HOST_PORT = 1 << 30
_LAST_HOST_PORT = (1 << 31) - 1


class SwitchOwner(Protocol):
    """What the switch needs from the device."""

    def open_host(self, cid: int, port: int) -> socket.socket | None:
        """A non-blocking socket connected to whoever serves ``cid:port``, or ``None``."""
        ...

    def watch(self, connection: Connection) -> None:
        """Watch the connection's socket; call `pump` when something happens."""
        ...

    def unwatch(self, connection: Connection) -> None:
        """Forget the socket; it is closed next."""
        ...

    def wake(self, connection: Connection) -> None:
        """The connection may be able to go on: pump it soon."""
        ...

    def now(self) -> float:
        """Seconds on a monotonic clock."""
        ...


class Outgoing(NamedTuple):
    """An answer to the guest. With a connection, its counts are filled in when it is sent."""

    connection: Connection | None
    op: Op
    flags: int
    header: Header | None


class Switch:
    """All connections of one guest."""

    def __init__(self, guest_cid: int, owner: SwitchOwner) -> None:
        self._guest_cid = guest_cid
        self._owner = owner
        self._connections: dict[Key, Connection] = {}
        self._draining: set[Connection] = set()
        self._timed: set[Connection] = set()
        self._next_host_port = _FIRST_HOST_PORT
        self.outgoing: deque[Outgoing] = deque()

    @property
    def draining(self) -> int:
        """Connections whose last bytes are still on their way to the host."""
        return len(self._draining)

    @property
    def open_connections(self) -> int:
        """Connections that the guest knows."""
        return len(self._connections)

    @property
    def has_deadlines(self) -> bool:
        """Whether `expire` has something to look at."""
        return bool(self._timed)

    # Packets from the guest

    def handle(self, header: Header, payload: Sequence[memoryview]) -> None:
        """One packet; ``payload`` is all that came after the header."""
        if header.src_cid != self._guest_cid:
            return
        connection = self._connections.get(Key(header.dst_cid, header.dst_port, header.src_port))
        if header.type != TYPE_STREAM:
            self._reset_unknown(header)
        elif header.op == Op.RST:
            if connection is not None:
                self._forget(connection)
        elif connection is None:
            if header.op == Op.REQUEST:
                self._accept(header)
            else:
                self._reset_unknown(header)
        elif not connection.note_credit(header) or not self._act(connection, header, payload):
            self._reset(connection)
        else:
            self._owner.wake(connection)

    def _act(self, connection: Connection, header: Header, payload: Sequence[memoryview]) -> bool:
        """Do what the packet says; ``False`` if it may not say that now."""
        if connection.state is State.CONNECTING:
            return header.op == Op.RESPONSE and self._accepted(connection)
        if header.op == Op.RW:
            return self._data(connection, header.length, payload)
        if header.op == Op.SHUTDOWN:
            return self._shut_down(connection, Shutdown(header.flags & Shutdown.BOTH))
        if header.op == Op.CREDIT_REQUEST:
            self._queue_update(connection)
        return header.op in (Op.CREDIT_UPDATE, Op.CREDIT_REQUEST)

    def _accept(self, header: Header) -> None:
        if len(self._connections) + len(self._draining) >= CONNECTIONS_LIMIT:
            self._reset_unknown(header)
            return
        sock = self._owner.open_host(header.dst_cid, header.dst_port)
        if sock is None:
            self._reset_unknown(header)
            return
        key = Key(header.dst_cid, header.dst_port, header.src_port)
        connection = Connection(key, self._guest_cid, sock, State.OPEN)
        self._connections[key] = connection
        self._owner.watch(connection)
        if connection.note_credit(header):
            self._queue(connection, Op.RESPONSE)
        else:
            self._reset(connection)

    def _accepted(self, connection: Connection) -> bool:
        connection.state = State.OPEN
        self._set_deadline(connection, None)
        self._answer(connection, accepted=True)
        self._owner.watch(connection)
        return True

    def _data(self, connection: Connection, length: int, payload: Sequence[memoryview]) -> bool:
        if connection.guest_shutdown & Shutdown.SEND:
            return False
        views: list[memoryview] = []
        missing = length
        for view in payload:
            views.append(view[:missing])
            missing -= len(views[-1])
        if missing or not connection.accept_data(views, length):
            return False
        self._after_write(connection)
        return True

    def _shut_down(self, connection: Connection, flags: Shutdown) -> bool:
        new = flags & ~connection.guest_shutdown
        connection.guest_shutdown |= flags
        if connection.guest_shutdown == Shutdown.BOTH:
            # Answered at once: Linux would wait 8 s for it. What the host has not read yet is drained.
            self._reset(connection)
        elif new & Shutdown.RECEIVE:
            connection.stop_reading()
        return True

    # Connections from the host

    def request(self, sock: socket.socket, guest_port: int, answer: Answer) -> None:
        """Ask the guest for a stream to ``guest_port``; ``answer`` is called once. Takes the socket over."""
        key = self._free_key(guest_port)
        connection = Connection(key, self._guest_cid, sock, State.CONNECTING, answer)
        if len(self._connections) + len(self._draining) >= CONNECTIONS_LIMIT:
            self._answer(connection, accepted=False)
            return
        self._connections[key] = connection
        self._set_deadline(connection, CONNECT_SECONDS)
        self._queue(connection, Op.REQUEST)

    def _free_key(self, guest_port: int) -> Key:
        while True:
            key = Key(PARENT_CID, self._next_host_port, guest_port)
            self._next_host_port += 1
            if self._next_host_port > _LAST_HOST_PORT:
                self._next_host_port = _FIRST_HOST_PORT
            if key not in self._connections:
                return key

    def _answer(self, connection: Connection, *, accepted: bool) -> None:
        answer, connection.answer = connection.answer, None
        if answer is not None:
            answer(connection, accepted)

    # What happens on the host's side

    def pump_host(self, connection: Connection) -> None:
        """Write what waits for the host; notice that it is gone."""
        connection.flush()
        self._after_write(connection)

    def _after_write(self, connection: Connection) -> None:
        if connection.hung_up and not connection.host_shutdown & Shutdown.RECEIVE:
            # Flag 1 alone: bytes from the host may still be unread, flag 2 says that they all came.
            connection.stop_writing()
            self._shut_host(connection, Shutdown.RECEIVE)
        if connection.state is State.DRAINING:
            if connection.waiting_bytes == 0:
                self._close(connection)
        elif connection.needs_update():
            self._queue_update(connection)

    def host_ended(self, connection: Connection) -> None:
        """The host sends no more."""
        self._shut_host(connection, Shutdown.SEND)

    def _shut_host(self, connection: Connection, flag: Shutdown) -> None:
        connection.host_shutdown |= flag
        if connection.state is State.OPEN:
            self._queue(connection, Op.SHUTDOWN, connection.host_shutdown)
            if connection.host_shutdown == Shutdown.BOTH:
                self._set_deadline(connection, CLOSE_SECONDS)

    # Answers

    def _queue(self, connection: Connection, op: Op, flags: int = 0) -> None:
        self.outgoing.append(Outgoing(connection, op, flags, None))

    def _queue_update(self, connection: Connection) -> None:
        if not connection.update_queued:  # one is enough: it carries the newest counts
            connection.update_queued = True
            self._queue(connection, Op.CREDIT_UPDATE)

    def _reset_unknown(self, header: Header) -> None:
        if header.op != Op.RST:  # an RST is never answered
            self.outgoing.append(Outgoing(None, Op.RST, 0, header.reset()))

    def _reset(self, connection: Connection) -> None:
        self._queue(connection, Op.RST)
        self._forget(connection)

    def next_outgoing(self) -> bytes | None:
        """The next answer's header, encoded now, so that its counts are current."""
        while self.outgoing:
            connection, op, flags, header = self.outgoing.popleft()
            if connection is None:
                return None if header is None else header.encode()
            if op == Op.CREDIT_UPDATE:
                connection.update_queued = False
            if connection.state is State.DRAINING and op != Op.RST:
                continue  # over meanwhile: the guest would answer with an RST
            return connection.packet(op, flags=flags).encode()
        return None

    # Ends

    def _forget(self, connection: Connection) -> None:
        """Over for the guest. Bytes that the host has not taken yet stay until it does."""
        self._connections.pop(connection.key, None)
        self._set_deadline(connection, None)
        if connection.state is State.CONNECTING:
            connection.state = State.DRAINING
            self._answer(connection, accepted=False)
            return
        connection.state = State.DRAINING
        self._draining.add(connection)
        self.pump_host(connection)

    def _close(self, connection: Connection) -> None:
        if connection in self._draining:
            self._draining.discard(connection)
            self._owner.unwatch(connection)
            connection.sock.close()

    def guest_gone(self) -> None:
        """The guest reset or ended: nothing more to tell it, its last bytes still go to the host."""
        self.outgoing.clear()
        for connection in list(self._connections.values()):
            self._forget(connection)

    def close(self) -> None:
        """End everything now, drained or not."""
        self.guest_gone()
        for connection in list(self._draining):
            self._close(connection)

    def expire(self) -> None:
        """Reset connections whose time is over."""
        now = self._owner.now()
        for connection in list(self._timed):
            if connection.deadline is not None and connection.deadline <= now:
                self._reset(connection)

    def _set_deadline(self, connection: Connection, seconds: float | None) -> None:
        if seconds is None:
            connection.deadline = None
            self._timed.discard(connection)
        else:
            connection.deadline = self._owner.now() + seconds
            self._timed.add(connection)
