"""The clock of this machine."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The time now, aware, in UTC. Everything that judges takes a time as an argument instead."""
    return datetime.now(UTC)
