"""An image file measured: what the ``measured`` part of a statement says of it."""

from __future__ import annotations

from dataclasses import dataclass

from glassclave.eif.format import FLAG_AARCH64
from glassclave.eif.reader import MeasuredImage, read_image
from glassclave.eif.signature import appraise_image
from glassclave.progress import Progress
from glassclave.provenance.predicate import FileDigest, Measured, SectionDigest
from glassclave.results import Finding
from glassclave.streams import ByteSource


@dataclass(frozen=True, slots=True)
class MeasuredFile:
    """An image that obeys every rule of its format, and its measurements. ``findings``: what is odd in it."""

    image: MeasuredImage
    measured: Measured
    findings: tuple[Finding, ...] = ()


def measure_file(source: ByteSource, *, name: str, progress: Progress) -> MeasuredFile:
    """Read strictly, check checksum and signature, measure in one pass.

    Raises `ParseError` ``eif.*`` with the offset of whatever breaks a rule.
    """
    opened = read_image(source, name=name)
    image = appraise_image(opened, file_digests=True, progress=progress)
    if image.file_sha256 is None or image.file_sha384 is None:
        raise ValueError("the file's digests were asked for")
    return MeasuredFile(
        image,
        Measured(
            measurements=image.measurements,
            sections=tuple(
                SectionDigest(type=section.name, size=section.size, sha384=digest)
                for section, digest in zip(image.sections, image.section_digests, strict=True)
            ),
            eif=FileDigest(size=source.size, sha256=image.file_sha256, sha384=image.file_sha384),
            architecture="aarch64" if image.header.flags & FLAG_AARCH64 else "x86_64",
            eif_version=image.header.version,
            flags=image.header.flags,
        ),
        tuple(breach.finding() for breach in opened.warnings),
    )
