"""A device with a fake guest at its other end."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from glassclave_sandbox.vsock.device import Device
from glassclave_sandbox.vsock.events import Event, EventKind
from tests.unit.sandbox.fake_guest import GUEST, FakeGuest


@dataclass
class Bench:
    """A running device, its guest, its directory of sockets, what it reported."""

    device: Device
    guest: FakeGuest
    directory: Path
    events: list[Event] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)

    def listen(self, port: int, cid: int = 3) -> socket.socket:
        """A host program that waits for the guest on ``cid:port``."""
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(self.directory / f"{cid}_{port}"))
        sock.listen(128)
        sock.settimeout(5)
        return sock

    def keep(self, sock: socket.socket) -> socket.socket:
        """``sock``, impatient, and closed when the test ends."""
        sock.settimeout(5)
        self.sockets.append(sock)
        return sock

    def kinds(self) -> list[EventKind]:
        """Kinds of all events so far."""
        return [event.kind for event in self.events]


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[[], Bench]]:
    made: list[Bench] = []

    def make() -> Bench:
        ours, theirs = socket.socketpair()
        events: list[Event] = []
        device = Device(ours, guest_cid=GUEST, directory=tmp_path, report=events.append)
        device.start()
        bench = Bench(device, FakeGuest(theirs), tmp_path, events)
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.guest.close()
        for sock in bench.sockets:
            sock.close()
        bench.device.close(drain_seconds=0)
        assert bench.device.finished.is_set()


@pytest.fixture
def bench(make_bench: Callable[[], Bench]) -> Bench:
    """A guest that is up, with receive buffers posted."""
    made = make_bench()
    made.guest.realize()
    made.guest.start()
    made.guest.post()
    return made
