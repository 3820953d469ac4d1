"""The device: one thread, one epoll, one guest. A guest can break its own vsock, never this loop."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path

from glassclave.errors import UsageError
from glassclave_sandbox.vsock.connection import Connection
from glassclave_sandbox.vsock.doors import Doors
from glassclave_sandbox.vsock.errors import FrontEndError, GuestError
from glassclave_sandbox.vsock.events import Event, EventKind, Report
from glassclave_sandbox.vsock.front_end import FrontEnd
from glassclave_sandbox.vsock.host import HostSockets
from glassclave_sandbox.vsock.loop import HUNG_UP, READABLE, WRITABLE, Loop
from glassclave_sandbox.vsock.packet import PARENT_CID, RESERVED_CIDS
from glassclave_sandbox.vsock.ports import RingPorts
from glassclave_sandbox.vsock.switch import Switch

RX, TX = 0, 1
_TICK_SECONDS = 0.25
_CONNECTIONS_PER_ROUND = 64


class Device:
    """A vsock device for one QEMU.

    ``front_end``: our end of the vhost-user socket pair. ``directory`` and ``named``: see `HostSockets`.
    ``report`` hears of events on the device's thread. Start it with `start`, end it with `close`.
    """

    def __init__(
        self,
        front_end: socket.socket,
        *,
        guest_cid: int,
        directory: Path | None = None,
        named: Mapping[tuple[int, int], Path] | None = None,
        report: Report = lambda _event: None,
        on_finished: Callable[[], None] = lambda: None,
    ) -> None:
        if guest_cid in RESERVED_CIDS or not PARENT_CID < guest_cid < 1 << 32:
            # The guest keeps 32 bits of it, and takes CID 3 for itself, where its parent should be.
            raise UsageError(
                "sandbox.cid", f"CID {guest_cid} cannot be a guest's", hint="use 4 to 4294967294"
            )
        front_end.setblocking(False)
        self._report = report
        self._on_finished = on_finished
        self._loop = Loop()
        self._front_end_socket = front_end
        self._front_end: FrontEnd | None = FrontEnd(front_end, guest_cid, self)
        self._switch = Switch(guest_cid, self)
        self._ports = RingPorts(self._front_end.rings[RX], self._front_end.rings[TX], self._switch)
        self._doors = Doors(
            self._loop,
            HostSockets(directory, named or {}),
            request=self._request,
            now=self.now,
            on_heartbeat=lambda: self._tell(EventKind.HEARTBEAT, "heartbeat answered"),
        )
        self._ready: dict[Connection, None] = {}
        self._commands: deque[Callable[[], None]] = deque()
        self._drain_until: float | None = None
        self._thread = threading.Thread(target=self._run, name="vsock", daemon=True)
        self._post_lock = threading.Lock()
        self.finished = threading.Event()
        self.failure: FrontEndError | None = None

    # For other threads

    def start(self) -> None:
        """Serve on a thread of its own."""
        self._thread.start()

    def connect(self, port: int, *, timeout: float = 10.0) -> socket.socket:
        """A blocking socket to the guest's ``port``. `ConnectionRefusedError`, `TimeoutError`."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        accepted: Future[bool] = Future()

        def answer(connection: Connection, ok: bool) -> None:
            if not ok:
                connection.sock.close()
            accepted.set_result(ok)

        if not self._post(lambda: self._request(theirs, port, answer)):
            theirs.close()
            accepted.set_result(False)
        try:
            if not accepted.result(timeout):
                raise ConnectionRefusedError(f"the guest refused port {port}")
        except BaseException:
            ours.close()
            raise
        return ours

    def listen_control(self, listener: socket.socket) -> None:
        """Serve ``CONNECT <port>`` lines on a non-blocking listener, which becomes the device's."""
        if not self._post(lambda: self._doors.serve_control(listener)):
            listener.close()

    def forward(self, listener: socket.socket, guest_port: int) -> None:
        """Connect every client of a non-blocking listener to ``guest_port``; the listener becomes ours."""
        if not self._post(lambda: self._doors.forward(listener, guest_port)):
            listener.close()

    def close(self, *, drain_seconds: float = 5.0) -> None:
        """End: the guest's last bytes have so long to reach host programs. Idempotent."""
        self._post(lambda: self._begin_close(drain_seconds))
        if self._thread.ident is None:
            self._shut()
        elif self._thread is not threading.current_thread():
            self._thread.join()

    def _post(self, command: Callable[[], None]) -> bool:
        """Have the loop's thread do something; ``False`` if it has ended."""
        with self._post_lock:  # so that nothing is posted to, and nobody wakes, a loop that is closed
            if self.finished.is_set():
                return False
            self._commands.append(command)
            self._loop.wake()
            return True

    # The loop

    def _run(self) -> None:
        try:
            self._loop.watch_level(self._front_end_socket.fileno(), self._on_front_end)
            while not self._done():
                self._loop.poll(self._poll_seconds())
                while self._commands:
                    self._commands.popleft()()
                self._round()
        except FrontEndError as error:
            self.failure = error
        finally:
            self._shut()

    def _done(self) -> bool:
        if self._drain_until is None:
            return False
        return self._switch.draining == 0 or self.now() >= self._drain_until

    def _poll_seconds(self) -> float | None:
        if self._ready or self._ports.busy or self._commands:
            return 0
        timed = self._switch.has_deadlines or self._doors.has_deadlines or self._drain_until is not None
        return _TICK_SECONDS if timed else None

    def _round(self) -> None:
        """A bounded piece of work for everybody who can go on."""
        try:
            self._ports.take_packets()
            self._ports.send_answers()
            for connection in list(self._ready)[:_CONNECTIONS_PER_ROUND]:
                del self._ready[connection]
                self._switch.pump_host(connection)
                if self._ports.pump_guest(connection):
                    self._ready[connection] = None
            self._ports.send_answers()
            self._ports.publish()
            for connection in self._ports.take_unblocked():
                self._ready[connection] = None
        except GuestError as error:
            self._fault(error)
        self._expire()

    def _fault(self, error: GuestError) -> None:
        """The guest broke a ring: it has no vsock any more, until it resets the device."""
        self._ports.stop()
        self._switch.guest_gone()
        self._tell(EventKind.GUEST_FAULT, f"the guest broke its ring: {error.message} [{error.code}]")

    def _expire(self) -> None:
        if self._switch.has_deadlines:
            self._switch.expire()
        self._doors.expire()

    def _begin_close(self, drain_seconds: float) -> None:
        if self._drain_until is None:
            self._drain_until = self.now() + drain_seconds
        self._switch.guest_gone()

    def _shut(self) -> None:
        """Close everything. Runs once, on the loop's thread or before it ever started."""
        with self._post_lock:
            if self.finished.is_set():
                return
            self.finished.set()
        self._switch.close()
        while self._commands:  # those who wait for an answer get one
            self._commands.popleft()()
        self._switch.close()
        self._lose_front_end()
        self._doors.close()
        self._loop.close()
        self._on_finished()

    def _tell(self, kind: EventKind, message: str) -> None:
        self._report(Event(kind, message))

    # QEMU

    def _on_front_end(self, _events: int) -> None:
        if self._front_end is None:
            return
        try:
            self._front_end.process()
        except EOFError:
            self._lose_front_end()
            self._tell(EventKind.FRONT_END_GONE, "QEMU closed the device")

    def _lose_front_end(self) -> None:
        if self._front_end is not None:
            front_end, self._front_end = self._front_end, None
            self._take_last_packets()
            self._loop.unwatch(self._front_end_socket.fileno())
            self._ports.stop()
            front_end.close()
            self._switch.guest_gone()

    def _take_last_packets(self) -> None:
        try:
            self._ports.take_all_packets()
        except GuestError as error:
            self._fault(error)

    def ring_started(self, index: int) -> None:
        """See `RingOwner`."""
        self._ports.start(index)
        if index == TX:
            self._tell(EventKind.GUEST_STARTED, "the guest's driver is ready")

    def ring_stopping(self, index: int) -> None:
        """See `RingOwner`. Packets that the guest sent just before it reset are still on the ring."""
        self._take_last_packets()
        self._ports.stop_port(index)
        self._switch.guest_gone()
        if index == TX:
            self._tell(EventKind.GUEST_STOPPED, "the guest's driver stopped")

    def watch_kick(self, index: int, fd: int) -> None:
        """See `RingOwner`."""
        try:
            self._loop.watch_level(fd, lambda _events: self._ports.kicked(index, fd))
        except OSError as error:
            raise FrontEndError("vhost-user.fds", "a kick's descriptor is no eventfd") from error

    def unwatch_kick(self, fd: int) -> None:
        """See `RingOwner`."""
        self._loop.unwatch(fd)

    # Host sockets

    def now(self) -> float:
        """See `SwitchOwner`."""
        return time.monotonic()

    def open_host(self, cid: int, port: int) -> socket.socket | None:
        """See `SwitchOwner`."""
        sock = self._doors.open(cid, port)
        if sock is None:
            self._tell(EventKind.REFUSED, f"nobody listens for the guest on {cid}:{port}")
        return sock

    def watch(self, connection: Connection) -> None:
        """See `SwitchOwner`."""

        def on_events(events: int) -> None:
            connection.can_read |= bool(events & READABLE)
            connection.can_write |= bool(events & WRITABLE)
            connection.hung_up |= bool(events & HUNG_UP)
            self.wake(connection)

        self._loop.watch_edge(connection.sock.fileno(), on_events)
        self.wake(connection)

    def unwatch(self, connection: Connection) -> None:
        """See `SwitchOwner`."""
        self._ready.pop(connection, None)
        self._ports.unblock(connection)
        self._loop.unwatch(connection.sock.fileno())

    def wake(self, connection: Connection) -> None:
        """See `SwitchOwner`."""
        if connection.sock.fileno() >= 0:
            self._ready[connection] = None

    def _request(self, sock: socket.socket, port: int, answer: Callable[[Connection, bool], None]) -> None:
        self._switch.request(sock, port, answer)
        if self._front_end is None or not self._ports.up:
            self._switch.guest_gone()  # no guest: there is no other connection either


def pair() -> tuple[socket.socket, int]:
    """Our end of a vhost-user socket pair, and a descriptor for QEMU to inherit (the caller closes it)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    fd = os.dup(theirs.fileno())
    theirs.close()
    return ours, fd
