"""Messages of the vhost-user protocol (QEMU documentation, interop/vhost-user, "Message Specification")."""

from __future__ import annotations

import array
import os
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum

from glassclave_sandbox.vsock.errors import FrontEndError

_HEADER = struct.Struct("<III")
_U64 = struct.Struct("<Q")
_RING_VALUE = struct.Struct("<II")
_RING_ADDRESSES = struct.Struct("<IIQQQQ")
_CONFIG = struct.Struct("<III")

_VERSION = 0x1
_REPLY = 0x4
_NEED_REPLY = 0x8
_PAYLOAD_LIMIT = 4096
_FDS_LIMIT = 8

FEATURE_PROTOCOL_FEATURES = 1 << 30
FEATURE_VERSION_1 = 1 << 32
FEATURES = FEATURE_VERSION_1 | FEATURE_PROTOCOL_FEATURES
"""Neither EVENT_IDX nor INDIRECT_DESC nor SEQPACKET: they gain nothing measurable and need fences or code."""

PROTOCOL_MQ = 1 << 0
PROTOCOL_REPLY_ACK = 1 << 3
PROTOCOL_CONFIG = 1 << 9
PROTOCOL_FEATURES = PROTOCOL_CONFIG | PROTOCOL_REPLY_ACK | PROTOCOL_MQ

RING_COUNT = 2
"""Receive (0) and transmit (1); the event queue stays with QEMU."""
_NO_FD = 1 << 8


class Request(IntEnum):
    """The messages that this device knows."""

    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    SET_MEM_TABLE = 5
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    GET_CONFIG = 24


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``fds`` belong to whoever holds the message: keep or close each."""

    request: int
    flags: int
    payload: bytes
    fds: tuple[int, ...]

    @property
    def needs_ack(self) -> bool:
        """Whether QEMU waits for a success value (only meaningful once REPLY_ACK is negotiated)."""
        return bool(self.flags & _NEED_REPLY)

    def _unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        if len(self.payload) != layout.size:
            raise FrontEndError(
                "vhost-user.size",
                f"message {self.request} has {len(self.payload)} bytes, {layout.size} are needed",
            )
        return layout.unpack(self.payload)

    def u64(self) -> int:
        """A payload of one 64-bit number."""
        return self._unpack(_U64)[0]

    def ring_value(self) -> tuple[int, int]:
        """Ring index (checked) and a 32-bit value."""
        ring, value = self._unpack(_RING_VALUE)
        return _checked_ring(ring), value

    def ring_addresses(self) -> tuple[int, int, int, int]:
        """Ring index (checked), then QEMU's user addresses of descriptors, used ring, available ring."""
        ring, _flags, descriptors, used, available, _log = self._unpack(_RING_ADDRESSES)
        return _checked_ring(ring), descriptors, used, available

    def ring_fd(self) -> tuple[int, int | None]:
        """Ring index (checked) and the descriptor that came along, if one did."""
        value = self.u64()
        ring = _checked_ring(value & 0xFF)
        if value & _NO_FD:
            if self.fds:
                raise FrontEndError("vhost-user.fds", "a descriptor came with a message that says none does")
            return ring, None
        if len(self.fds) != 1:
            raise FrontEndError("vhost-user.fds", f"{len(self.fds)} descriptors came, 1 is needed")
        return ring, self.fds[0]

    def config_range(self) -> tuple[int, int]:
        """Offset and size of a GET_CONFIG, whose payload ends in ``size`` bytes of room."""
        if len(self.payload) < _CONFIG.size:
            raise FrontEndError("vhost-user.size", "GET_CONFIG is too short")
        offset, size, _flags = _CONFIG.unpack_from(self.payload)
        if len(self.payload) != _CONFIG.size + size:
            raise FrontEndError("vhost-user.size", "GET_CONFIG's room is not of the size it names")
        return offset, size

    def close_fds(self) -> None:
        """Close every descriptor that came along."""
        for fd in self.fds:
            os.close(fd)


def _checked_ring(ring: int) -> int:
    if ring >= RING_COUNT:
        raise FrontEndError("vhost-user.ring", f"ring {ring} does not exist, there are {RING_COUNT}")
    return ring


def encode_reply(request: int, payload: bytes) -> bytes:
    """A reply to ``request``."""
    return _HEADER.pack(request, _VERSION | _REPLY, len(payload)) + payload


def encode_u64(request: int, value: int) -> bytes:
    """A reply of one 64-bit number; 0 is success where it is an acknowledgement."""
    return encode_reply(request, _U64.pack(value))


def encode_ring_value(request: int, ring: int, value: int) -> bytes:
    """A reply about one ring."""
    return encode_reply(request, _RING_VALUE.pack(ring, value))


def encode_config(message: Message, guest_cid: int) -> bytes:
    """The answer to GET_CONFIG: the wanted part of the 8-byte configuration space (virtio 1.2 §5.10.4)."""
    offset, size = message.config_range()
    part = _U64.pack(guest_cid)[offset : offset + size]
    # QEMU demands the size that it asked for.
    return encode_reply(message.request, message.payload[: _CONFIG.size] + part.ljust(size, b"\0"))


class MessageReader:
    """Messages from a non-blocking socket, each with the descriptors that came with it.

    Reads exactly one message's bytes at a time: descriptors come with a message's first byte, and a longer
    read could attach them to its neighbour.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._data = b""
        self._fds: list[int] = []

    def read(self) -> Message | None:
        """The next message; ``None`` while it is incomplete. `EOFError` when QEMU closed the connection.

        Raises `FrontEndError`.
        """
        while True:
            wanted = self._missing()
            if wanted == 0:
                return self._take()
            try:
                data, ancillary, flags, _ = self._sock.recvmsg(
                    wanted, socket.CMSG_SPACE(_FDS_LIMIT * 4), socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return None
            except OSError as error:
                raise EOFError(str(error)) from error
            for level, kind, content in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    self._fds += array.array("i", content[: len(content) // 4 * 4])
            if flags & socket.MSG_CTRUNC:
                raise FrontEndError("vhost-user.fds", f"more than {_FDS_LIMIT} descriptors with one message")
            if not data:
                raise EOFError("connection closed")
            self._data += data

    def _missing(self) -> int:
        if len(self._data) < _HEADER.size:
            return _HEADER.size - len(self._data)
        _request, flags, size = _HEADER.unpack_from(self._data)
        if flags & 0x3 != _VERSION or flags & _REPLY:
            raise FrontEndError("vhost-user.flags", f"flags {flags:#x} are not those of a request, version 1")
        if size > _PAYLOAD_LIMIT:
            raise FrontEndError("vhost-user.size", f"a message of {size} bytes, at most {_PAYLOAD_LIMIT}")
        return int(_HEADER.size + size - len(self._data))

    def _take(self) -> Message:
        request, flags, _size = _HEADER.unpack_from(self._data)
        message = Message(request, flags, self._data[_HEADER.size :], tuple(self._fds))
        self._data, self._fds = b"", []
        return message

    def close(self) -> None:
        """Close descriptors of a message that never became whole."""
        for fd in self._fds:
            os.close(fd)
        self._fds = []
