"""Compiled Python files that remember their source's time (PEP 552, "timestamp-based").

Such a file is used only while the time in its header equals the modification time of its source. A layout
that gives every file one time would make all of them stale, and Python would compile everything at every
start.
"""

from __future__ import annotations

from glassclave.normalizers.rule import Rule

_SUFFIX = b".pyc"
_HEADER_SIZE = 16
_FIRST_MAGIC = 3392
"""Python 3.7.0a4: the first magic number whose header has a flags word (PEP 552)."""
_LAST_MAGIC = 19999
"""CPython 3 counts up by 50 a version; from 20121 on the numbers belong to Python 1 and 2."""


def _concerns(path: bytes) -> bool:
    return path.endswith(_SUFFIX)


def _matches(path: bytes, head: bytes) -> bool:
    return (
        _concerns(path)
        and len(head) >= _HEADER_SIZE
        and head[2:4] == b"\r\n"
        and _FIRST_MAGIC <= int.from_bytes(head[:2], "little") <= _LAST_MAGIC
        and head[4:8] == bytes(4)  # flags: neither hash-based nor anything not yet invented
    )


def _canonical(head: bytes, mtime: int) -> bytes:
    return head[:8] + mtime.to_bytes(4, "little") + head[12:]


RULE = Rule(
    id="pyc",
    reason=(
        "the time in the header says only when the source was last written; with the layout's constant in"
        " both places the file is used, and without it Python compiles every module at every start"
    ),
    reference="https://peps.python.org/pep-0552/",
    profile="glassclave-1",
    head_size=_HEADER_SIZE,
    concerns=_concerns,
    matches=_matches,
    canonical=_canonical,
)
