"""What an enclave starts with: kernel, its command line, init; shipped, given, and known by PCR1."""

from __future__ import annotations

from glassclave.bootstrap.blobs import Bootstrap, load_directory
from glassclave.bootstrap.known import KnownBootstrap, known_bootstraps, lookup_pcr1
from glassclave.bootstrap.lock import Lock, LockedFile, parse_lock
from glassclave.bootstrap.shipped import load_shipped, shipped_architectures, shipped_lock

__all__ = [
    "Bootstrap",
    "KnownBootstrap",
    "Lock",
    "LockedFile",
    "known_bootstraps",
    "load_directory",
    "load_shipped",
    "lookup_pcr1",
    "parse_lock",
    "shipped_architectures",
    "shipped_lock",
]
