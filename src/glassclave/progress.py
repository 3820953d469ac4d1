"""What long work says of itself. The command line draws it; the library is silent by default."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the steps of long work."""

    def step(self, name: str, message: str) -> None:
        """A named step ended; ``message`` says what it found (``layers``, ``3 layers, 213.1 MB``)."""
        ...

    def advance(self, name: str, done: int, total: int | None) -> None:
        """``done`` of ``total`` bytes of the named step; cheap, called often."""
        ...

    def warn(self, code: str, message: str) -> None:
        """Something the user should know, that does not stop the work."""
        ...


class Silent:
    """A `Progress` that says nothing."""

    def step(self, name: str, message: str) -> None:
        """Nothing."""

    def advance(self, name: str, done: int, total: int | None) -> None:
        """Nothing."""

    def warn(self, code: str, message: str) -> None:
        """Nothing."""
