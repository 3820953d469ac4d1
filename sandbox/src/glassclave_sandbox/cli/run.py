"""`glassclave-sandbox run`: an enclave's console on stdout, what happens around it on stderr."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from pathlib import Path

import click

from glassclave.errors import UnavailableError
from glassclave.escaping import escape_untrusted
from glassclave_sandbox.machine import CONTROL_SOCKET, Machine, Options
from glassclave_sandbox.names import DEFAULT_INSTANCE
from glassclave_sandbox.qemu import MEBIBYTE, Parent, find_qemu, require_program
from glassclave_sandbox.vsock.events import Event, EventKind
from glassclave_sandbox.vsock.packet import PORT_ANY

_CONSOLE_LINE_LIMIT = 4096
_REFUSALS_SHOWN = 5
_TICK_SECONDS = 0.1


def _forwards(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[Path, int], ...]:
    """Each ``HOST_UNIX_SOCKET:GUEST_PORT`` as path and port."""
    found: list[tuple[Path, int]] = []
    for value in values:
        path, colon, port = value.rpartition(":")
        if not colon or not path:
            raise click.BadParameter(
                f"{value!r} is not HOST_UNIX_SOCKET:GUEST_PORT, for example /tmp/app.sock:8080"
            )
        found.append((Path(path), _number(port, PORT_ANY - 1)))
    return tuple(found)


def _listens(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[tuple[int, int], Path]:
    """Each ``CID:PORT=UNIX_SOCKET`` as the guest's view of the address, and the socket that stands for it."""
    found: dict[tuple[int, int], Path] = {}
    for value in values:
        address, equals, path = value.partition("=")
        cid, colon, port = address.partition(":")
        if not equals or not colon or not path:
            raise click.BadParameter(
                f"{value!r} is not CID:PORT=UNIX_SOCKET, for example 3:5000=/tmp/log.sock"
            )
        found[_number(cid, 2**64 - 1), _number(port, PORT_ANY - 1)] = Path(path)
    return found


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= most):
        raise click.BadParameter(f"{text!r} is not a number from 0 to {most}")
    return int(text)


class Feed:
    """What the machine's threads say, in order, for the one thread that prints.

    Bounded: a terminal that cannot follow slows the enclave's console down, not this process's memory.
    """

    def __init__(self) -> None:
        self._items: queue.Queue[str | Event] = queue.Queue(maxsize=4096)
        self._closed = threading.Event()

    def put(self, item: str | Event) -> None:
        """From any thread. Dropped once the feed is closed."""
        while not self._closed.is_set():
            try:
                self._items.put(item, timeout=_TICK_SECONDS)
            except queue.Full:
                continue
            return

    def get(self, seconds: float) -> str | Event | None:
        """The next item, or ``None`` if none came in time."""
        try:
            return self._items.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None

    def close(self) -> None:
        """Nobody prints any more."""
        self._closed.set()


class Printer:
    """Console lines to stdout, events to stderr, both escaped."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._refusals = 0

    def show(self, item: str | Event) -> None:
        """One line of either kind."""
        if isinstance(item, str):
            shown = escape_untrusted(item.replace("\t", "    "), limit=_CONSOLE_LINE_LIMIT)
            print(shown, flush=True)
        elif item.kind is EventKind.REFUSED:
            self._refusals += 1
            if self._refusals <= _REFUSALS_SHOWN:
                self.say("refused", item.message)
        elif item.kind is not EventKind.FRONT_END_GONE:
            self.say(item.kind.value, item.message)

    def say(self, name: str, message: str) -> None:
        """A line of our own, with the seconds since the start."""
        seconds = time.monotonic() - self._started
        print(f"{name:<14} {escape_untrusted(message)}  {seconds:.1f} s", file=sys.stderr, flush=True)

    def summary(self, ending: str) -> None:
        """The last line."""
        if self._refusals > _REFUSALS_SHOWN:
            self.say("refused", f"{self._refusals} connections of the guest in all")
        self.say("ended", ending)


@click.command(
    epilog="Guest connections to CID:PORT reach the Unix socket CID_PORT in the directory of sockets. Host "
    f"programs reach the guest through the socket '{CONTROL_SOCKET}' there: they send 'CONNECT PORT' and a "
    "newline, and are answered 'OK' and a port, or the socket is closed."
)
@click.argument("image", metavar="FILE.eif", type=click.Path(path_type=Path))
@click.option(
    "--memory", metavar="MIB", type=click.IntRange(min=1), help="Default: 4 times the image, or 256."
)
@click.option(
    "--forward", multiple=True, callback=_forwards, metavar="HOST_UNIX_SOCKET:GUEST_PORT",
    help="A new Unix socket whose clients reach a port of the guest.",
)  # fmt: skip
@click.option(
    "--listen", multiple=True, callback=_listens, metavar="CID:PORT=UNIX_SOCKET",
    help="Where the guest's connections to an address go.",
)  # fmt: skip
@click.option(
    "--sockets", metavar="DIR", type=click.Path(file_okay=False, path_type=Path),
    help="Directory of sockets; default: a temporary one.",
)  # fmt: skip
@click.option(
    "--timeout", metavar="S", type=click.FloatRange(min=0), help="End the enclave after so many seconds."
)
@click.option("--cid", type=int, default=16, show_default=True, help="The guest's CID.")
@click.option(
    "--qemu", metavar="PATH", type=click.Path(path_type=Path), help="Default: GLASSCLAVE_QEMU, or PATH."
)
@click.option("--parent-role", metavar="ARN", help="IAM role of the parent instance: decides PCR3.")
@click.option(
    "--parent-id",
    metavar="ID",
    default=DEFAULT_INSTANCE,
    show_default=True,
    help="Id of the parent instance: decides PCR4.",
)
def command(
    image: Path,
    memory: int | None,
    forward: tuple[tuple[Path, int], ...],
    listen: dict[tuple[int, int], Path],
    sockets: Path | None,
    timeout: float | None,
    cid: int,
    qemu: Path | None,
    parent_role: str | None,
    parent_id: str,
) -> int:
    """Boot an enclave image in QEMU's nitro-enclave machine and show its console.

    Exit status 0 when the enclave's heartbeat was answered, 3 when it was not.
    """
    program = find_qemu(os.environ) if qemu is None else require_program(qemu)
    if sockets is not None:
        _make_directory(sockets)
    options = Options(
        cid=cid,
        memory=None if memory is None else memory * MEBIBYTE,
        sockets=sockets,
        listen=listen,
        forward=forward,
        parent=Parent(role=parent_role, instance=parent_id),
    )
    return _run(image, program, options, timeout)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UnavailableError(
            "sandbox.socket",
            f"cannot be made: {error.strerror}",
            source=str(path),
            hint="name another --sockets",
        ) from error


def _run(image: Path, program: Path, options: Options, timeout: float | None) -> int:
    printer, feed = Printer(), Feed()
    machine = Machine(image, qemu=program, options=options, on_line=feed.put, on_event=feed.put)
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        with machine:
            printer.say("started", f"{program}, sockets in {machine.directory}")
            stopped = _follow(machine, feed, printer, deadline)
            feed.close()
    finally:
        feed.close()
    if not machine.heartbeat_answered:
        if stopped:
            raise UnavailableError(
                "sandbox.heartbeat",
                f"no heartbeat within {timeout:g} s",
                hint="the console above may say why",
            )
        raise machine.why_ended()
    printer.summary(f"by --timeout {timeout:g}" if stopped else "by itself")
    return 0


def _follow(machine: Machine, feed: Feed, printer: Printer, deadline: float | None) -> bool:
    """Print until the enclave ends; ``True`` if the deadline came first."""
    while True:
        left = _TICK_SECONDS if deadline is None else min(_TICK_SECONDS, deadline - time.monotonic())
        item = feed.get(left)
        if item is not None:
            printer.show(item)
        elif machine.ended:
            return False
        if deadline is not None and time.monotonic() >= deadline:
            return machine.running
