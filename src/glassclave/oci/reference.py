"""References to artifacts: ``host[:port]/repository[:tag][@digest]``, the registry always named.

Grammar: OCI distribution specification 1.1, "Pulling manifests" (``<name>`` and ``<reference>``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from glassclave.digests import is_oci_digest
from glassclave.errors import UsageError
from glassclave.escaping import escape_untrusted

MAX_REFERENCE = 1024
_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z"
)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\Z")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?\Z")
_MAX_REPOSITORY = 255


@dataclass(frozen=True, slots=True)
class Reference:
    """An artifact in a registry. ``registry`` is ``host`` or ``host:port`` in lower case."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """``registry/repository``."""
        return f"{self.registry}/{self.repository}"

    def pinned(self, digest: str) -> Reference:
        """The same repository at ``digest``, without a tag."""
        return replace(self, tag=None, digest=digest)

    def tagged(self, tag: str) -> Reference:
        """The same repository at ``tag``, without a digest."""
        return replace(self, tag=tag, digest=None)

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{self.name}{tag}{digest}"


def is_tag(text: str) -> bool:
    """Whether ``text`` may name a tag."""
    return _TAG.match(text) is not None


def parse_reference(text: str) -> Reference:
    """The reference that ``text`` writes; a tag or a digest may be left out, the registry may not.

    Raises `UsageError` ``reference.syntax`` or ``reference.registry``.
    """
    if not text or len(text) > MAX_REFERENCE or not text.isascii():
        raise _wrong(text, "is not a reference of a registry")
    registry, slash, rest = text.partition("/")
    registry = registry.lower()
    if not slash or not _is_host(registry):
        raise UsageError(
            "reference.registry",
            f"{escape_untrusted(text, limit=200)!r} does not begin with the host of a registry",
            hint="write the whole reference, e.g. ghcr.io/owner/name:tag",
        )
    rest, at, digest = rest.partition("@")
    if at and not is_oci_digest(digest):
        raise _wrong(text, "has a digest that is not sha256: and 64 lower-case hex digits")
    repository, colon, tag = rest.partition(":")
    if colon and not is_tag(tag):
        raise _wrong(text, "has a tag that no registry takes")
    if len(repository) > _MAX_REPOSITORY or _REPOSITORY.match(repository) is None:
        raise _wrong(text, "has a repository name that no registry takes")
    return Reference(registry, repository, tag if colon else None, digest if at else None)


def _is_host(text: str) -> bool:
    """A host that can be told from the first part of a repository name: a dot, a port, or localhost."""
    found = _HOST.match(text)
    if found is None or len(text) > 255:
        return False
    port = found["port"]
    if port is not None and not 0 < int(port) < 65536:
        return False
    return "." in text or ":" in text or text == "localhost"


def _wrong(text: str, why: str) -> UsageError:
    return UsageError(
        "reference.syntax",
        f"{escape_untrusted(text, limit=200)!r} {why}",
        hint="a reference looks like ghcr.io/owner/name:tag or ghcr.io/owner/name@sha256:…",
    )
