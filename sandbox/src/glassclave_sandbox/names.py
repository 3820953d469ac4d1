"""Names in AWS's form for an enclave and its parent that do not exist."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from glassclave.errors import UsageError

DEFAULT_INSTANCE = "i-05a4db0c5a4db0c50"
DEFAULT_REGION = "eu-west-1"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def require_aware(at: datetime) -> None:
    """`UsageError` ``sandbox.time`` for a time without zone."""
    if at.utcoffset() is None:
        raise UsageError("sandbox.time", "a time without time zone says nothing")


def milliseconds(at: datetime) -> int:
    """``at`` in milliseconds since 1970, UTC."""
    require_aware(at)
    return (at - _EPOCH) // timedelta(milliseconds=1)


def module_id_of(instance_id: str, launched: datetime = _EPOCH, *, slot: int = 0) -> str:
    """The name of an enclave: its instance, launch time in milliseconds, and four hex digits."""
    return f"{instance_id}-enc{milliseconds(launched):012x}{slot:04x}"
