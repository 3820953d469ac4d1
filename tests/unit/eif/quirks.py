"""What real parsers make of odd images (EIF reference §1.7): one row for each, three answers in it.

``ours`` is asked by `test_conformance`, ``aws`` of the real ``nitro-cli describe-eif`` by the interop tests,
``qemu`` of the real loader by the boot tests, which put the sections of an image that boots into ``make``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.unit.eif.images import CMDLINE, KERNEL, METADATA, RAMDISK, SIGNATURE, by_hand, patched
from tests.unit.eif.signed_images import SIGNED

Sections = Sequence[tuple[int, bytes]]
Aws = Literal["reads", "refuses", "panics"]
SIGNATURE_AT = 881 + 12  # in AWS's signed images of the public vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirk:
    """``ours``: code of the strict reader's refusal, ``None`` where it reads; ``warning``: what it notes.

    ``checks``: what ``describe-eif`` says of CRC and signature where it reads. ``qemu``: ``boots``, or words
    of its refusal; ``None`` where that is not tried. ``make``: the odd image, from sections of a sound one.
    """

    name: str
    make: Callable[[Sections], bytes]
    ours: str | None
    aws: Aws
    warning: str | None = None
    checks: tuple[str, ...] = ("CheckCRC",)
    qemu: str | None = None


def offset_of(sections: Sequence[tuple[int, bytes]], index: int) -> int:
    """Where a section's header stands."""
    return 548 + sum(12 + len(data) for _, data in sections[:index])


def without(sections: Sections, kind: int) -> list[tuple[int, bytes]]:
    return [section for section in sections if section[0] != kind]


def doubled(sections: Sections, kind: int) -> list[tuple[int, bytes]]:
    (one,) = (section for section in sections if section[0] == kind)
    return [one, *sections] if kind == KERNEL else [*sections, one]


def crc_without(data: bytes, start: int, size: int) -> bytes:
    """The checksum as QEMU takes it: bytes of no section do not count."""
    crc = zlib.crc32(data[start + size :], zlib.crc32(data[0x224:start], zlib.crc32(data[:0x220])))
    return data[:0x220] + struct.pack(">I", crc) + data[0x224:]


def stale_size(sections: Sections) -> bytes:
    """As ``nitro-cli sign-eif`` leaves an image whose signature it replaced by a shorter one (issue 54)."""
    signed = [*without(sections, SIGNATURE), (SIGNATURE, SIGNED["P-256"][SIGNATURE_AT:])]
    return by_hand(signed, sizes={len(signed) - 1: len(SIGNED["P-384"]) - SIGNATURE_AT})


def swapped(sections: Sections) -> bytes:
    """The table lists the last two sections in the other order."""
    last, before = len(sections) - 1, len(sections) - 2
    return by_hand(
        sections,
        offsets={before: offset_of(sections, last), last: offset_of(sections, before)},
        sizes={before: len(sections[last][1]), last: len(sections[before][1])},
    )


def swapped_with_its_crc(sections: Sections) -> bytes:
    """The same, with the checksum as QEMU takes it: in the order of the table."""
    data = swapped(sections)
    last, before = offset_of(sections, len(sections) - 1), offset_of(sections, len(sections) - 2)
    crc = zlib.crc32(data[0x224:before], zlib.crc32(data[:0x220]))
    crc = zlib.crc32(data[before:last], zlib.crc32(data[last:], crc))
    return data[:0x220] + struct.pack(">I", crc) + data[0x224:]


def trailing(sections: Sections, count: int, *, counted: bool) -> bytes:
    data = by_hand(sections, trailing=bytes(count))
    return data if counted else crc_without(data, len(data) - count, count)


def gap(sections: Sections, *, counted: bool) -> bytes:
    """Zeros between header and kernel."""
    data = by_hand(sections, gaps=[bytes(12)])
    return data if counted else crc_without(data, 548, 12)


def last_size(sections: Sections, size: int) -> bytes:
    """The last section claims another size, in table and header alike."""
    last = len(sections) - 1
    data = by_hand(sections, sizes={last: size})
    return patched(data, offset_of(sections, last) + 4, struct.pack(">Q", size))


CONTAINER = (
    Quirk(
        name="magic",
        make=lambda s: patched(by_hand(s), 0, b".EIF"),
        ours="eif.magic",
        aws="reads",
        qemu="Magic mismatch",
    ),
    Quirk(
        name="version-9", make=lambda s: by_hand(s, version=9), ours="eif.version", aws="reads", qemu="boots"
    ),
    Quirk(
        name="version-3",
        make=lambda s: by_hand(without(s, METADATA), version=3),
        ours=None,
        aws="reads",
        qemu="version 4 or greater",
    ),
    Quirk(
        name="header-flags",
        make=lambda s: patched(by_hand(s), 6, b"\2\x40"),
        ours=None,
        warning="eif.header.flags",
        aws="reads",
        qemu="EIF flags to be 0",
    ),
    Quirk(
        name="count-0",
        make=lambda s: by_hand(s, count=0),
        ours="eif.section-count",
        aws="reads",
        qemu="No kernel section",
    ),
    Quirk(
        name="count-33",
        make=lambda s: by_hand(s, count=33),
        ours="eif.section-count",
        aws="reads",
        qemu="section count",
    ),
    Quirk(name="table-order", make=swapped, ours="eif.section.order", aws="reads", qemu="CRC mismatch"),
    Quirk(
        name="table-order-and-its-crc",
        make=swapped_with_its_crc,
        ours="eif.section.order",
        aws="reads",
        checks=(),
        qemu="boots",
    ),
    Quirk(
        name="table-size",
        make=lambda s: by_hand(s, sizes={len(s) - 1: len(s[-1][1]) - 1}),
        ours="eif.section.size-mismatch",
        aws="reads",
        qemu="size mismatch",
    ),
    Quirk(
        name="resigned-stale-size",
        make=stale_size,
        ours="eif.section.size-mismatch",
        aws="reads",
        checks=("CheckCRC", "SignatureCheck"),
        qemu="size mismatch",
    ),
    Quirk(
        name="unused-slots",
        make=lambda s: patched(by_hand(s), 0x1C + 8 * 31, b"\1"),
        ours=None,
        warning="eif.header.unused-slots",
        aws="reads",
        qemu="boots",
    ),
    Quirk(
        name="reserved",
        make=lambda s: patched(by_hand(s), 0x18, b"\0\1"),
        ours=None,
        warning="eif.header.reserved",
        aws="reads",
        qemu="boots",
    ),
    Quirk(
        name="section-flags",
        make=lambda s: patched(by_hand(s), 548 + 2, b"\0\1"),
        ours=None,
        warning="eif.section.flags",
        aws="reads",
        qemu="section header flags",
    ),
    Quirk(
        name="type-0",
        make=lambda s: by_hand([*s, (0, b"?")]),
        ours="eif.section.type",
        aws="refuses",
        qemu="boots",
    ),
    Quirk(
        name="type-6",
        make=lambda s: by_hand([*s, (6, b"?")]),
        ours="eif.section.type",
        aws="refuses",
        qemu="boots",
    ),
    Quirk(
        name="two-kernels",
        make=lambda s: by_hand(doubled(s, KERNEL)),
        ours="eif.kernel.count",
        aws="reads",
        qemu="More than 1 kernel",
    ),
    Quirk(
        name="two-cmdlines",
        make=lambda s: by_hand(doubled(s, CMDLINE)),
        ours="eif.cmdline.count",
        aws="reads",
        qemu="More than 1 cmdline",
    ),
    Quirk(
        name="no-kernel",
        make=lambda s: by_hand(without(s, KERNEL)),
        ours="eif.kernel.count",
        aws="reads",
        qemu="No kernel",
    ),
    Quirk(
        name="no-cmdline",
        make=lambda s: by_hand(without(s, CMDLINE)),
        ours="eif.cmdline.count",
        aws="reads",
        qemu="No cmdline",
    ),
    Quirk(
        name="no-ramdisk",
        make=lambda s: by_hand(without(s, RAMDISK)),
        ours="eif.ramdisk.count",
        aws="reads",
        qemu="No ramdisk",
    ),
    Quirk(
        name="no-metadata",
        make=lambda s: by_hand(without(s, METADATA)),
        ours="eif.metadata.count",
        aws="reads",
        qemu="boots",
    ),
    Quirk(
        name="two-metadata",
        make=lambda s: by_hand(doubled(s, METADATA)),
        ours="eif.metadata.count",
        aws="reads",
        qemu="boots",
    ),
    Quirk(
        name="crc",
        make=lambda s: by_hand(s)[:0x223] + bytes([by_hand(s)[0x223] ^ 1]) + by_hand(s)[0x224:],
        ours="eif.crc",
        aws="reads",
        checks=(),
        qemu="CRC mismatch",
    ),
    Quirk(
        name="trailing-11-counted",
        make=lambda s: trailing(s, 11, counted=True),
        ours="eif.trailing",
        aws="reads",
        checks=(),
        qemu="CRC mismatch",
    ),
    Quirk(
        name="trailing-11-not-counted",
        make=lambda s: trailing(s, 11, counted=False),
        ours="eif.trailing",
        aws="reads",
        qemu="boots",
    ),
    Quirk(
        name="trailing-12",
        make=lambda s: trailing(s, 12, counted=True),
        ours="eif.trailing",
        aws="refuses",
        qemu="CRC mismatch",
    ),
    Quirk(
        name="gap-counted",
        make=lambda s: gap(s, counted=True),
        ours="eif.section.gap",
        aws="refuses",
        qemu="CRC mismatch",
    ),
    Quirk(
        name="gap-not-counted",
        make=lambda s: gap(s, counted=False),
        ours="eif.section.gap",
        aws="refuses",
        qemu="boots",
    ),
    Quirk(
        name="cut",
        make=lambda s: last_size(s, len(s[-1][1]) + 1),
        ours="eif.section.truncated",
        aws="refuses",
        qemu="section data",
    ),
    Quirk(
        name="size-2-to-63",
        make=lambda s: last_size(s, 1 << 63),
        ours="eif.section.truncated",
        aws="panics",
        qemu="out of bounds",
    ),
    Quirk(
        name="short-file",
        make=lambda s: by_hand(s)[:547],
        ours="eif.truncated",
        aws="refuses",
        qemu="EIF header",
    ),
    Quirk(
        name="two-signatures",
        make=lambda s: by_hand([*s, *((SIGNATURE, SIGNED[c][SIGNATURE_AT:]) for c in ("P-384", "P-256"))]),
        ours="eif.signature.count",
        aws="reads",
        checks=("CheckCRC", "SignatureCheck"),
        qemu="boots",
    ),
    Quirk(
        name="metadata-empty-object",
        make=lambda s: by_hand([*without(s, METADATA), (METADATA, b"{}")]),
        ours=None,
        aws="refuses",
        qemu="boots",
    ),
    Quirk(
        name="metadata-null",
        make=lambda s: by_hand([*without(s, METADATA), (METADATA, b"null")]),
        ours=None,
        aws="reads",
        qemu="boots",
    ),
)
"""§1.7 row by row, with what §4.1 says of a reader of metadata."""
