"""The clock gives times that can be compared with those in certificates."""

from datetime import UTC, timedelta

from glassclave.clients.clock import now


def test_now_is_aware_and_does_not_run_backwards() -> None:
    first = now()
    assert first.tzinfo is UTC
    assert timedelta(0) <= now() - first
