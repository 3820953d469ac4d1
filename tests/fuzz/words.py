"""The one thing that every target asks: is what comes out one of our own errors?"""

from __future__ import annotations

from collections.abc import Callable

from glassclave.errors import GlassclaveError


def words(read: Callable[[], object]) -> None:
    """Run ``read``; an error of ours, with code and text, is an answer like any other."""
    try:
        read()
    except GlassclaveError as error:
        assert error.code
        assert str(error)
