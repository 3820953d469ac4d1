"""What one layer did to the packages below it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass
from enum import StrEnum

from glassclave.packages.database import Package


class Kind(StrEnum):
    """Of a change."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """``before``: the version that was there, of a package that changed; else ``None``."""

    kind: Kind
    package: Package
    before: str | None = None


def compare(before: Set[Package], after: Set[Package]) -> Iterator[Change]:
    """The changes, sorted by package. One version for one other is a change; else they came and went."""
    gone, come = _by_name(before - after), _by_name(after - before)
    for key in sorted(gone.keys() | come.keys()):
        old, new = sorted(gone.get(key, ())), sorted(come.get(key, ()))
        if len(old) == len(new) == 1:
            yield Change(Kind.CHANGED, Package(*key, new[0]), old[0])
            continue
        yield from (Change(Kind.REMOVED, Package(*key, version)) for version in old)
        yield from (Change(Kind.ADDED, Package(*key, version)) for version in new)


def _by_name(packages: Set[Package]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in packages:
        found[one.type, one.name].append(one.version)
    return found
