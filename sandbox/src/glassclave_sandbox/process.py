"""A child process that cannot outlive this one, however this one ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import IO

_POLITE_SECONDS = 3.0

# Runs in the child, then becomes the program. The kernel kills the child when the thread that started it ends
# (prctl(2), PR_SET_PDEATHSIG = 1): SIGKILL of this process would otherwise leave a machine running for ever.
_LAUNCHER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent ended")
try:
    os.execv(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]}: {error.strerror}")
"""


class ChildProcess:
    """A program with pipes for stdout and stderr; ``on_end`` is called once it ended, on another thread."""

    def __init__(
        self, arguments: Sequence[str], *, inherited: Sequence[int], on_end: Callable[[], None]
    ) -> None:
        self._arguments = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *arguments]
        self._inherited = inherited
        self._on_end = on_end
        self._started: Future[subprocess.Popen[bytes]] = Future()
        self._thread = threading.Thread(target=self._run, name="child", daemon=True)

    def start(self) -> tuple[int, int]:
        """Start it; descriptors to read stdout and stderr from, which are the caller's. Raises `OSError`."""
        self._thread.start()
        process = self._started.result()
        return _own_fd(process.stdout), _own_fd(process.stderr)

    def _run(self) -> None:
        """Start and wait on one thread, so that this thread lives as long as the child."""
        try:
            process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=self._inherited,
                # Ctrl-C in a terminal is ours to handle: the child is ended in order.
                start_new_session=True,
            )
        except OSError as error:
            self._started.set_exception(error)
            return
        self._started.set_result(process)
        process.wait()
        self._on_end()

    def _process(self) -> subprocess.Popen[bytes] | None:
        if self._thread.ident is None or self._started.exception() is not None:
            return None
        return self._started.result()

    @property
    def pid(self) -> int | None:
        """The program's process id."""
        process = self._process()
        return None if process is None else process.pid

    @property
    def status(self) -> int | None:
        """Its exit status; ``None`` while it runs or where it never started."""
        process = self._process()
        return None if process is None else process.poll()

    @property
    def running(self) -> bool:
        """Whether it runs."""
        process = self._process()
        return process is not None and process.poll() is None

    def terminate(self) -> None:
        """Ask it to end."""
        process = self._process()
        if process is not None:
            process.terminate()

    def end(self) -> None:
        """End it, by force if it does not end within three seconds. Idempotent."""
        process = self._process()
        if process is None:
            return
        process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLITE_SECONDS)
        finally:  # also when Ctrl-C comes a second time
            if process.poll() is None:
                process.kill()
                process.wait()


def _own_fd(pipe: IO[bytes] | None) -> int:
    """The descriptor of a pipe, taken out of the file object around it."""
    if pipe is None:
        raise OSError("no pipe")
    with pipe:
        return os.dup(pipe.fileno())
