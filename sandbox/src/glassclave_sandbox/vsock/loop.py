"""One epoll instance and who wants to hear of which descriptor."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

from glassclave_sandbox.vsock.ring import clear_event, signal_event

OnEvents = Callable[[int], None]

_EDGE = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
READABLE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
WRITABLE = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
HUNG_UP = select.EPOLLHUP


class Loop:
    """Descriptors and callbacks. All but `wake` belongs to one thread."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, OnEvents] = {}
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch_level(self._wake_fd, lambda _events: clear_event(self._wake_fd))

    def watch_edge(self, fd: int, callback: OnEvents) -> None:
        """Both directions, edge-triggered: never modified, and a hang-up that stays does not spin.

        Watching a descriptor again replaces its callback and reports the present state anew.
        """
        self.unwatch(fd)
        self._epoll.register(fd, _EDGE)
        self._callbacks[fd] = callback

    def watch_level(self, fd: int, callback: OnEvents) -> None:
        """Readable, level-triggered."""
        self.unwatch(fd)
        self._epoll.register(fd, select.EPOLLIN)  # first: a regular file is refused here
        self._callbacks[fd] = callback

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor; unknown ones are fine."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def poll(self, seconds: float | None) -> None:
        """Wait at most so long (``None``: without end), then call back for what happened."""
        for fd, events in self._epoll.poll(seconds):
            callback = self._callbacks.get(fd)
            if callback is not None:  # else unwatched by a callback before it in the same batch
                callback(events)

    def wake(self) -> None:
        """End the present `poll`; from any thread."""
        signal_event(self._wake_fd)

    def close(self) -> None:
        """Close the epoll instance; the descriptors watched are their owners'."""
        self._callbacks.clear()
        self._epoll.close()
        os.close(self._wake_fd)
