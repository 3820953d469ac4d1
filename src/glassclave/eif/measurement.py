"""PCR0, PCR1, PCR2 and section digests of sections in file order, hashed in threads.

Rule (EIF specification, "PCRs"; H is SHA-384, `glassclave.digests.pcr_of_digest`):
PCR0 covers the data of kernel, command line and every ramdisk in file order, PCR1 of kernel, command line
and the first ramdisk, PCR2 of all other ramdisks. Headers, lengths, metadata and signature are in none:
the measured stream has no framing, which is why section digests are computed too.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from glassclave.digests import pcr_of_digest
from glassclave.eif.format import SectionType
from glassclave.results import Measurements

_T = TypeVar("_T")

_PENDING = 4
"""Chunks that may wait for one lane: keeps it busy, bounds memory to a few chunks."""


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def copy(self) -> Self: ...
    def digest(self) -> bytes: ...


def pcr_of_certificate(der: bytes) -> bytes:
    """PCR8 of a signing certificate in DER (EIF specification, "PCR8")."""
    return pcr_of_digest(hashlib.sha384(der).digest())


class Lane:
    """One thread that does what it is told in order; `call` waits when too much is pending.

    hashlib and zlib release the interpreter lock on large chunks, so lanes run side by side.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._pending: deque[Future[None]] = deque()

    def call(self, function: Callable[[_T], None], argument: _T) -> None:
        """Queue a call; raises what an earlier one raised."""
        if len(self._pending) >= _PENDING:
            self._pending.popleft().result()
        self._pending.append(self._executor.submit(function, argument))

    def drain(self) -> None:
        """Wait until everything queued is done."""
        while self._pending:
            self._pending.popleft().result()

    def close(self) -> None:
        """End the thread; what is still queued is dropped."""
        self._executor.shutdown(wait=True, cancel_futures=True)


class _ImageHash:
    """PCR0 and PCR1. Both see the same bytes until the second ramdisk begins: only then is there a copy."""

    def __init__(self) -> None:
        self._all: _Hash = hashlib.sha384()
        self._first: _Hash | None = None
        self._ramdisks = 0
        self._targets: tuple[_Hash, ...] = ()

    def begin(self, kind: int) -> None:
        if kind == SectionType.RAMDISK:
            self._ramdisks += 1
            if self._ramdisks == 2:
                self._first = self._all.copy()
            self._targets = (self._all,)
        elif kind in (SectionType.KERNEL, SectionType.CMDLINE):
            self._targets = (self._all,) if self._first is None else (self._all, self._first)
        else:
            self._targets = ()

    def update(self, chunk: bytes) -> None:
        for target in self._targets:
            target.update(chunk)

    def registers(self) -> tuple[bytes, bytes]:
        first = self._all if self._first is None else self._first
        return pcr_of_digest(self._all.digest()), pcr_of_digest(first.digest())


class _SectionHash:
    """Section digests and PCR2. With one application ramdisk the two are one hash; the next makes a copy."""

    def __init__(self) -> None:
        self._sections: list[_Hash] = []
        self._application: _Hash | None = None
        self._ramdisks = 0
        self._targets: tuple[_Hash, ...] = ()

    def begin(self, kind: int) -> None:
        section = hashlib.sha384()
        self._sections.append(section)
        self._targets = (section,)
        if kind == SectionType.RAMDISK:
            self._ramdisks += 1
            if self._ramdisks == 2:
                self._application = section
            elif self._ramdisks > 2 and self._application is not None:
                if self._ramdisks == 3:
                    self._application = self._application.copy()
                self._targets = (section, self._application)

    def update(self, chunk: bytes) -> None:
        for target in self._targets:
            target.update(chunk)

    def digests(self) -> tuple[bytes, ...]:
        return tuple(section.digest() for section in self._sections)

    def register(self) -> bytes:
        application = hashlib.sha384() if self._application is None else self._application
        return pcr_of_digest(application.digest())


@dataclass(frozen=True, slots=True)
class SectionMeasurements:
    """What `SectionMeasurer` found: registers (without PCR8) and SHA-384 of each section's data, in order."""

    measurements: Measurements
    digests: tuple[bytes, ...]


class SectionMeasurer:
    """Takes sections in file order and hashes them in two threads. A context manager.

    For each section: `begin` with its type, then `update` with its data. Chunks must not change afterwards.
    """

    def __init__(self) -> None:
        self._image = _ImageHash()
        self._section = _SectionHash()
        self._lanes = (Lane("pcr0"), Lane("sections"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads."""
        for lane in self._lanes:
            lane.close()

    def begin(self, kind: int) -> None:
        """A section of type ``kind`` starts."""
        self._lanes[0].call(self._image.begin, kind)
        self._lanes[1].call(self._section.begin, kind)

    def update(self, chunk: bytes) -> None:
        """The next data bytes of the current section."""
        self._lanes[0].call(self._image.update, chunk)
        self._lanes[1].call(self._section.update, chunk)

    def result(self) -> SectionMeasurements:
        """Registers and digests of what has been taken so far; more may follow."""
        for lane in self._lanes:
            lane.drain()
        pcr0, pcr1 = self._image.registers()
        measurements = Measurements(pcr0=pcr0, pcr1=pcr1, pcr2=self._section.register())
        return SectionMeasurements(measurements, self._section.digests())


class FileDigests:
    """SHA-256 and SHA-384 of a whole file, each in a thread; nothing where not ``enabled``.

    ``size``: bytes taken so far. A context manager.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self.size = 0
        self._hashes = (hashlib.sha256(), hashlib.sha384()) if enabled else ()
        self._lanes = tuple(Lane(digest.name) for digest in self._hashes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        for lane in self._lanes:
            lane.close()

    def update(self, chunk: bytes) -> None:
        """The next bytes of the file."""
        self.size += len(chunk)
        for lane, digest in zip(self._lanes, self._hashes, strict=True):
            lane.call(digest.update, chunk)

    def result(self) -> tuple[bytes, bytes] | tuple[None, None]:
        """SHA-256 and SHA-384 of what was taken; ``None`` where not enabled."""
        for lane in self._lanes:
            lane.drain()
        if not self._hashes:
            return None, None
        sha256, sha384 = self._hashes
        return sha256.digest(), sha384.digest()
