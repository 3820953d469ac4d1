"""QEMU's side of the device: vhost-user messages turned into ring state."""

from __future__ import annotations

import os
import socket
from typing import Protocol

from glassclave_sandbox.vsock import vhost_user
from glassclave_sandbox.vsock.errors import FrontEndError
from glassclave_sandbox.vsock.memory import GuestMemory, parse_memory_table
from glassclave_sandbox.vsock.ring import Ring
from glassclave_sandbox.vsock.vhost_user import Message, MessageReader, Request


class RingOwner(Protocol):
    """Who serves the rings."""

    def ring_started(self, index: int) -> None:
        """The ring may be used from now on."""
        ...

    def ring_stopping(self, index: int) -> None:
        """The ring is about to stop; what the guest left on it should be taken first."""
        ...

    def watch_kick(self, index: int, fd: int) -> None:
        """The guest's kicks come on this descriptor now."""
        ...

    def unwatch_kick(self, fd: int) -> None:
        """The descriptor is closed next."""
        ...


class FrontEnd:
    """The vhost-user connection: reads messages, answers them, configures the rings."""

    def __init__(self, sock: socket.socket, guest_cid: int, owner: RingOwner) -> None:
        self._sock = sock
        self._reader = MessageReader(sock)
        self._guest_cid = guest_cid
        self._owner = owner
        self._memory = GuestMemory()
        self._features = 0
        self._protocol_features = 0
        self._error_fds: dict[int, int] = {}
        self.rings = tuple(Ring() for _ in range(vhost_user.RING_COUNT))

    def process(self) -> None:
        """Handle every message that is there. `EOFError` when QEMU is gone; `FrontEndError`."""
        while (message := self._reader.read()) is not None:
            try:
                self._handle(message)
            finally:
                message.close_fds()  # what is kept was duplicated

    def _handle(self, message: Message) -> None:
        match message.request:
            case Request.GET_FEATURES:
                self._send(vhost_user.encode_u64(message.request, vhost_user.FEATURES))
            case Request.GET_PROTOCOL_FEATURES:
                self._send(vhost_user.encode_u64(message.request, vhost_user.PROTOCOL_FEATURES))
            case Request.GET_QUEUE_NUM:
                self._send(vhost_user.encode_u64(message.request, vhost_user.RING_COUNT))
            case Request.GET_CONFIG:
                self._send(vhost_user.encode_config(message, self._guest_cid))
            case Request.GET_VRING_BASE:
                index, _ = message.ring_value()
                self._stop(index)
                base = self.rings[index].next_available
                self._send(vhost_user.encode_ring_value(message.request, index, base))
            case _:
                self._configure(message)
                # A failure raises and ends the device, so an acknowledgement always says success.
                if message.needs_ack and self._protocol_features & vhost_user.PROTOCOL_REPLY_ACK:
                    self._send(vhost_user.encode_u64(message.request, 0))

    def _configure(self, message: Message) -> None:
        match message.request:
            case Request.SET_OWNER:
                pass
            case Request.SET_FEATURES:
                self._features = _subset(message.u64(), vhost_user.FEATURES)
            case Request.SET_PROTOCOL_FEATURES:
                self._protocol_features = _subset(message.u64(), vhost_user.PROTOCOL_FEATURES)
            case Request.SET_MEM_TABLE:
                self._set_memory(message)
            case Request.SET_VRING_NUM:
                index, size = message.ring_value()
                self._stopped(index).set_size(size)
            case Request.SET_VRING_BASE:
                index, base = message.ring_value()
                self._stopped(index).next_available = base & 0xFFFF
            case Request.SET_VRING_ADDR:
                index, *addresses = message.ring_addresses()
                self._stopped(index).addresses = (addresses[0], addresses[1], addresses[2])
            case Request.SET_VRING_ENABLE:
                self._enable(*message.ring_value())
            case Request.SET_VRING_KICK | Request.SET_VRING_CALL | Request.SET_VRING_ERR:
                self._set_fd(message)
            case _:
                raise FrontEndError("vhost-user.request", f"message {message.request} is not known")

    def _stopped(self, index: int) -> Ring:
        ring = self.rings[index]
        if ring.running:
            raise FrontEndError("vhost-user.ring", f"ring {index} is changed while it runs")
        return ring

    def _set_memory(self, message: Message) -> None:
        self._memory = parse_memory_table(message)
        for ring in self.rings:
            if ring.running:
                ring.start(self._memory)

    def _set_fd(self, message: Message) -> None:
        index, received = message.ring_fd()
        ring = self.rings[index]
        fd = None if received is None else os.dup(received)
        if fd is not None:
            os.set_blocking(fd, False)
        if message.request == Request.SET_VRING_CALL:
            _close_fd(ring.call_fd)
            ring.call_fd = fd
        elif message.request == Request.SET_VRING_ERR:
            _close_fd(self._error_fds.pop(index, None))
            if fd is not None:
                self._error_fds[index] = fd
        else:
            self._drop_kick(ring)
            if fd is None:
                raise FrontEndError("vhost-user.fds", f"ring {index} would have to be polled")
            ring.kick_fd = fd
            self._owner.watch_kick(index, fd)
            if not self._features & vhost_user.FEATURE_PROTOCOL_FEATURES:
                ring.enabled = True  # without that feature rings are enabled from the start
            self._start_if_ready(index)

    def _drop_kick(self, ring: Ring) -> None:
        if ring.kick_fd is not None:
            self._owner.unwatch_kick(ring.kick_fd)
            os.close(ring.kick_fd)
            ring.kick_fd = None

    def _enable(self, index: int, value: int) -> None:
        ring = self.rings[index]
        if value:
            ring.enabled = True
            self._start_if_ready(index)
        elif ring.enabled:
            self._owner.ring_stopping(index)
            ring.enabled = False

    def _start_if_ready(self, index: int) -> None:
        ring = self.rings[index]
        if ring.enabled and ring.kick_fd is not None:
            if not ring.running:
                ring.start(self._memory)
            self._owner.ring_started(index)

    def _stop(self, index: int) -> None:
        ring = self.rings[index]
        if ring.running:
            if ring.enabled:
                self._owner.ring_stopping(index)
            ring.stop()
        self._drop_kick(ring)

    def _send(self, reply: bytes) -> None:
        try:
            sent = self._sock.send(reply, socket.MSG_NOSIGNAL)
        except OSError as error:
            raise EOFError(str(error)) from error
        if sent != len(reply):
            raise FrontEndError("vhost-user.reply", "QEMU does not take its answers")

    def close(self) -> None:
        """QEMU is gone, or must go: close all that it gave."""
        for ring in self.rings:
            ring.stop()
            ring.enabled = False
            self._drop_kick(ring)
            _close_fd(ring.call_fd)
            ring.call_fd = None
        for fd in self._error_fds.values():
            os.close(fd)
        self._error_fds.clear()
        self._memory = GuestMemory()
        self._reader.close()
        self._sock.close()


def _close_fd(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)


def _subset(features: int, offered: int) -> int:
    if features & ~offered:
        raise FrontEndError("vhost-user.features", f"features {features:#x} were not all offered")
    return features
