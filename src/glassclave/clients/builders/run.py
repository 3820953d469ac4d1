"""Programs run to their end: output as lines while it comes, the last of them in the error."""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from glassclave.errors import UnavailableError
from glassclave.escaping import escape_untrusted
from glassclave.image.container import OnLine

_LINE_LIMIT = 4096
_LAST_LINES = 12


class Runner(Protocol):
    """Runs a program."""

    def __call__(self, command: Sequence[str], on_line: OnLine | None = None) -> str:
        """What it printed. ``on_line`` hears stdout and stderr instead, and the result is empty.

        Raises `UnavailableError` ``builder.failed``, ``builder.missing``.
        """
        ...


def run_program(command: Sequence[str], on_line: OnLine | None = None) -> str:
    """See `Runner`."""
    try:
        return _captured(command) if on_line is None else _streamed(command, on_line)
    except OSError as error:
        raise UnavailableError(
            "builder.missing", f"cannot be started: {error.strerror}", source=command[0]
        ) from error


def _captured(command: Sequence[str]) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        raise _failed(command, done.returncode, done.stderr.splitlines())
    return done.stdout


def _streamed(command: Sequence[str], on_line: OnLine) -> str:
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        if process.stdout is None:
            raise OSError("no pipe")
        try:
            while line := process.stdout.readline(_LINE_LIMIT):
                last.append(line.rstrip("\n"))
                on_line(last[-1])
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise _failed(command, process.returncode, list(last))
    return ""


def _failed(command: Sequence[str], status: int, said: list[str]) -> UnavailableError:
    words = [line.strip() for line in said[-_LAST_LINES:] if line.strip()]
    return UnavailableError(
        "builder.failed",
        f"{command[0].rpartition('/')[2]} {command[1]} ended with status {status}",
        hint=escape_untrusted(" | ".join(words), limit=1000) or None,
    )
