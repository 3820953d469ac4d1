"""A split virtqueue as the device sees it (virtio 1.2 §2.7), with every bound checked.

Everything in the shared memory may be hostile and may change while it is read: each field is read once.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from glassclave_sandbox.vsock.errors import FrontEndError, GuestError
from glassclave_sandbox.vsock.memory import GuestMemory

_DESCRIPTOR = struct.Struct("<QIHH")
_USED = struct.Struct("<II")
_U16 = struct.Struct("<H")
_ONE = struct.pack("<Q", 1)

_FLAG_NEXT = 1
_FLAG_WRITE = 2
_FLAG_INDIRECT = 4

SIZE_LIMIT = 32768
"""Largest ring that a split virtqueue may have (virtio 1.2 §2.7)."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One buffer that the guest handed over: its descriptors' bytes, in order, by direction."""

    head: int
    readable: list[memoryview]
    writable: list[memoryview]


class Ring:
    """One ring. Configured by QEMU's messages, then `start`; stopped by QEMU or by a guest's mistake."""

    def __init__(self) -> None:
        self.size = 0
        self.addresses: tuple[int, int, int] | None = None
        self.kick_fd: int | None = None
        self.call_fd: int | None = None
        self.enabled = False
        self.running = False
        self.next_available = 0
        self._next_used = 0
        self._unpublished = 0
        self._memory = GuestMemory()
        self._descriptors = self._used = self._available = memoryview(b"")

    def set_size(self, size: int) -> None:
        """From SET_VRING_NUM: a power of two (virtio 1.2 §2.7)."""
        if not 1 <= size <= SIZE_LIMIT or size & (size - 1):
            raise FrontEndError("vhost-user.ring", f"a ring of {size} descriptors")
        self.size = size

    def start(self, memory: GuestMemory) -> None:
        """Resolve the addresses against ``memory`` and serve from `next_available` on."""
        if self.addresses is None or self.size == 0:
            raise FrontEndError("vhost-user.ring", "a ring was started before it was described")
        descriptors, used, available = self.addresses
        self._memory = memory
        self._descriptors = memory.user(descriptors, 16 * self.size)
        self._used = memory.user(used, 4 + 8 * self.size)
        self._available = memory.user(available, 4 + 2 * self.size)
        self._next_used = _U16.unpack_from(self._used, 2)[0]
        self._unpublished = 0
        self.running = True

    def stop(self) -> None:
        """Touch the guest's memory no more."""
        self.running = False
        self._memory = GuestMemory()
        self._descriptors = self._used = self._available = memoryview(b"")

    @property
    def ready(self) -> bool:
        """Whether buffers may be taken."""
        return self.running and self.enabled

    def pop(self) -> Chain | None:
        """The next buffer, or ``None``. Raises `GuestError`."""
        published = _U16.unpack_from(self._available, 2)[0]
        waiting = (published - self.next_available) & 0xFFFF
        if waiting == 0:
            return None
        if waiting > self.size:
            raise GuestError(
                "vsock.ring.index", f"{waiting} buffers announced on a ring of {self.size} descriptors"
            )
        head = _U16.unpack_from(self._available, 4 + 2 * (self.next_available % self.size))[0]
        chain = self._follow(head)
        self.next_available = (self.next_available + 1) & 0xFFFF
        return chain

    def unpop(self, count: int) -> None:
        """Give back the last ``count`` buffers, that were taken and not used."""
        self.next_available = (self.next_available - count) & 0xFFFF

    def _follow(self, head: int) -> Chain:
        readable: list[memoryview] = []
        writable: list[memoryview] = []
        index = head
        for _ in range(self.size):  # a longer chain is a loop
            if index >= self.size:
                raise GuestError("vsock.ring.descriptor", f"descriptor {index} of {self.size}")
            address, length, flags, following = _DESCRIPTOR.unpack_from(self._descriptors, 16 * index)
            if flags & _FLAG_INDIRECT:
                raise GuestError("vsock.ring.indirect", "an indirect descriptor, a feature never offered")
            view = self._memory.guest(address, length)
            if flags & _FLAG_WRITE:
                writable.append(view)
            elif writable:
                raise GuestError("vsock.ring.order", "a readable descriptor after a writable one")
            else:
                readable.append(view)
            if not flags & _FLAG_NEXT:
                return Chain(head, readable, writable)
            index = following
        raise GuestError("vsock.ring.loop", f"a chain longer than the ring's {self.size} descriptors")

    def push(self, head: int, written: int) -> None:
        """Return a buffer with ``written`` bytes in it; the guest sees it at the next `publish`."""
        slot = (self._next_used + self._unpublished) % self.size
        _USED.pack_into(self._used, 4 + 8 * slot, head, written)
        self._unpublished += 1

    def publish(self) -> None:
        """Show the guest all returned buffers and interrupt it, always: no suppression, so no fence."""
        if self._unpublished == 0:
            return
        self._next_used = (self._next_used + self._unpublished) & 0xFFFF
        self._unpublished = 0
        _U16.pack_into(self._used, 2, self._next_used)
        if self.call_fd is not None:
            signal_event(self.call_fd)


def signal_event(fd: int) -> None:
    """Add one to an eventfd. A full counter has been signalled already."""
    try:
        os.write(fd, _ONE)
    except BlockingIOError:
        return
    except OSError as error:
        raise FrontEndError(
            "vhost-user.fds", f"an interrupt cannot be signalled: {error.strerror}"
        ) from error


def clear_event(fd: int) -> None:
    """Reset an eventfd, if it was set."""
    try:
        os.read(fd, 8)
    except BlockingIOError:
        return
    except OSError as error:
        raise FrontEndError("vhost-user.fds", f"a kick cannot be read: {error.strerror}") from error
