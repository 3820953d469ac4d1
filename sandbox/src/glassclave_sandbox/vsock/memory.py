"""Guest memory as the front-end shares it: regions of files, every access inside one region or refused."""

from __future__ import annotations

import itertools
import mmap
import struct
from dataclasses import dataclass

from glassclave_sandbox.vsock.errors import FrontEndError, GuestError
from glassclave_sandbox.vsock.vhost_user import Message

_COUNT = struct.Struct("<II")
_REGION = struct.Struct("<QQQQ")
_REGIONS_LIMIT = 8
_ADDRESS_LIMIT = 1 << 64


@dataclass(frozen=True, slots=True)
class Region:
    """One piece of guest memory. Addresses are where its first byte lies; ``view`` is the bytes."""

    guest_address: int
    user_address: int
    view: memoryview


class GuestMemory:
    """All regions of one guest.

    Nothing is unmapped by hand: views of old regions may be in use, and the mapping ends with the last view.
    """

    def __init__(self, regions: tuple[Region, ...] = ()) -> None:
        self._regions = regions

    def guest(self, address: int, length: int) -> memoryview:
        """``length`` bytes at a guest address (descriptors name these); `GuestError` if outside."""
        for region in self._regions:
            start = address - region.guest_address
            if start >= 0 and start + length <= len(region.view):
                return region.view[start : start + length]
        raise GuestError(
            "vsock.ring.address",
            f"{length} bytes at {address:#x} do not lie inside one piece of guest memory",
        )

    def user(self, address: int, length: int) -> memoryview:
        """``length`` bytes at an address of QEMU's (rings are named so); `FrontEndError` if outside."""
        for region in self._regions:
            start = address - region.user_address
            if start >= 0 and start + length <= len(region.view):
                return region.view[start : start + length]
        raise FrontEndError("vhost-user.address", f"a ring at {address:#x} does not lie inside shared memory")


def parse_memory_table(message: Message) -> GuestMemory:
    """The table of a SET_MEM_TABLE message, mapped. Raises `FrontEndError`. Descriptors stay the caller's."""
    payload = message.payload
    if len(payload) < _COUNT.size:
        raise FrontEndError("vhost-user.size", "the memory table is too short")
    count, _padding = _COUNT.unpack_from(payload)
    if not 1 <= count <= _REGIONS_LIMIT or len(message.fds) != count:
        raise FrontEndError(
            "vhost-user.memory",
            f"{count} regions with {len(message.fds)} descriptors; 1 to {_REGIONS_LIMIT}, one each",
        )
    if len(payload) < _COUNT.size + count * _REGION.size:
        raise FrontEndError("vhost-user.size", "the memory table is too short")
    regions = tuple(
        _map_region(fd, *_REGION.unpack_from(payload, _COUNT.size + index * _REGION.size))
        for index, fd in enumerate(message.fds)
    )
    ordered = sorted(regions, key=lambda region: region.guest_address)
    for low, high in itertools.pairwise(ordered):
        if low.guest_address + len(low.view) > high.guest_address:
            raise FrontEndError("vhost-user.memory", "two memory regions overlap")
    return GuestMemory(regions)


def _map_region(fd: int, guest_address: int, size: int, user_address: int, offset: int) -> Region:
    if size == 0 or max(guest_address, user_address, offset) + size > _ADDRESS_LIMIT:
        raise FrontEndError("vhost-user.memory", f"a region of {size} bytes at {guest_address:#x}")
    aligned = offset - offset % mmap.ALLOCATIONGRANULARITY
    skipped = offset - aligned
    try:
        mapping = mmap.mmap(fd, skipped + size, offset=aligned)
    except (OSError, ValueError, OverflowError) as error:
        # ValueError: longer than the file behind it, the one mistake that would end in a bus error later.
        raise FrontEndError("vhost-user.memory", f"a region cannot be mapped: {error}") from error
    return Region(guest_address, user_address, memoryview(mapping)[skipped : skipped + size])
