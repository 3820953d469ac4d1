"""Progress on a terminal, one line a step elsewhere; sizes and times as people read them."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from glassclave.cli.workflow import announce, on_github
from glassclave.escaping import escape_untrusted
from glassclave.sizes import megabytes

_REDRAW_SECONDS = 0.1
_QUIET_FOR_SECONDS = 1.0


class TerminalProgress:
    """`Progress` on stderr: steps as lines; bytes and rate of long work redrawn in place on a terminal."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._live = self._stream.isatty()
        self._started = time.monotonic()
        self._drawn_at = self._started
        self._drawn = False

    def step(self, name: str, message: str) -> None:
        """One line: name, what was found, seconds it took."""
        now = time.monotonic()
        self._clear()
        if not self._quiet:
            seconds = now - self._started
            print(f"{name:<10} {escape_untrusted(message):<60} {seconds:6.1f} s", file=self._stream)
        self._started = now

    def say(self, name: str, message: str) -> None:
        """A line like a step's, of work that took no time of its own."""
        self._clear()
        if not self._quiet:
            print(f"{name:<10} {escape_untrusted(message)}", file=self._stream)

    def advance(self, name: str, done: int, total: int | None) -> None:
        """Redraws at most ten times a second, and only for work longer than a second."""
        now = time.monotonic()
        if not self._live or self._quiet or now - self._drawn_at < _REDRAW_SECONDS:
            return
        elapsed = now - self._started
        if elapsed < _QUIET_FOR_SECONDS:
            return
        self._drawn_at = now
        self._drawn = True
        rate = done / elapsed
        left = "" if not total else f", {max(0.0, (total - done) / rate):.0f} s left"
        of = "" if not total else f" of {megabytes(total)}"
        line = f"{name:<10} {megabytes(done)}{of}, {megabytes(int(rate))}/s{left}"
        self._stream.write(f"\r{line}\x1b[K")
        self._stream.flush()

    def warn(self, code: str, message: str) -> None:
        """A warning line with its code."""
        self._clear()
        if on_github():
            announce("warning", message, title=code)
            return
        print(f"warning: {escape_untrusted(message)}  {code}", file=self._stream)

    def close(self) -> None:
        """Leave no half-drawn line behind."""
        self._clear()

    def _clear(self) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._drawn = False
