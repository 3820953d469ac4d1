"""Images for tests: the public vector by our writer, and anything at all, however broken, by hand."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence

from glassclave.eif.format import Architecture
from glassclave.eif.inspection import Inspection, inspect_image
from glassclave.eif.metadata import Metadata, build_metadata
from glassclave.eif.reader import EnclaveImage, MeasuredImage, measure_image, read_image
from glassclave.eif.writer import ImagePlan, SignatureData, WrittenImage, write_image
from glassclave.results import Measurements
from glassclave.streams import BytesSource

KERNEL, CMDLINE, RAMDISK, SIGNATURE, METADATA = 1, 2, 3, 4, 5
METADATA_TEXT = build_metadata(
    Metadata(
        image_name="name",
        image_version="1.0",
        build_time="1970-01-01T00:00:00+00:00",
        build_tool="eif_build",
        build_tool_version="0.3.1",
        operating_system="OS",
        kernel_version="kernel",
    )
)
PARTS = ((KERNEL, b"KERNEL"), (CMDLINE, b"console=ttyS0"), (METADATA, METADATA_TEXT))
VECTOR = (*PARTS, (RAMDISK, b"RAMDISK0"), (RAMDISK, b"RAMDISK1"))
PCR0 = "61fd2b06210a933b3db5e15c5752e394894bb097f7f1d96ad1f55a7525d0d7aa2c63b235f44420b12d8376cc392bdefb"
PCR1 = "a6d35ce3e7ba80048a2b23da9b15063726a7cea90e16e9d6934e92a15aa1896fd54de706310e2fbc585d9c37db9c1805"
PCR2 = "5f699ae4300525c628f5c96fc521729dd6ca1a2c07cb07b69e7ae9e3fa935cfd7cc83b3e26d89201a486d9db2405c562"


def write(
    kernel: bytes = b"KERNEL",
    cmdline: bytes = b"console=ttyS0",
    ramdisks: Sequence[bytes] = (b"RAMDISK0", b"RAMDISK1"),
    *,
    architecture: Architecture = Architecture.X86_64,
    metadata: bytes = METADATA_TEXT,
    sign: Callable[[Measurements], SignatureData] | None = None,
) -> tuple[bytes, WrittenImage]:
    """An image by our writer."""
    out = io.BytesIO()
    plan = ImagePlan(
        architecture=architecture,
        kernel=[kernel],
        cmdline=cmdline,
        metadata=metadata,
        ramdisks=[[ramdisk] for ramdisk in ramdisks],
        sign=sign,
    )
    written = write_image(out, plan)
    return out.getvalue(), written


def read(data: bytes) -> EnclaveImage:
    """The strict reader."""
    return read_image(BytesSource(data), name="test.eif")


def measure(data: bytes) -> MeasuredImage:
    """The strict reader, and the measuring pass."""
    return measure_image(read(data), file_digests=True)


def inspect(data: bytes) -> Inspection:
    """The lenient reader."""
    return inspect_image(BytesSource(data), name="test.eif")


def codes(inspection: Inspection) -> set[str]:
    """Codes of all findings."""
    return {finding.code for finding in inspection.findings}


def with_crc(data: bytes) -> bytes:
    """The same image, its checksum made right again."""
    crc = zlib.crc32(data[0x224:], zlib.crc32(data[:0x220]))
    return data[:0x220] + struct.pack(">I", crc) + data[0x224:]


def patched(data: bytes, offset: int, new: bytes) -> bytes:
    """The same image with some bytes replaced and a right checksum."""
    return with_crc(data[:offset] + new + data[offset + len(new) :])


def by_hand(
    sections: Sequence[tuple[int, bytes]] = VECTOR,
    *,
    version: int = 4,
    count: int | None = None,
    gaps: Sequence[bytes] = (),
    trailing: bytes = b"",
    offsets: dict[int, int] | None = None,
    sizes: dict[int, int] | None = None,
) -> bytes:
    """Any image: ``gaps[i]`` before section i; ``offsets`` and ``sizes`` override table entries."""
    table: list[tuple[int, int]] = []
    body = b""
    for index, (kind, data) in enumerate(sections):
        body += gaps[index] if index < len(gaps) else b""
        table.append(((offsets or {}).get(index, 548 + len(body)), (sizes or {}).get(index, len(data))))
        body += struct.pack(">HHQ", kind, 0, len(data)) + data
    shown = len(sections) if count is None else count
    padding = [0] * (32 - len(table))
    head = struct.pack(
        ">4sHHQQHH32Q32QII",
        b".eif",
        version,
        0,
        1 << 30,
        2,
        0,
        shown,
        *[offset for offset, _ in table],
        *padding,
        *[size for _, size in table],
        *padding,
        0,
        0,
    )
    return with_crc(head + body + trailing)
