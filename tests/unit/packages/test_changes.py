"""What a layer did, from the packages before and after it."""

from __future__ import annotations

import pytest

from glassclave.packages.changes import Change, Kind, compare
from glassclave.packages.database import Package

A1, A2, A3 = (Package("npm", "a", version) for version in ("1", "2", "3"))
OTHER = Package("pip", "a", "1")


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        (set(), set(), []),
        ({A1}, {A1}, []),
        (set(), {A1}, [Change(Kind.ADDED, A1)]),
        ({A1}, set(), [Change(Kind.REMOVED, A1)]),
        ({A1}, {A2}, [Change(Kind.CHANGED, A2, "1")]),
        # A second version beside the first is no change of the first.
        ({A1}, {A1, A2}, [Change(Kind.ADDED, A2)]),
        ({A1}, {A2, A3}, [Change(Kind.REMOVED, A1), Change(Kind.ADDED, A2), Change(Kind.ADDED, A3)]),
        # One name in two databases is two packages.
        ({A1}, {OTHER}, [Change(Kind.REMOVED, A1), Change(Kind.ADDED, OTHER)]),
    ],
)
def test_changes(before: set[Package], after: set[Package], changes: list[Change]) -> None:
    assert list(compare(before, after)) == changes
