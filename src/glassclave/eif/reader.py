"""Reading images: strictly for judging, leniently for looking. One pass over the file, constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from glassclave.eif.checksum import crc32
from glassclave.eif.format import CRC_OFFSET, HEADER_SIZE, Header, Section, SectionType
from glassclave.eif.measurement import FileDigests, SectionMeasurer
from glassclave.eif.structure import Breach, read_structure
from glassclave.errors import LimitError, ParseError
from glassclave.progress import Progress, Silent
from glassclave.results import Measurements
from glassclave.streams import ByteSource, read_chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveImage:
    """An image whose structure obeys every rule. ``sections`` are in file order.

    ``warnings`` break no rule that decides anything. The checksum is judged by `measure_image`.
    """

    name: str
    source: ByteSource
    header: Header
    sections: tuple[Section, ...]
    warnings: tuple[Breach, ...] = ()

    def of_type(self, kind: SectionType) -> tuple[Section, ...]:
        """The sections of one type, in file order."""
        return tuple(section for section in self.sections if section.type == kind)

    def data(self, section: Section, *, limit: int) -> bytes:
        """Whole data of a section of at most ``limit`` bytes; else `LimitError` ``eif.section.limit``."""
        if section.size > limit:
            raise LimitError(
                "eif.section.limit",
                f"the {section.name} section has {section.size} bytes, at most {limit} are read",
                offset=section.offset,
                source=self.name,
            )
        return self.source.read_at(section.data_offset, section.size)

    def chunks(self, section: Section) -> Iterator[bytes]:
        """Data of a section, piece by piece."""
        return read_chunks(self.source, section.data_offset, section.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredImage:
    """What one pass over an image found. ``section_digests``: SHA-384 of each section's data, file order.

    ``measurements`` has no PCR8: that is a matter of the signature (`glassclave.eif.signature`).
    ``file_sha256``, ``file_sha384``: ``None`` where they were not asked for.
    """

    header: Header
    sections: tuple[Section, ...]
    section_digests: tuple[bytes, ...]
    measurements: Measurements
    crc_ok: bool
    size: int
    file_sha256: bytes | None = None
    file_sha384: bytes | None = None


def read_image(source: ByteSource, *, name: str) -> EnclaveImage:
    """Image of ``source``, every structural rule checked; no section data is read.

    Raises `ParseError` ``eif.*`` with offset for the first breach.
    """
    structure = read_structure(source, name=name)
    for breach in structure.breaches:
        if breach.fatal:
            raise breach.error(name)
    return EnclaveImage(
        name=name,
        source=source,
        header=structure.header,
        sections=structure.sections,
        warnings=structure.breaches,
    )


def measure_image(
    image: EnclaveImage, *, file_digests: bool = False, progress: Progress | None = None
) -> MeasuredImage:
    """Measure a strictly read image. Raises `ParseError` ``eif.crc`` where the checksum is wrong.

    Without PCR8: `glassclave.eif.signature.appraise_image` checks the image's signature too and has it.
    ``file_digests`` adds SHA-256 and SHA-384 of the whole file, at the cost of more hashing.
    """
    measured = measure_sections(
        image.source, image.header, image.sections, file_digests=file_digests, progress=progress
    )
    if not measured.crc_ok:
        raise ParseError(
            "eif.crc",
            "the checksum in the header is not that of the file",
            offset=CRC_OFFSET,
            source=image.name,
        )
    return measured


def measure_sections(
    source: ByteSource,
    header: Header,
    sections: tuple[Section, ...],
    *,
    file_digests: bool = False,
    progress: Progress | None = None,
) -> MeasuredImage:
    """Measure ``sections``, which lie in ``source`` one behind the other or with gaps, never overlapping.

    Decides nothing: ``crc_ok`` says how the checksum came out. It covers gaps too (EIF specification, "CRC").
    """
    tell = progress or Silent()
    with FileDigests(enabled=file_digests) as whole, SectionMeasurer() as measurer:
        crc = 0
        for chunk, crc_part in _pieces(source, sections, measurer):
            crc = crc32(crc_part, crc)
            whole.update(chunk)
            tell.advance("measure", whole.size, source.size)
        result = measurer.result()
        sha256, sha384 = whole.result()
    return MeasuredImage(
        header=header,
        sections=sections,
        section_digests=result.digests,
        measurements=result.measurements,
        crc_ok=crc == header.crc32,
        size=source.size,
        file_sha256=sha256,
        file_sha384=sha384,
    )


def _pieces(
    source: ByteSource, sections: tuple[Section, ...], measurer: SectionMeasurer
) -> Iterator[tuple[bytes, bytes]]:
    """The whole file, piece by piece, each with the part of it that the checksum covers; data is measured."""
    header = source.read_at(0, HEADER_SIZE)
    yield header, header[:CRC_OFFSET]
    position = HEADER_SIZE
    for section in sections:
        for chunk in read_chunks(source, position, section.data_offset - position):
            yield chunk, chunk
        measurer.begin(section.type)
        for chunk in read_chunks(source, section.data_offset, section.size):
            measurer.update(chunk)
            yield chunk, chunk
        position = section.end
    for chunk in read_chunks(source, position, source.size - position):
        yield chunk, chunk
