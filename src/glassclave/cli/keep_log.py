"""A step that keeps its own log: what it prints goes on, and a copy with times into a file.

The log of a job that still runs cannot be had from GitHub; so the steps of our action write theirs down
themselves, for `glassclave log collect --file`.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

from glassclave.cli.workflow import place
from glassclave.clients.clock import now

FOLDER = "logs"
STEPS = ("Install", "Check the inputs", "Build")
"""The action's steps before the one that signs, in their order: it signs what these said."""


class _Copy:
    """The file; each line stands behind the time at which it began, whichever stream began it.

    A carriage return ends a line as well: normalising makes it a line end, and no line of the log may begin
    with a time that somebody else wrote.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._begun = False

    def write(self, text: str) -> None:
        for piece in text.splitlines(keepends=True):
            if not self._begun:
                self._file.write(f"{now():%Y-%m-%dT%H:%M:%S.%fZ} ")
            self._file.write(piece)
            self._begun = not piece.endswith(("\n", "\r"))


class _Copying(io.TextIOBase):
    """A stream that hands on to another and to the copy."""

    def __init__(self, stream: TextIO, copy: _Copy) -> None:
        self._stream = stream
        self._copy = copy

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only there, too
        """The stream's."""
        return self._stream.encoding

    def write(self, text: str) -> int:
        """To both."""
        self._copy.write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        """The stream's."""
        self._stream.flush()


def log_file(step: str) -> Path:
    """Where the log of a step of `STEPS` lies, in RUNNER_TEMP."""
    return place(FOLDER) / f"{STEPS.index(step)}.log"


@contextmanager
def kept_log(step: str) -> Iterator[None]:
    """What is printed meanwhile, errors too, also goes into the step's log."""
    path = log_file(step)
    path.parent.mkdir(parents=True, exist_ok=True)
    # What a stream prints that holds undecodable names, the copy must not stumble over.
    with path.open("a", encoding="utf-8", errors="backslashreplace", newline="") as file:
        copy = _Copy(file)
        with redirect_stdout(_Copying(sys.stdout, copy)), redirect_stderr(_Copying(sys.stderr, copy)):
            yield
