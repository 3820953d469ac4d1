"""Writing an image in one pass: sections of unknown size stream to the file while they are hashed.

Order of sections is that of AWS's builder: kernel, command line, metadata, ramdisks, signature.
The header goes in last; its table and checksum are known only then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import UnsupportedOperation
from typing import BinaryIO

from glassclave.eif.checksum import combine_crc32, crc32
from glassclave.eif.format import (
    CRC_OFFSET,
    DEFAULT_CPUS,
    DEFAULT_MEMORY_BYTES,
    HEADER_SIZE,
    MAX_SECTIONS,
    METADATA_MAX_SIZE,
    SECTION_HEADER_SIZE,
    SIGNATURE_MAX_SIZE,
    Architecture,
    Header,
    Section,
    SectionType,
    table_slots,
)
from glassclave.eif.measurement import FileDigests, SectionMeasurer, pcr_of_certificate
from glassclave.errors import UnavailableError, UsageError
from glassclave.progress import Progress, Silent
from glassclave.results import Measurements
from glassclave.streams import CHUNK_SIZE

Chunk = bytes | bytearray | memoryview

_GATHER = 256 << 10
"""Smaller chunks are gathered to this size: with fewer, larger ones the threads wait less for each other."""


@dataclass(frozen=True, slots=True)
class SignatureData:
    """Data of a signature section and the DER of the certificate in it (PCR8 is over that)."""

    section: bytes
    certificate: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """What goes into an image.

    ``kernel`` and each of ``ramdisks`` are chunks of any size, taken once; ``ramdisks`` has at least one.
    ``cmdline`` has neither NUL nor newline. ``metadata`` is the JSON of `glassclave.eif.metadata`.
    ``sign`` is given the measurements and returns the signature section; ``None`` is an unsigned image.
    """

    architecture: Architecture
    kernel: Iterable[Chunk]
    cmdline: bytes
    metadata: bytes
    ramdisks: Sequence[Iterable[Chunk]]
    sign: Callable[[Measurements], SignatureData] | None = None
    default_memory_bytes: int = DEFAULT_MEMORY_BYTES
    default_cpus: int = DEFAULT_CPUS


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenImage:
    """What was written. ``section_digests`` are SHA-384 of each section's data, in the order of ``sections``.

    ``file_sha256`` and ``file_sha384`` are ``None`` where they were not asked for.
    """

    header: Header
    sections: tuple[Section, ...]
    section_digests: tuple[bytes, ...]
    measurements: Measurements
    size: int
    file_sha256: bytes | None
    file_sha384: bytes | None


def write_image(
    out: BinaryIO, plan: ImagePlan, *, file_digests: bool = True, progress: Progress | None = None
) -> WrittenImage:
    """Write the image of ``plan`` to ``out``: an empty, seekable file.

    With ``file_digests`` the file must be readable too: it is read back once, because its first bytes are
    known last. Raises `UsageError` ``eif.plan.*``, `UnavailableError` where the disk is full.
    """
    _check(plan)
    try:
        with _Body(out, progress or Silent()) as body:
            header, result = _write_sections(body, plan)
        out.seek(0)
        out.write(header.pack())
        out.flush()
        sha256, sha384 = _digest_file(out, body.position, enabled=file_digests)
    except OSError as error:
        raise UnavailableError("file.unwritable", f"cannot be written: {error.strerror}") from error
    out.seek(body.position)
    return WrittenImage(
        header=header,
        sections=tuple(body.sections),
        section_digests=result[1],
        measurements=result[0],
        size=body.position,
        file_sha256=sha256,
        file_sha384=sha384,
    )


def _write_sections(body: _Body, plan: ImagePlan) -> tuple[Header, tuple[Measurements, tuple[bytes, ...]]]:
    body.write_section(SectionType.KERNEL, plan.kernel)
    body.write_section(SectionType.CMDLINE, [plan.cmdline])
    body.write_section(SectionType.METADATA, [plan.metadata])
    for ramdisk in plan.ramdisks:
        body.write_section(SectionType.RAMDISK, ramdisk)
    result = body.measurer.result()
    measurements = result.measurements
    if plan.sign is not None:
        signature = plan.sign(measurements)
        if len(signature.section) > SIGNATURE_MAX_SIZE:
            raise UsageError(
                "eif.plan.signature-size",
                f"the signature section would have {len(signature.section)} bytes, at most"
                f" {SIGNATURE_MAX_SIZE} fit",
                hint="sign with a file that holds only the signing certificate",
            )
        body.write_section(SectionType.SIGNATURE, [signature.section])
        measurements = replace(measurements, pcr8=pcr_of_certificate(signature.certificate))
        result = body.measurer.result()
    return body.header(plan), (measurements, result.digests)


class _Body:
    """Everything behind the header, being written, checksummed and measured."""

    def __init__(self, out: BinaryIO, progress: Progress) -> None:
        self._out = out
        self._progress = progress
        self._crc = 0
        self.position = HEADER_SIZE
        self.sections: list[Section] = []
        self.measurer = SectionMeasurer()

    def __enter__(self) -> _Body:
        return self

    def __exit__(self, *details: object) -> None:
        self.measurer.close()

    def write_section(self, kind: SectionType, data: Iterable[Chunk]) -> None:
        """Data first, then the section's header, whose size is known only then."""
        start = self.position
        self._out.seek(start + SECTION_HEADER_SIZE)
        self.measurer.begin(kind)
        size = crc = 0
        for chunk in _evenly(data):
            self.measurer.update(chunk)
            self._out.write(chunk)
            crc = crc32(chunk, crc)
            size += len(chunk)
            self._progress.advance("write", start + size, None)
        section = Section(kind, start, size)
        self._out.seek(start)
        self._out.write(section.pack_header())
        self._crc = combine_crc32(crc32(section.pack_header(), self._crc), crc, size)
        self.sections.append(section)
        self.position = section.end

    def header(self, plan: ImagePlan) -> Header:
        """The header of what has been written, with its checksum."""
        header = Header(
            flags=plan.architecture.flags,
            default_memory_bytes=plan.default_memory_bytes,
            default_cpus=plan.default_cpus,
            section_count=len(self.sections),
            section_offsets=table_slots(section.offset for section in self.sections),
            section_sizes=table_slots(section.size for section in self.sections),
        )
        head = crc32(header.pack()[:CRC_OFFSET])
        return replace(header, crc32=combine_crc32(head, self._crc, self.position - HEADER_SIZE))


def _evenly(data: Iterable[Chunk]) -> Iterator[bytes]:
    """The same bytes in immutable chunks of bearable size: archives come in many small pieces.

    Large pieces are copied once (the producer may reuse its buffer while hashing goes on), not at all when
    they are ``bytes`` already; small ones are gathered.
    """
    small = bytearray()
    for piece in data:
        size = len(piece)
        if size < _GATHER:
            small += piece
            if len(small) >= _GATHER:
                yield bytes(small)
                small.clear()
            continue
        if small:
            yield bytes(small)
            small.clear()
        if isinstance(piece, bytes) and size <= CHUNK_SIZE:
            yield piece
            continue
        view = memoryview(piece).cast("B")
        for start in range(0, len(view), CHUNK_SIZE):
            yield bytes(view[start : start + CHUNK_SIZE])
    if small:
        yield bytes(small)


def _check(plan: ImagePlan) -> None:
    sections = 3 + len(plan.ramdisks) + (plan.sign is not None)
    if not plan.ramdisks:
        raise UsageError("eif.plan.ramdisks", "an image needs at least one ramdisk")
    if sections > MAX_SECTIONS:
        raise UsageError(
            "eif.plan.sections", f"{sections} sections are wanted, a header has room for {MAX_SECTIONS}"
        )
    for character, name in ((b"\0", "NUL"), (b"\n", "newline")):
        if character in plan.cmdline:
            raise UsageError(
                "eif.plan.cmdline",
                f"the kernel command line holds a {name}",
                offset=plan.cmdline.index(character),
            )
    if len(plan.metadata) > METADATA_MAX_SIZE:
        raise UsageError(
            "eif.plan.metadata-size",
            f"the metadata has {len(plan.metadata)} bytes, at most {METADATA_MAX_SIZE} are written",
        )


def _sync(file: BinaryIO) -> None:
    """Bring a file to its disk while it is hashed; what fails is raised, for the system says it only once."""
    try:
        descriptor = file.fileno()
    except UnsupportedOperation:  # in memory
        return
    os.fsync(descriptor)


def _digest_file(file: BinaryIO, size: int, *, enabled: bool) -> tuple[bytes, bytes] | tuple[None, None]:
    if not enabled:
        return None, None
    file.seek(0)
    with ThreadPoolExecutor(1, thread_name_prefix="sync") as early, FileDigests() as digests:
        synced = early.submit(_sync, file)
        while digests.size < size:
            chunk = file.read(min(CHUNK_SIZE, size - digests.size))
            if not chunk:
                raise UnavailableError("file.changed", "the file became shorter while it was written")
            digests.update(chunk)
        synced.result()
        return digests.result()
