"""Once more after an outage, and bounded: how often, how long between, how long in all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from glassclave.errors import UnavailableError

ATTEMPTS = 4
LONGEST_WAIT_SECONDS = 60.0
MOST_WAITING_SECONDS = 300.0
"""Of one client in all: a server that asks to wait at every request is not waited for without end."""
MOST_FAILING_SECONDS = 300.0
"""Of one client in all, in tries that came to nothing: then a server is asked for nothing more. A reader goes
on without a piece that it cannot have, and a list may name hundreds."""

Result = TypeVar("Result")


class TransientError(UnavailableError):
    """An outage that may be over soon. ``wait``: seconds that the server asked to wait, where it did."""

    wait: float | None = None


def retrying(operation: Callable[[], Result], sleep: Callable[[float], None]) -> Result:
    """The result of ``operation``, tried up to `ATTEMPTS` times while it raises `TransientError`.

    A server that asks to wait longer than `LONGEST_WAIT_SECONDS` is not waited for. A ``sleep`` that has
    slept enough raises `TimeoutError`.
    """
    for attempt in range(ATTEMPTS - 1):
        try:
            return operation()
        except TransientError as error:
            wait = 0.5 * 2**attempt if error.wait is None else error.wait
            if wait > LONGEST_WAIT_SECONDS:
                raise
            try:
                sleep(wait)
            except TimeoutError:
                raise error from None
    return operation()


class Waiting:
    """Sleeps, but in all no longer than `MOST_WAITING_SECONDS`: then it raises `TimeoutError`."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep
        self._left = MOST_WAITING_SECONDS

    def __call__(self, seconds: float) -> None:
        """Sleep for ``seconds``."""
        if seconds > self._left:
            raise TimeoutError("waited enough")
        self._left -= seconds
        self._sleep(seconds)


class Failing:
    """Bears tries that come to nothing, but in all no longer than `MOST_FAILING_SECONDS`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = MOST_FAILING_SECONDS
        self._last: TransientError | None = None

    def bearing(self, operation: Callable[[], Result]) -> Result:
        """What ``operation`` makes; where enough has failed, the last outage once more without asking."""
        if self._left <= 0 and self._last is not None:
            raise UnavailableError(
                self._last.code, self._last.message, source=self._last.source, hint=self._last.hint
            ) from self._last
        started = self._clock()
        try:
            return operation()
        except TransientError as error:
            self._left -= self._clock() - started
            self._last = error
            raise
