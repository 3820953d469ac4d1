"""What a build took from outside of the repository, in words: the same for text, page and job summary.

Nothing here is escaped yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from glassclave.provenance.container import ContainerClaim
from glassclave.provenance.outside import (
    CommandClaim,
    OutsideClaim,
    PackageChange,
    RepositoryClaim,
    UnreadClaim,
)

HEADING = "From outside the repository"
NOT_SEEN = (
    "What a RUN step fetches without a package database that knows of it (a curl, a script) leaves no trace:"
    " read the Dockerfile."
)
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def outside_short(container: ContainerClaim) -> str:
    """One line: how much of what."""
    outside = container.outside
    parts = [_count(len(container.bases), "base image"), _count(len(container.added), "address")]
    if outside is None:
        return ", ".join([part for part in parts if part] or ["nothing that can be seen in the Dockerfile"])
    parts += [
        _packages_short(outside),
        _count(outside.repositories.count, "git repository"),
        _count(outside.commands.count, "command", " that may fetch"),
        _count(outside.unread.count, "database", " not read"),
    ]
    return ", ".join([part for part in parts if part] or ["nothing that can be seen"])


def _packages_short(outside: OutsideClaim) -> str:
    """``3 package changes (2 dpkg, 1 pip)``."""
    packages = outside.packages
    if not packages.count:
        return ""
    types = Counter(change.type for change in packages.items)
    kinds = ", ".join(f"{count:,} {name}" for name, count in sorted(types.items()))
    more = "" if packages.complete else ", and more"
    of = "" if outside.base_layers is not None else "; those of the base too, whose layers are not known"
    return f"{_count(packages.count, 'package change')} ({kinds}{more}{of})"


def _count(number: int, what: str, rest: str = "") -> str:
    if not number:
        return ""
    plural = what[:-1] + "ies" if what.endswith("y") else what + ("es" if what.endswith("s") else "s")
    return f"{number:,} {what if number == 1 else plural}{rest}"


def outside_lines(container: ContainerClaim, *, most: int) -> list[str]:
    """A line of how much, and one for each thing, at most about ``most`` of each kind."""
    rows = [f"image {name}, {digest or 'digest not known'}" for name, digest in container.bases]
    rows += [f"added {address}" for address in container.added]
    if container.outside is not None:
        rows += outside_rows(container.outside, most=most)
    return [f"{HEADING.lower()}: {outside_short(container)}", *(f"  {row}" for row in rows)]


def outside_rows(outside: OutsideClaim, *, most: int) -> Iterator[str]:
    """A line for each thing that was seen in the layers, at most about ``most`` of each kind."""
    yield from _some(map(package_line, outside.packages.items), outside.packages.count, most)
    yield from _some(map(repository_line, outside.repositories.items), outside.repositories.count, most)
    yield from _some(map(command_line, outside.commands.items), outside.commands.count, most)
    yield from _some(map(unread_line, outside.unread.items), outside.unread.count, most)


def _some(lines: Iterable[str], count: int, most: int) -> Sequence[str]:
    shown = [line for line, _ in zip(lines, range(most), strict=False)]
    left = count - len(shown)
    return [*shown, f"and {left:,} more, in the statement or counted there"] if left else shown


def package_line(change: PackageChange) -> str:
    """``+ dpkg curl 7.88.1 (layer 3)``."""
    version = change.version if change.before is None else f"{change.before} -> {change.version}"
    sign = _SIGNS.get(change.change, change.change)
    return f"{sign} {change.type} {change.name} {version} (layer {change.layer})"


def repository_line(repository: RepositoryClaim) -> str:
    """``git /srv/app/.git at 5f8c… of https://… (layer 3)``."""
    at = repository.commit or "no commit"
    source = ", ".join(repository.remotes) or "nowhere that it names"
    return f"git {repository.path} at {at} of {source} (layer {repository.layer})"


def command_line(command: CommandClaim) -> str:
    """``may fetch, line 7: curl …``."""
    return f"may fetch, line {command.line}: {command.text}"


def unread_line(unread: UnreadClaim) -> str:
    """``not read: /var/lib/rpm/Packages: …``."""
    return f"not read: {unread.path}: {unread.reason} [{unread.code}] (layer {unread.layer})"
