"""An enclave's console: bytes from QEMU as lines, in bounded memory."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable

OnLine = Callable[[str], None]
"""Called with each line, without its end, on the console's thread; unescaped: it is the guest's text."""

LINE_LIMIT = 4096
"""Bytes of a line; a longer one is cut into several."""
LINES_LIMIT = 20_000
"""Lines that are kept; older ones are forgotten."""


class Console:
    """Reads a pipe to its end on a thread of its own."""

    def __init__(self, fd: int, *, name: str, on_line: OnLine | None = None) -> None:
        self._fd = fd
        self._on_line = on_line
        self._changed = threading.Condition()
        self._lines: deque[str] = deque(maxlen=LINES_LIMIT)
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to read; the descriptor is the console's from now on."""
        self._thread.start()

    @property
    def text(self) -> str:
        """All lines so far that are kept, each with a newline."""
        with self._changed:
            return "".join(f"{line}\n" for line in self._lines)

    def wait_for(self, text: str, *, timeout: float) -> bool:
        """Whether a line that contains ``text`` came before the end or within ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._has(text) or self._ended, timeout) and self._has(text)

    def _has(self, text: str) -> bool:
        return any(text in line for line in self._lines)

    def join(self, timeout: float) -> bool:
        """Wait for the end of the pipe; whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        rest = b""
        try:
            while data := os.read(self._fd, 65536):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._add(line)
                while len(rest) > LINE_LIMIT:
                    self._add(rest[:LINE_LIMIT])
                    rest = rest[LINE_LIMIT:]
            if rest:
                self._add(rest)
        finally:
            os.close(self._fd)
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _add(self, data: bytes) -> None:
        for start in range(0, max(1, len(data)), LINE_LIMIT):
            line = data[start : start + LINE_LIMIT].removesuffix(b"\r").decode("utf-8", "backslashreplace")
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
            if self._on_line is not None:
                self._on_line(line)
