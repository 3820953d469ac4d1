"""The vsock packet header (virtio 1.2 §5.10.6): 44 bytes, little-endian, before every payload."""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple

_HEADER = struct.Struct("<QQIIIHHIII")

HEADER_SIZE = _HEADER.size
TYPE_STREAM = 1
HYPERVISOR_CID = 2
PARENT_CID = 3
"""On Nitro hardware the parent instance is CID 3, not the host's usual 2."""
RESERVED_CIDS = frozenset({0, 1, HYPERVISOR_CID, 0xFFFFFFFF})
PORT_ANY = 0xFFFFFFFF


class Op(IntEnum):
    """Operations (virtio 1.2 §5.10.6)."""

    REQUEST = 1
    RESPONSE = 2
    RST = 3
    SHUTDOWN = 4
    RW = 5
    CREDIT_UPDATE = 6
    CREDIT_REQUEST = 7


class Shutdown(IntFlag):
    """Flags of a SHUTDOWN packet; they add up over a connection's life."""

    NONE = 0
    RECEIVE = 1
    SEND = 2
    BOTH = 3


class Header(NamedTuple):
    """A packet header. Counts are bytes; ``fwd_cnt`` runs free modulo 2^32."""

    src_cid: int
    dst_cid: int
    src_port: int
    dst_port: int
    length: int
    type: int
    op: int
    flags: int
    buf_alloc: int
    fwd_cnt: int

    def encode(self) -> bytes:
        """The 44 bytes on the ring."""
        return _HEADER.pack(*self)

    def reset(self) -> Header:
        """The RST that answers this packet: same type, addresses swapped (virtio 1.2 §5.10.6.4)."""
        return Header(self.dst_cid, self.src_cid, self.dst_port, self.src_port, 0, self.type, Op.RST, 0, 0, 0)


def parse_header(data: bytes) -> Header:
    """A header from exactly 44 bytes (the caller has checked the size)."""
    return Header._make(_HEADER.unpack(data))
