"""apk: Alpine's list of what is installed (apk-v2 "installed database": ``P:`` name, ``V:`` version)."""

from __future__ import annotations

from collections.abc import Iterator

from glassclave.packages.database import Package, Reader, package
from glassclave.packages.stanzas import needed, stanzas

_PATHS = frozenset({b"lib/apk/db/installed", b"usr/lib/apk/db/installed"})


def _concerns(path: bytes) -> bool:
    return path in _PATHS


def _read(_path: bytes, data: bytes) -> Iterator[Package]:
    for record in stanzas(data, (b"P", b"V"), strict=True):
        yield package("apk", needed(record, b"P"), needed(record, b"V"))


READER = Reader(
    id="apk",
    reference="https://wiki.alpinelinux.org/wiki/Apk_spec",
    limit=32 << 20,
    concerns=_concerns,
    read=_read,
)
