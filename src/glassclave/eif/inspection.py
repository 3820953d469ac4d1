"""Looking at an image that may be anything: all that can be said of it, and all that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from glassclave.eif.format import (
    CRC_OFFSET,
    METADATA_MAX_SIZE,
    SIGNATURE_MAX_SIZE,
    Header,
    Section,
    SectionType,
)
from glassclave.eif.metadata import Metadata, parse_metadata, shadowing_keys
from glassclave.eif.reader import measure_sections
from glassclave.eif.structure import Breach, Structure, read_structure
from glassclave.errors import GlassclaveError
from glassclave.progress import Progress
from glassclave.results import PCR2_OF_NOTHING, Finding, Measurements, Severity
from glassclave.streams import ByteSource

if TYPE_CHECKING:
    from glassclave.eif.signature import ImageSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a lenient look at an image found.

    ``measurements`` and ``section_digests`` are ``None`` where table walk and sequential walk disagree: no
    PCR value means anything then. ``signature`` is ``None`` where there is none or it is not readable;
    ``signature_ok`` is ``None`` where there is no signature section. ``findings``: an ``ERROR`` is what makes
    verify refuse the image.
    """

    name: str
    size: int
    header: Header
    sections: tuple[Section, ...]
    section_digests: tuple[bytes, ...] | None
    measurements: Measurements | None
    crc_ok: bool
    signature: ImageSignature | None
    signature_ok: bool | None
    metadata: Metadata | None
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        """Whether verify would refuse the image."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


def inspect_image(source: ByteSource, *, name: str, progress: Progress | None = None) -> Inspection:
    """Look at an image; breaches become findings.

    Raises `ParseError` only where there is nothing to look at: ``eif.truncated``, ``eif.magic``,
    ``eif.section-count``.
    """
    structure = read_structure(source, name=name)
    findings = [breach.finding() for breach in structure.breaches]
    sections = structure.sections if structure.agreed else ()
    measured = measure_sections(source, structure.header, sections, progress=progress)
    if not measured.crc_ok:
        breach = Breach("eif.crc", "the checksum in the header is not that of the file", CRC_OFFSET)
        findings.append(breach.finding())
    measurements = measured.measurements if structure.agreed else None
    signature, signature_ok = _signature(source, structure, measurements, findings)
    if signature is not None and measurements is not None:
        measurements = replace(measurements, pcr8=signature.pcr8)
    metadata = _metadata(source, structure, findings)
    if measurements is not None and measurements.pcr2 == PCR2_OF_NOTHING:
        findings.append(
            Finding(
                code="eif.no-application",
                severity=Severity.NOTE,
                message="there is no application ramdisk: this PCR2 is the same for all such images",
                where="PCR2",
            )
        )
    return Inspection(
        name=name,
        size=source.size,
        header=structure.header,
        sections=structure.sections,
        section_digests=measured.section_digests if structure.agreed else None,
        measurements=measurements,
        crc_ok=measured.crc_ok,
        signature=signature,
        signature_ok=signature_ok,
        metadata=metadata,
        findings=tuple(findings),
    )


def _only(structure: Structure, kind: SectionType, limit: int) -> Section | None:
    """The section of a type, where there is one and it can be held; else a breach says so already."""
    found = [section for section in structure.sections if section.type == kind]
    return found[0] if len(found) == 1 and found[0].size <= limit else None


def _signature(
    source: ByteSource, structure: Structure, measurements: Measurements | None, findings: list[Finding]
) -> tuple[ImageSignature | None, bool | None]:
    if all(section.type != SectionType.SIGNATURE for section in structure.sections):
        return None, None
    # Most images have none, and what reads certificates takes longer to load than a small image to measure.
    from glassclave.eif.signature import check_signature, parse_signature

    section = _only(structure, SectionType.SIGNATURE, SIGNATURE_MAX_SIZE)
    if section is None:
        return None, False
    where = f"signature section, offset {section.offset}"
    try:
        signature = parse_signature(source.read_at(section.data_offset, section.size), lenient=True)
    except GlassclaveError as error:
        findings.append(_finding(error, Severity.ERROR, where))
        return None, False
    if signature.section.byte_strings:
        findings.append(
            Finding(
                code="eif.signature.byte-string",
                severity=Severity.ERROR,
                message="holds byte strings, the format has arrays of numbers: tools read it differently",
                where=where,
            )
        )
    if measurements is None:
        return signature, False
    try:
        check_signature(signature, measurements.pcr0)
    except GlassclaveError as error:
        findings.append(_finding(error, Severity.ERROR, where))
        return signature, False
    return signature, True


def _metadata(source: ByteSource, structure: Structure, findings: list[Finding]) -> Metadata | None:
    section = _only(structure, SectionType.METADATA, METADATA_MAX_SIZE)
    if section is None:
        return None
    where = f"metadata section, offset {section.offset}"
    try:
        metadata = parse_metadata(source.read_at(section.data_offset, section.size))
    except GlassclaveError as error:
        findings.append(_finding(error, Severity.WARNING, where))
        return None
    if metadata is None:
        return None
    findings += _custom_findings(metadata.custom, where)
    return metadata


def _custom_findings(custom: object, where: str) -> Iterator[Finding]:
    for key in shadowing_keys(custom):
        yield Finding(
            code="eif.metadata.shadow",
            severity=Severity.WARNING,
            message=f"custom metadata has a key {key}: left out, it would pass for the genuine one",
            where=where,
        )
    if custom is not None and not isinstance(custom, dict):
        yield Finding(
            code="eif.metadata.custom-type",
            severity=Severity.WARNING,
            message="custom metadata is not an object: left out, nitro-cli cannot show it either",
            where=where,
        )


def _finding(error: GlassclaveError, severity: Severity, where: str) -> Finding:
    field = "" if error.field is None else f"{error.field}: "
    return Finding(code=error.code, severity=severity, message=f"{field}{error.message}", where=where)
