"""How a source is named: a repository on GitHub, and a commit of git. The forms, and nothing else."""

from __future__ import annotations

import re

# Owners' names hold an underscore where an enterprise manages its users ("name_company").
_REPOSITORY = re.compile(r"[A-Za-z0-9_-]{1,100}/[A-Za-z0-9._-]{1,100}\Z")
_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")


def is_repository(text: str) -> bool:
    """Whether ``text`` has the form ``OWNER/NAME``."""
    return _REPOSITORY.match(text) is not None


def is_commit(text: str) -> bool:
    """Whether ``text`` is a whole commit id: 40 (SHA-1) or 64 (SHA-256) lower-case hex digits."""
    return _COMMIT.match(text) is not None
