"""What the device tells its owner while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """Kinds of event."""

    GUEST_STARTED = "guest-started"
    GUEST_STOPPED = "guest-stopped"
    HEARTBEAT = "heartbeat"
    REFUSED = "refused"
    GUEST_FAULT = "guest-fault"
    FRONT_END_GONE = "front-end-gone"


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``message`` is a sentence of ours, safe to show."""

    kind: EventKind
    message: str


Report = Callable[[Event], None]
"""Called on the device's thread: must return soon and not raise."""
