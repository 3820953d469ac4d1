"""Constants and structs of the enclave image format (EIF specification, "Header", "Section header").

All integers are big-endian and unsigned; sections follow one another without padding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from glassclave.errors import UsageError

MAGIC = b".eif"
VERSION = 4
"""What this tool writes; readers take `VERSIONS`."""
VERSIONS = (2, 3, 4)
"""Versions that the hypervisor accepts. 0 and 1 had no CRC and were never public."""

HEADER_SIZE = 548
SECTION_HEADER_SIZE = 12
CRC_OFFSET = 0x220
MIN_SECTIONS = 2
MAX_SECTIONS = 32

SIGNATURE_MAX_SIZE = 32768
METADATA_MAX_SIZE = 1 << 20
"""Ours: the specification names no limit; a metadata section is read into memory, so there is one."""

DEFAULT_MEMORY_BYTES = 1 << 30
DEFAULT_CPUS = 2

FLAG_AARCH64 = 0x0001
KNOWN_FLAGS = FLAG_AARCH64

_HEADER = struct.Struct(">4sHHQQHH32Q32QII")
_SECTION_HEADER = struct.Struct(">HHQ")


class SectionType(IntEnum):
    """Section types of version 4. 0 is "invalid" and 6 and above are not defined."""

    KERNEL = 1
    CMDLINE = 2
    RAMDISK = 3
    SIGNATURE = 4
    METADATA = 5


MEASURED = frozenset({SectionType.KERNEL, SectionType.CMDLINE, SectionType.RAMDISK})
"""Types whose data enters a PCR."""


class Architecture(StrEnum):
    """Machine that an image is for; bit 0 of the header's flags."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"

    @property
    def flags(self) -> int:
        """Header flags that say so."""
        return FLAG_AARCH64 if self is Architecture.AARCH64 else 0

    @classmethod
    def of_oci(cls, name: str) -> Architecture:
        """Architecture of an OCI image configuration (``amd64``, ``arm64``); others cannot be enclaves."""
        known = {"amd64": cls.X86_64, "arm64": cls.AARCH64}
        if name not in known:
            raise UsageError(
                "eif.architecture",
                f"enclaves run on amd64 and arm64, this image is for {name[:40]!r}",
                hint="build the container image with --platform linux/amd64 or linux/arm64",
            )
        return known[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The 548 bytes at the start. Offsets are of section *headers*, sizes are of section *data*.

    Both tables have 32 entries, used or not.
    """

    magic: bytes = MAGIC
    version: int = VERSION
    flags: int = 0
    default_memory_bytes: int = DEFAULT_MEMORY_BYTES
    default_cpus: int = DEFAULT_CPUS
    reserved: int = 0
    section_count: int
    section_offsets: tuple[int, ...]
    section_sizes: tuple[int, ...]
    unused: int = 0
    crc32: int = 0

    @property
    def architecture(self) -> Architecture:
        """Machine named by bit 0 of the flags."""
        return Architecture.AARCH64 if self.flags & FLAG_AARCH64 else Architecture.X86_64

    def pack(self) -> bytes:
        """The 548 bytes."""
        return _HEADER.pack(
            self.magic,
            self.version,
            self.flags,
            self.default_memory_bytes,
            self.default_cpus,
            self.reserved,
            self.section_count,
            *self.section_offsets,
            *self.section_sizes,
            self.unused,
            self.crc32,
        )

    @classmethod
    def unpack(cls, data: bytes) -> Header:
        """Header of exactly 548 bytes, nothing judged."""
        magic, version, flags, memory, cpus, reserved, count, *rest = _HEADER.unpack(data)
        return cls(
            magic=magic,
            version=version,
            flags=flags,
            default_memory_bytes=memory,
            default_cpus=cpus,
            reserved=reserved,
            section_count=count,
            section_offsets=tuple(rest[:MAX_SECTIONS]),
            section_sizes=tuple(rest[MAX_SECTIONS : 2 * MAX_SECTIONS]),
            unused=rest[-2],
            crc32=rest[-1],
        )


@dataclass(frozen=True, slots=True)
class Section:
    """One section. ``offset`` is that of its 12-byte header, ``size`` counts data bytes only.

    ``type`` is a plain number: a hostile image can hold any.
    """

    type: int
    offset: int
    size: int
    flags: int = 0

    @property
    def data_offset(self) -> int:
        """Offset of the first data byte."""
        return self.offset + SECTION_HEADER_SIZE

    @property
    def end(self) -> int:
        """Offset just behind the last data byte."""
        return self.data_offset + self.size

    @property
    def name(self) -> str:
        """Lower-case name of the type, ``type 7`` for one that is not defined."""
        return section_type_name(self.type)

    def pack_header(self) -> bytes:
        """The 12 bytes in front of the data."""
        return _SECTION_HEADER.pack(self.type, self.flags, self.size)

    @classmethod
    def unpack_header(cls, data: bytes, *, offset: int) -> Section:
        """Section of a 12-byte header found at ``offset``, nothing judged."""
        kind, flags, size = _SECTION_HEADER.unpack(data)
        return cls(kind, offset, size, flags)


def section_type_name(number: int) -> str:
    """Lower-case name of a section type, ``type 7`` for one that is not defined."""
    try:
        return SectionType(number).name.lower()
    except ValueError:
        return f"type {number}"


def table_slots(values: Iterable[int]) -> tuple[int, ...]:
    """A table of the header: ``values``, then zeros up to its 32 entries."""
    used = tuple(values)
    return used + (0,) * (MAX_SECTIONS - len(used))
