"""What is wrong with the structure of an image: one list of breaches, for the strict and the lenient reader.

Two parsers exist in the field: AWS's tools walk the sections one after the other, loaders follow the header's
table (EIF specification; image-format issue 25). An image that reads differently for the two can show one
content and boot another, so it is refused even where each reading is fine by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from glassclave.eif.format import (
    HEADER_SIZE,
    KNOWN_FLAGS,
    MAGIC,
    MAX_SECTIONS,
    METADATA_MAX_SIZE,
    MIN_SECTIONS,
    SECTION_HEADER_SIZE,
    SIGNATURE_MAX_SIZE,
    VERSIONS,
    Header,
    Section,
    SectionType,
)
from glassclave.errors import ParseError
from glassclave.results import Finding, Severity
from glassclave.streams import ByteSource

_STALE = (
    ": nitro-cli sign-eif leaves that where it replaces a signature; loaders refuse such a file,"
    " sign the unsigned image"
)
"""Image-format issue 54; ``describe-eif`` does not look at the table and accepts the file."""

_TYPES = frozenset(int(kind) for kind in SectionType)


@dataclass(frozen=True, slots=True)
class Breach:
    """One rule that the image breaks. ``offset`` is where in the file, ``fatal`` whether it is refused."""

    code: str
    message: str
    offset: int | None = None
    fatal: bool = True

    def finding(self) -> Finding:
        """The breach as something to report."""
        return Finding(
            code=self.code,
            severity=Severity.ERROR if self.fatal else Severity.WARNING,
            message=self.message,
            where=None if self.offset is None else f"offset {self.offset}",
        )

    def error(self, name: str) -> ParseError:
        """The breach as a refusal of the input ``name``."""
        return ParseError(self.code, self.message, offset=self.offset, source=name)


@dataclass(frozen=True, slots=True)
class Structure:
    """Header, the sections of the table that lie inside the file, and every breach found.

    ``agreed``: whether table and sequential walk see the same sections. Without it PCR values mean nothing.
    """

    header: Header
    sections: tuple[Section, ...]
    breaches: tuple[Breach, ...]
    agreed: bool


def read_structure(source: ByteSource, *, name: str) -> Structure:
    """Structure of an image, however broken. At most 33 sections are looked at, no data is read.

    Raises `ParseError` ``eif.truncated``, ``eif.magic``, ``eif.section-count`` where no table can be read.
    """
    if source.size < HEADER_SIZE:
        raise ParseError(
            "eif.truncated",
            f"has {source.size} bytes, an enclave image starts with a header of {HEADER_SIZE}",
            offset=source.size,
            source=name,
        )
    header = Header.unpack(source.read_at(0, HEADER_SIZE))
    if header.magic != MAGIC:
        raise ParseError("eif.magic", "is not an enclave image (EIF)", offset=0, source=name)
    if header.section_count > MAX_SECTIONS:
        raise ParseError(
            "eif.section-count",
            f"claims {header.section_count} sections, a header has room for {MAX_SECTIONS}",
            offset=0x1A,
            source=name,
        )
    breaches = list(_header_breaches(header))
    sections: list[Section] = []
    breaches += _table(source, header, sections)
    breaches += _placement(source, sections)
    breaches += _population(header, sections)
    agreed = _sequential(source) == sections and len(sections) == header.section_count
    if not agreed:
        breaches.append(
            Breach(
                "eif.walks-disagree",
                "the header's table and the sections in the file tell different stories",
                HEADER_SIZE,
            )
        )
    return Structure(header, tuple(sections), tuple(breaches), agreed)


def _header_breaches(header: Header) -> Iterator[Breach]:
    if header.version not in VERSIONS:
        yield Breach("eif.version", f"version {header.version} is not one of 2, 3, 4", 4)
    if header.flags & ~KNOWN_FLAGS:
        # Bits beyond 0 are in the field since 2026 and may enter PCR0 there by a rule that is not public.
        yield Breach(
            "eif.header.flags",
            f"flags 0x{header.flags:04x} are not public: hardware may report other PCR values than the"
            " documented rule gives",
            6,
            fatal=False,
        )
    if header.reserved or header.unused:
        offset = 0x18 if header.reserved else 0x21C
        yield Breach("eif.header.reserved", "reserved bytes of the header are not zero", offset, fatal=False)
    count = header.section_count
    if count < MIN_SECTIONS:
        yield Breach("eif.section-count", f"{count} sections, at least {MIN_SECTIONS} are needed", 0x1A)
    if any(header.section_offsets[count:]) or any(header.section_sizes[count:]):
        yield Breach("eif.header.unused-slots", "unused slots of the table are not zero", 0x1C, fatal=False)


def _table(source: ByteSource, header: Header, sections: list[Section]) -> Iterator[Breach]:
    """Breaches of single table entries; sections that can be read are added to ``sections``."""
    for index in range(header.section_count):
        offset, size = header.section_offsets[index], header.section_sizes[index]
        slot = 0x1C + 8 * index
        if offset < HEADER_SIZE:
            yield Breach("eif.section.offset", f"section {index} starts inside the header", slot)
            continue
        if offset + SECTION_HEADER_SIZE > source.size:
            yield Breach("eif.section.offset", f"section {index} starts behind the end of the file", slot)
            continue
        section = Section.unpack_header(source.read_at(offset, SECTION_HEADER_SIZE), offset=offset)
        if section.size != size:
            yield Breach(
                "eif.section.size-mismatch",
                f"section {index} has {section.size} bytes by its own header and {size} by the table"
                + (_STALE if section.type == SectionType.SIGNATURE else ""),
                offset + 4,
            )
        if section.end > source.size:
            yield Breach(
                "eif.section.truncated", f"section {index} ends behind the end of the file", offset + 4
            )
            continue
        if section.flags:
            yield Breach("eif.section.flags", f"section {index} has flags set", offset + 2, fatal=False)
        sections.append(section)


def _placement(source: ByteSource, sections: list[Section]) -> Iterator[Breach]:
    """Sections must lie one behind the other, in the order of the table, from the header to the end."""
    if [section.offset for section in sections] != sorted(section.offset for section in sections):
        yield Breach(
            "eif.section.order", "the table does not list the sections in the order of the file", 0x1C
        )
    position = HEADER_SIZE
    for section in sorted(sections, key=lambda section: section.offset):
        if section.offset < position:
            yield Breach("eif.section.overlap", f"a {section.name} section overlaps another", section.offset)
        elif section.offset > position:
            gap = section.offset - position
            yield Breach("eif.section.gap", f"{gap} bytes belong to no section", position)
        position = max(position, section.end)
    if position < source.size:
        yield Breach("eif.trailing", f"{source.size - position} bytes follow the last section", position)


def _population(header: Header, sections: list[Section]) -> Iterator[Breach]:
    """How many of each type there must be, and ramdisks behind the kernel."""
    offsets: dict[int, list[int]] = {}
    for section in sections:
        offsets.setdefault(section.type, []).append(section.offset)
        if section.type not in _TYPES:
            yield Breach("eif.section.type", f"section {section.name} is not defined", section.offset)
    has_metadata = header.version >= 4
    for kind, least, most in (
        (SectionType.KERNEL, 1, 1),
        (SectionType.CMDLINE, 1, 1),
        (SectionType.RAMDISK, 1, MAX_SECTIONS),
        (SectionType.METADATA, int(has_metadata), int(has_metadata)),
        (SectionType.SIGNATURE, 0, int(header.version >= 3)),
    ):
        found = offsets.get(kind, [])
        if not least <= len(found) <= most:
            wanted = (
                f"exactly {least}" if least == most else f"at least {least}" if least else f"at most {most}"
            )
            yield Breach(
                f"eif.{kind.name.lower()}.count",
                f"{len(found)} {kind.name.lower()} sections, version {header.version} has {wanted}",
                found[-1] if found else None,
            )
    kernels, ramdisks = offsets.get(SectionType.KERNEL, []), offsets.get(SectionType.RAMDISK, [])
    if kernels and ramdisks and min(ramdisks) < max(kernels):
        yield Breach("eif.ramdisk.order", "a ramdisk stands before the kernel", min(ramdisks))
    for section in sections:
        if section.type == SectionType.SIGNATURE and section.size > SIGNATURE_MAX_SIZE:
            yield Breach(
                "eif.signature.size",
                f"the signature has {section.size} bytes, at most {SIGNATURE_MAX_SIZE} are allowed",
                section.offset,
            )
        if section.type == SectionType.METADATA and section.size > METADATA_MAX_SIZE:
            yield Breach(
                "eif.metadata.size",
                f"the metadata has {section.size} bytes, at most {METADATA_MAX_SIZE} are read",
                section.offset,
                fatal=False,
            )


def _sequential(source: ByteSource) -> list[Section]:
    """Sections as AWS's tools see them: one behind the other from the header on, the table not looked at."""
    sections: list[Section] = []
    offset = HEADER_SIZE
    while offset + SECTION_HEADER_SIZE <= source.size and len(sections) <= MAX_SECTIONS:
        section = Section.unpack_header(source.read_at(offset, SECTION_HEADER_SIZE), offset=offset)
        sections.append(section)
        offset = section.end
    return sections
