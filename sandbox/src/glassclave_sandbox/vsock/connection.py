"""One stream between the guest and a host socket: its state, its credit, the bytes on their way.

Credit (virtio 1.2 §5.10.6.3): each side tells how many bytes it can hold (``buf_alloc``) and how many it has
passed on (``fwd_cnt``, modulo 2^32). *Passed on* means written to the host socket, not received: so the bytes
held here never exceed what was promised, however slow the host reads.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

from glassclave_sandbox.vsock.packet import TYPE_STREAM, Header, Op, Shutdown

BUFFER_SIZE = 262144
"""Bytes the guest may have on their way: more gains no speed, less costs it."""
_UPDATE_AFTER = BUFFER_SIZE // 4
_MASK = 0xFFFFFFFF
_VECTORS_LIMIT = 64

Answer = Callable[["Connection", bool], None]


class Key(NamedTuple):
    """What tells connections apart; the guest's CID is always the same."""

    host_cid: int
    host_port: int
    guest_port: int


class State(Enum):
    """Life of a connection. ``DRAINING``: over for the guest, its last bytes go to the host still."""

    CONNECTING = "connecting"
    OPEN = "open"
    DRAINING = "draining"


class Connection:
    """A stream. ``answer`` is called once when a host-to-guest request is accepted or refused."""

    def __init__(
        self, key: Key, guest_cid: int, sock: socket.socket, state: State, answer: Answer | None = None
    ) -> None:
        self.key = key
        self.guest_cid = guest_cid
        self.sock = sock
        self.state = state
        self.answer = answer
        self.deadline: float | None = None
        # Set true at first: edge-triggered readiness is learnt by trying.
        self.can_read = True
        self.can_write = True
        self.hung_up = False
        self.guest_shutdown = Shutdown.NONE
        self.host_shutdown = Shutdown.NONE
        self.update_queued = False
        self._peer_buffer = 0
        self._peer_forwarded = 0
        self._sent = 0
        self._received = 0
        self._forwarded = 0
        self._advertised = 0
        self._queue = bytearray()
        self._write_side_shut = False

    # Towards the guest

    def note_credit(self, header: Header) -> bool:
        """Take the guest's counts; ``False`` if it claims to have passed on what was never sent."""
        if (self._sent - header.fwd_cnt) & _MASK >= 1 << 31:
            return False
        self._peer_buffer = header.buf_alloc
        self._peer_forwarded = header.fwd_cnt
        return True

    def credit(self) -> int:
        """Bytes that may be sent to the guest now."""
        in_flight = (self._sent - self._peer_forwarded) & _MASK
        return max(0, self._peer_buffer - in_flight)  # a guest may shrink its buffer below what is in flight

    def wants_read(self) -> bool:
        """Whether bytes from the host could still go to the guest."""
        return (
            self.state is State.OPEN
            and self.can_read
            and not self.host_shutdown & Shutdown.SEND
            and not self.guest_shutdown & Shutdown.RECEIVE
        )

    def read_into(self, views: Sequence[memoryview]) -> int | None:
        """Bytes read from the host; 0 at its end; ``None`` if there are none now."""
        try:
            size = self.sock.recvmsg_into(views)[0]
        except BlockingIOError:
            self.can_read = False
            return None
        except OSError:  # ECONNRESET: the host is gone, which is an end of its bytes
            return 0
        self._sent = (self._sent + size) & _MASK
        return size

    def packet(self, op: Op, *, length: int = 0, flags: int = 0) -> Header:
        """A header to the guest. It carries, and thereby advertises, our counts (virtio 1.2 §5.10.6.3)."""
        self._advertised = self._forwarded
        return Header(
            self.key.host_cid,
            self.guest_cid,
            self.key.host_port,
            self.key.guest_port,
            length,
            TYPE_STREAM,
            op,
            flags,
            BUFFER_SIZE,
            self._forwarded & _MASK,
        )

    # Towards the host

    def needs_update(self) -> bool:
        """Whether the guest should hear of new room: Linux never asks."""
        return self._forwarded - self._advertised >= _UPDATE_AFTER

    def accept_data(self, views: Sequence[memoryview], length: int) -> bool:
        """Pass on a packet's payload; ``False`` if it is more than was promised to be held.

        Bytes that the host does not take now are copied: the views belong to the guest again afterwards.
        """
        if self._received + length - self._advertised > BUFFER_SIZE:
            return False
        self._received += length
        if self.host_shutdown & Shutdown.RECEIVE:
            self._forwarded = self._received  # nobody reads: consumed, so that the guest does not wait
            return True
        written = 0
        if not self._queue and self.can_write:
            written = self._write(views)
        if not self.host_shutdown & Shutdown.RECEIVE:
            for view in views:
                if written >= len(view):
                    written -= len(view)
                else:
                    self._queue += view[written:]
                    written = 0
        return True

    def flush(self) -> None:
        """Write what waits, then pass on the guest's end of stream."""
        while self._queue and self.can_write:
            with memoryview(self._queue) as view:
                written = self._write([view])
            del self._queue[:written]
        if not self._queue and self.guest_shutdown & Shutdown.SEND and not self._write_side_shut:
            self._write_side_shut = True
            self._shut(socket.SHUT_WR)

    def _write(self, views: Sequence[memoryview]) -> int:
        if len(views) > _VECTORS_LIMIT:
            views = [memoryview(b"".join(views))]
        try:
            written = self.sock.sendmsg(views, (), socket.MSG_NOSIGNAL)
        except BlockingIOError:
            self.can_write = False
            return 0
        except OSError:  # EPIPE, ECONNRESET: nobody will read any more
            self.hung_up = True
            self.can_write = False
            return 0
        self._forwarded += written
        return written

    def stop_writing(self) -> None:
        """The host reads no more: what waits for it is lost, and counts as passed on."""
        self._queue.clear()
        self._forwarded = self._received

    def stop_reading(self) -> None:
        """The guest reads no more: let the host's writes fail."""
        self._shut(socket.SHUT_RD)

    def _shut(self, how: int) -> None:
        try:
            self.sock.shutdown(how)
        except OSError:  # not connected any more: shut already
            return

    @property
    def waiting_bytes(self) -> int:
        """Bytes held for the host."""
        return len(self._queue)
