"""An enclave in QEMU, as a context manager: started whole, ended whole, nothing left behind.

Two parties depend on each other: QEMU lives on when its vsock device dies, so the device's end ends QEMU; and
the device outlives QEMU until host programs have taken the guest's last bytes.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from glassclave.errors import UnavailableError, UsageError
from glassclave.escaping import escape_untrusted
from glassclave_sandbox.console import Console, OnLine
from glassclave_sandbox.names import module_id_of
from glassclave_sandbox.process import ChildProcess
from glassclave_sandbox.qemu import (
    MEBIBYTE,
    WHAT_TO_DO,
    Parent,
    command_line,
    default_memory,
    require_program,
)
from glassclave_sandbox.vsock.device import Device, pair
from glassclave_sandbox.vsock.events import Event, EventKind
from glassclave_sandbox.vsock.host import listen_unix

CONTROL_SOCKET = "connect"
"""Name of the control socket: a line ``CONNECT <port>`` is answered ``OK <host port>``, or by closing."""

_POLITE_SECONDS = 3.0
_RETRY_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run an enclave.

    ``memory``: bytes, default as Nitro asks (four times the image, 256 MiB at least). ``sockets``: existing
    directory for Unix sockets (default: a new temporary one). ``listen``: (CID, port) of the guest's calls to
    the Unix socket of a host program, before the directory is looked at. ``forward``: a new Unix socket for
    host programs, and the guest port that its clients reach. ``identity``: the module id in documents; by
    default one in AWS's form that names the parent's instance.
    """

    cid: int = 16
    memory: int | None = None
    sockets: Path | None = None
    listen: Mapping[tuple[int, int], Path] = field(default_factory=dict)
    forward: Sequence[tuple[Path, int]] = ()
    parent: Parent = field(default_factory=Parent)
    identity: str | None = None


class Machine:
    """A running enclave: ``with Machine(image, qemu=...) as machine``.

    ``on_line`` hears each console line (the guest's text, unescaped) and ``on_event`` each device event, on
    threads of the machine. Raises `UnavailableError` ``sandbox.qemu.*``, `UsageError` ``sandbox.*``.
    """

    def __init__(
        self,
        image: Path,
        *,
        qemu: Path,
        options: Options = Options(),
        on_line: OnLine | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self._image = image
        self._qemu = qemu
        self._options = options
        self._on_line = on_line
        self._on_event = on_event
        self._cleanup = ExitStack()
        self._changed = threading.Condition()
        self._heartbeats = 0
        self._child: ChildProcess | None = None
        self._device: Device | None = None
        self._console: Console | None = None
        self._complaints: Console | None = None
        self._directory = Path()

    # Life

    def __enter__(self) -> Self:
        with self._cleanup:  # whatever was made is undone if the rest cannot be
            self._start()
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def _start(self) -> None:
        memory = self._memory()
        self._directory = self._make_directory()
        ours, qemus_fd = pair()
        self._cleanup.callback(os.close, qemus_fd)
        self._cleanup.callback(ours.close)
        self._device = Device(
            ours,
            guest_cid=self._options.cid,
            directory=self._directory,
            named=self._options.listen,
            report=self._note,
            on_finished=self._end_politely,
        )
        self._cleanup.callback(self._device.close)
        self._device.listen_control(self._listen(self._directory / CONTROL_SOCKET))
        for path, port in self._options.forward:
            self._device.forward(self._listen(path), port)
        self._device.start()
        self._start_qemu(memory, qemus_fd)

    def _memory(self) -> int:
        try:
            size = self._image.stat().st_size
        except OSError as error:
            raise UnavailableError(
                "file.unreadable", f"cannot be read: {error.strerror}", source=str(self._image)
            ) from error
        memory = self._options.memory
        if memory is not None and memory < MEBIBYTE:
            raise UsageError("sandbox.memory", "memory must be at least 1 MiB")
        return default_memory(size) if memory is None else memory

    def _make_directory(self) -> Path:
        if self._options.sockets is not None:
            return self._options.sockets
        directory = tempfile.mkdtemp(prefix="glassclave-")
        self._cleanup.callback(shutil.rmtree, directory, ignore_errors=True)
        return Path(directory)

    def _listen(self, path: Path) -> socket.socket:
        try:
            listener = listen_unix(path)
        except OSError as error:
            raise UnavailableError(
                "sandbox.socket",
                f"no Unix socket can be made: {error.strerror or error}",
                source=str(path),
                hint="its directory must exist, the name must be free and shorter than 108 bytes",
            ) from error
        self._cleanup.callback(path.unlink, missing_ok=True)
        return listener

    def _start_qemu(self, memory: int, qemus_fd: int) -> None:
        arguments = command_line(
            self._qemu,
            self._image,
            memory=memory,
            vsock_fd=qemus_fd,
            parent=self._options.parent,
            identity=self._options.identity or module_id_of(self._options.parent.instance),
        )
        # Asked before it starts: a launcher stands between, and would only say so on stderr.
        program = require_program(self._qemu)
        self._child = ChildProcess(
            [str(program), *arguments[1:]], inherited=[qemus_fd], on_end=self._note_end
        )
        self._cleanup.callback(self._end)
        output, complaints = self._child.start()
        self._console = Console(output, name="console", on_line=self._on_line)
        self._complaints = Console(complaints, name="qemu-stderr")
        self._console.start()
        self._complaints.start()

    def _note_end(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _end_politely(self) -> None:
        """Called when the device ended: a QEMU without its device would run on without vsock."""
        if self._child is not None:
            self._child.terminate()

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
        self._join_consoles()

    def _join_consoles(self) -> None:
        for console in (self._console, self._complaints):
            if console is not None:
                console.join(_POLITE_SECONDS)

    def _note(self, event: Event) -> None:
        if event.kind is EventKind.HEARTBEAT:
            with self._changed:
                self._heartbeats += 1
                self._changed.notify_all()
        if self._on_event is not None:
            self._on_event(event)

    # Use

    @property
    def console(self) -> str:
        """The console so far: the guest's text, unescaped."""
        return "" if self._console is None else self._console.text

    @property
    def directory(self) -> Path:
        """Where guest connections look for ``{cid}_{port}``, and where the control socket ``connect`` is."""
        return self._directory

    @property
    def running(self) -> bool:
        """Whether QEMU runs."""
        return self._child is not None and self._child.running

    @property
    def ended(self) -> bool:
        """Whether QEMU ended and its console was read to the end."""
        consoles = (self._console, self._complaints)
        return not self.running and all(console is None or console.join(0) for console in consoles)

    @property
    def heartbeat_answered(self) -> bool:
        """Whether the enclave's init sent its heartbeat and was answered."""
        return self._heartbeats > 0

    @property
    def pid(self) -> int | None:
        """QEMU's process."""
        return None if self._child is None else self._child.pid

    def socket_path(self, cid: int, port: int) -> Path:
        """Where a host program must listen for the guest's connections to ``cid:port``."""
        return self._options.listen.get((cid, port), self._directory / f"{cid}_{port}")

    def listen(self, cid: int, port: int) -> socket.socket:
        """A listener for the guest's connections to ``cid:port``; the caller closes it."""
        listener = self._listen(self.socket_path(cid, port))
        listener.setblocking(True)
        return listener

    def wait_for_heartbeat(self, timeout: float) -> None:
        """Return once the heartbeat was answered. `UnavailableError` ``sandbox.heartbeat`` if it was not."""
        with self._changed:
            self._changed.wait_for(lambda: self._heartbeats > 0 or not self.running, timeout)
            if self._heartbeats:
                return
        if self.running:
            raise UnavailableError(
                "sandbox.heartbeat", f"no heartbeat within {timeout:g} s", hint=self._last_words()
            )
        raise self.why_ended()

    def wait_for_line(self, text: str, *, timeout: float) -> bool:
        """Whether a console line with ``text`` in it came in time."""
        return self._console is not None and self._console.wait_for(text, timeout=timeout)

    def connect(self, port: int, *, timeout: float = 10.0) -> socket.socket:
        """A blocking socket to the guest's ``port``; asked again until the guest listens or time is over.

        Raises `ConnectionRefusedError` or `TimeoutError`.
        """
        deadline = time.monotonic() + timeout
        while True:
            if self._device is None:
                raise ConnectionRefusedError("the machine was not started")
            try:
                return self._device.connect(port, timeout=max(0.001, deadline - time.monotonic()))
            except ConnectionRefusedError:
                if not self.running or time.monotonic() + _RETRY_SECONDS >= deadline:
                    raise
                time.sleep(_RETRY_SECONDS)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until QEMU ended and its console was read; whether it did within ``timeout`` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self.running, timeout):
                return False
        self._join_consoles()
        return True

    def close_device(self) -> None:
        """Unplug the vsock device; QEMU ends with it."""
        if self._device is not None:
            self._device.close()

    def why_ended(self) -> UnavailableError:
        """What a QEMU that ended too early said, as an error."""
        self._join_consoles()
        complaints = "" if self._complaints is None else self._complaints.text
        if self._device is not None and self._device.failure is not None:
            return UnavailableError(
                "sandbox.vsock", f"QEMU broke the vhost-user protocol: {self._device.failure.message}"
            )
        if "unsupported machine type" in complaints:
            return UnavailableError(
                "sandbox.qemu.no-nitro-enclave",
                "this QEMU has no nitro-enclave machine",
                source=str(self._qemu),
                hint=WHAT_TO_DO,
            )
        status = None if self._child is None else self._child.status
        if status:
            said = escape_untrusted(" ".join(complaints.split())) or "nothing"
            return UnavailableError(
                "sandbox.qemu.failed",
                f"QEMU ended with status {status} and said: {said}",
                source=str(self._image),
            )
        return UnavailableError(
            "sandbox.heartbeat", "the enclave ended without a heartbeat", hint=self._last_words()
        )

    def _last_words(self) -> str:
        lines = [line for line in self.console.splitlines() if line.strip()]
        return f"last console line: {escape_untrusted(lines[-1])}" if lines else "the console stayed empty"
