"""Signing an image that exists: the same sections again, a new signature behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from glassclave.eif.format import KNOWN_FLAGS, MEASURED, METADATA_MAX_SIZE, VERSION, SectionType
from glassclave.eif.reader import EnclaveImage
from glassclave.eif.writer import ImagePlan, SignatureData, WrittenImage, write_image
from glassclave.errors import UsageError
from glassclave.progress import Progress
from glassclave.results import Measurements

_CMDLINE_MAX_SIZE = 1 << 20


def sign_image(
    image: EnclaveImage,
    out: BinaryIO,
    sign: Callable[[Measurements], SignatureData],
    *,
    file_digests: bool = True,
    progress: Progress | None = None,
) -> WrittenImage:
    """Write ``image`` to ``out`` with a signature by ``sign``, replacing one that is there.

    PCR0, 1 and 2 stay; sections come in the builder's order, and table and section sizes agree (they do not
    after a second ``nitro-cli sign-eif``: image-format issue 54). `UsageError` ``eif.sign.*`` for an image
    that cannot be written again without changing what it is.
    """
    _check_rewritable(image)
    (kernel,) = image.of_type(SectionType.KERNEL)
    (cmdline,) = image.of_type(SectionType.CMDLINE)
    (metadata,) = image.of_type(SectionType.METADATA)
    plan = ImagePlan(
        architecture=image.header.architecture,
        kernel=image.chunks(kernel),
        cmdline=image.data(cmdline, limit=_CMDLINE_MAX_SIZE),
        metadata=image.data(metadata, limit=METADATA_MAX_SIZE),
        ramdisks=[image.chunks(section) for section in image.of_type(SectionType.RAMDISK)],
        sign=sign,
        default_memory_bytes=image.header.default_memory_bytes,
        default_cpus=image.header.default_cpus,
    )
    return write_image(out, plan, file_digests=file_digests, progress=progress)


def _check_rewritable(image: EnclaveImage) -> None:
    if image.header.version != VERSION:
        raise UsageError(
            "eif.sign.version",
            f"only images of version {VERSION} can be signed, this is version {image.header.version}",
        )
    if image.header.flags & ~KNOWN_FLAGS:
        raise UsageError(
            "eif.sign.flags",
            f"flags 0x{image.header.flags:04x} are not public: what they do to PCR0 is unknown",
        )
    measured = [section.type for section in image.sections if section.type in MEASURED]
    if measured[:2] != [SectionType.KERNEL, SectionType.CMDLINE]:
        # PCRs follow the order in the file: another order would give other PCRs.
        raise UsageError("eif.sign.order", "kernel and command line do not come first, in this order")
