"""Sizes as people read them."""

from __future__ import annotations


def megabytes(size: int) -> str:
    """``413.9 MB`` (10^6 bytes), thousands grouped; ``30.7 kB`` or ``12 B`` where that is little."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:.1f} kB" if size < 100_000 else f"{size / 1_000_000:,.1f} MB"
