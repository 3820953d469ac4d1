"""What real parsers make of odd images (EIF reference §1.7, §3.5): one row for each, three answers in it.

``ours`` is asked by `test_conformance`, ``aws`` of the real ``nitro-cli describe-eif`` by the interop tests,
``qemu`` of the real loader by the boot tests, which put the sections of an image that boots into ``make``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from glassclave import cbor
from glassclave.eif.signature import SignatureSection, decode_section, encode_section
from tests.unit.eif.images import CMDLINE, KERNEL, METADATA, RAMDISK, SIGNATURE, by_hand, patched
from tests.unit.eif.signed_images import SIGNED

Sections = Sequence[tuple[int, bytes]]
Aws = Literal["reads", "refuses", "panics"]
_SIGNATURE_AT = 881 + 12  # in AWS's signed images of the public vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirk:
    """``ours``: code of the strict reader's refusal, ``None`` where it reads; ``warning``: what it notes.

    ``checks``: what ``describe-eif`` says of CRC and signature where it reads; ``qemu``: whether it boots,
    ``None`` where that was not tried. ``make``: the odd image, from the sections of a sound one.
    """

    name: str
    make: Callable[[Sections], bytes]
    ours: str | None
    aws: Aws
    warning: str | None = None
    checks: tuple[str, ...] = ("CheckCRC",)
    qemu: bool | None = None


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
    signed = [*without(sections, SIGNATURE), (SIGNATURE, SIGNED["P-256"][_SIGNATURE_AT:])]
    return by_hand(signed, sizes={len(signed) - 1: len(SIGNED["P-384"]) - _SIGNATURE_AT})


def swapped(sections: Sections) -> bytes:
    """The table lists the last two sections in the other order."""
    last, before = len(sections) - 1, len(sections) - 2
    return by_hand(
        sections,
        offsets={before: offset_of(sections, last), last: offset_of(sections, before)},
        sizes={before: len(sections[last][1]), last: len(sections[before][1])},
    )


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
        qemu=False,
    ),
    Quirk(name="version-9", make=lambda s: by_hand(s, version=9), ours="eif.version", aws="reads", qemu=True),
    Quirk(
        name="version-3",
        make=lambda s: by_hand(without(s, METADATA), version=3),
        ours=None,
        aws="reads",
        qemu=False,
    ),
    Quirk(
        name="header-flags",
        make=lambda s: patched(by_hand(s), 6, b"\2\x40"),
        ours=None,
        warning="eif.header.flags",
        aws="reads",
        qemu=False,
    ),
    Quirk(
        name="count-0", make=lambda s: by_hand(s, count=0), ours="eif.section-count", aws="reads", qemu=False
    ),
    Quirk(
        name="count-33",
        make=lambda s: by_hand(s, count=33),
        ours="eif.section-count",
        aws="reads",
        qemu=False,
    ),
    Quirk(name="table-order", make=swapped, ours="eif.section.order", aws="reads", qemu=False),
    Quirk(
        name="table-size",
        make=lambda s: by_hand(s, sizes={len(s) - 1: len(s[-1][1]) - 1}),
        ours="eif.section.size-mismatch",
        aws="reads",
        qemu=False,
    ),
    Quirk(
        name="resigned-stale-size",
        make=stale_size,
        ours="eif.section.size-mismatch",
        aws="reads",
        checks=("CheckCRC", "SignatureCheck"),
        qemu=False,
    ),
    Quirk(
        name="unused-slots",
        make=lambda s: patched(by_hand(s), 0x1C + 8 * 31, b"\1"),
        ours=None,
        warning="eif.header.unused-slots",
        aws="reads",
        qemu=True,
    ),
    Quirk(
        name="reserved",
        make=lambda s: patched(by_hand(s), 0x18, b"\0\1"),
        ours=None,
        warning="eif.header.reserved",
        aws="reads",
        qemu=True,
    ),
    Quirk(
        name="section-flags",
        make=lambda s: patched(by_hand(s), 548 + 2, b"\0\1"),
        ours=None,
        warning="eif.section.flags",
        aws="reads",
        qemu=False,
    ),
    Quirk(
        name="type-0",
        make=lambda s: by_hand([*s, (0, b"?")]),
        ours="eif.section.type",
        aws="refuses",
        qemu=True,
    ),
    Quirk(
        name="type-6",
        make=lambda s: by_hand([*s, (6, b"?")]),
        ours="eif.section.type",
        aws="refuses",
        qemu=True,
    ),
    Quirk(
        name="two-kernels",
        make=lambda s: by_hand(doubled(s, KERNEL)),
        ours="eif.kernel.count",
        aws="reads",
        qemu=False,
    ),
    Quirk(
        name="two-cmdlines",
        make=lambda s: by_hand(doubled(s, CMDLINE)),
        ours="eif.cmdline.count",
        aws="reads",
        qemu=False,
    ),
    Quirk(
        name="no-kernel",
        make=lambda s: by_hand(without(s, KERNEL)),
        ours="eif.kernel.count",
        aws="reads",
        qemu=False,
    ),
    Quirk(
        name="no-cmdline",
        make=lambda s: by_hand(without(s, CMDLINE)),
        ours="eif.cmdline.count",
        aws="reads",
        qemu=False,
    ),
    Quirk(
        name="no-ramdisk",
        make=lambda s: by_hand(without(s, RAMDISK)),
        ours="eif.ramdisk.count",
        aws="reads",
        qemu=False,
    ),
    Quirk(
        name="no-metadata",
        make=lambda s: by_hand(without(s, METADATA)),
        ours="eif.metadata.count",
        aws="reads",
        qemu=True,
    ),
    Quirk(
        name="two-metadata",
        make=lambda s: by_hand(doubled(s, METADATA)),
        ours="eif.metadata.count",
        aws="reads",
    ),
    Quirk(
        name="crc",
        make=lambda s: by_hand(s)[:0x223] + bytes([by_hand(s)[0x223] ^ 1]) + by_hand(s)[0x224:],
        ours="eif.crc",
        aws="reads",
        checks=(),
        qemu=False,
    ),
    Quirk(
        name="trailing-11-counted",
        make=lambda s: trailing(s, 11, counted=True),
        ours="eif.trailing",
        aws="reads",
        checks=(),
        qemu=False,
    ),
    Quirk(
        name="trailing-11-not-counted",
        make=lambda s: trailing(s, 11, counted=False),
        ours="eif.trailing",
        aws="reads",
        qemu=True,
    ),
    Quirk(
        name="trailing-12", make=lambda s: trailing(s, 12, counted=True), ours="eif.trailing", aws="refuses"
    ),
    Quirk(
        name="gap-counted",
        make=lambda s: gap(s, counted=True),
        ours="eif.section.gap",
        aws="refuses",
        qemu=False,
    ),
    Quirk(
        name="gap-not-counted",
        make=lambda s: gap(s, counted=False),
        ours="eif.section.gap",
        aws="refuses",
        qemu=True,
    ),
    Quirk(
        name="cut",
        make=lambda s: last_size(s, len(s[-1][1]) + 1),
        ours="eif.section.truncated",
        aws="refuses",
        qemu=False,
    ),
    Quirk(
        name="size-2-to-63",
        make=lambda s: last_size(s, 1 << 63),
        ours="eif.section.truncated",
        aws="panics",
        qemu=False,
    ),
    Quirk(
        name="short-file", make=lambda s: by_hand(s)[:547], ours="eif.truncated", aws="refuses", qemu=False
    ),
    Quirk(
        name="two-signatures",
        make=lambda s: by_hand([*s, *((SIGNATURE, SIGNED[c][_SIGNATURE_AT:]) for c in ("P-384", "P-256"))]),
        ours="eif.signature.count",
        aws="reads",
        checks=("CheckCRC", "SignatureCheck"),
    ),
    Quirk(
        name="metadata-empty-object",
        make=lambda s: by_hand([*without(s, METADATA), (METADATA, b"{}")]),
        ours=None,
        aws="refuses",
        qemu=True,
    ),
    Quirk(
        name="metadata-null",
        make=lambda s: by_hand([*without(s, METADATA), (METADATA, b"null")]),
        ours=None,
        aws="reads",
    ),
)
"""§1.7 row by row, with what §4.1 says of a reader of metadata."""

_SECTION = decode_section(SIGNED["P-384"][_SIGNATURE_AT:])
_PEM, _SIGN1 = list(_SECTION.certificate_file), list(_SECTION.sign1)
_ITEMS = cbor.decode(_SECTION.sign1)
assert isinstance(_ITEMS, list)


def _entry(**changes: object) -> dict[object, object]:
    return {"signing_certificate": _PEM, "signature": _SIGN1} | changes


def _with_sign1(item: object) -> bytes:
    return cbor.encode([_entry(signature=list(cbor.encode(item)))])


def _signed(name: str, section: bytes, ours: str | None, aws: Aws, *checks: str) -> Quirk:
    return Quirk(
        name=name,
        make=lambda s: by_hand([*s, (SIGNATURE, section)]),
        ours=ours,
        aws=aws,
        checks=("CheckCRC", *checks),
    )


_SHAPE, _HOLDS = "eif.signature.shape", "SignatureCheck"
_FLIPPED = _SECTION.sign1[:-1] + bytes([_SECTION.sign1[-1] ^ 1])
SIGNATURES = (
    _signed("sound", encode_section(_SECTION), None, "reads", _HOLDS),
    _signed(
        "keys-in-the-other-order",
        cbor.encode([{"signature": _SIGN1, "signing_certificate": _PEM}]),
        _SHAPE,
        "reads",
        _HOLDS,
    ),
    _signed("extra-key", cbor.encode([_entry(extra=1)]), _SHAPE, "reads", _HOLDS),
    _signed(
        "indefinite-array",
        b"\x9f" + encode_section(_SECTION)[1:] + b"\xff",
        "cbor.indefinite",
        "reads",
        _HOLDS,
    ),
    _signed("tag-18", _with_sign1(cbor.Tag(18, _ITEMS)), None, "reads", _HOLDS),
    _signed(
        "byte-strings",
        cbor.encode([_entry(signing_certificate=bytes(_PEM), signature=bytes(_SIGN1))]),
        "eif.signature.byte-string",
        "reads",
        _HOLDS,
    ),
    _signed("no-element", b"\x80", _SHAPE, "panics"),
    _signed("two-elements", cbor.encode([_entry(), _entry()]), _SHAPE, "reads", _HOLDS),
    _signed("bytes-behind", encode_section(_SECTION) + b"\0", "cbor.trailing", "refuses"),
    _signed("five-items", _with_sign1([*_ITEMS, 1]), "cose.shape", "refuses"),
    _signed("empty-protected-header", _with_sign1([b"", *_ITEMS[1:]]), "cose.protected", "refuses"),
    _signed(
        "algorithm-of-another-curve",
        _with_sign1([bytes.fromhex("a10126"), *_ITEMS[1:]]),
        "cose.signature.size",
        "refuses",
    ),
    _signed(
        "flipped-bit",
        encode_section(SignatureSection(certificate_file=bytes(_PEM), sign1=_FLIPPED)),
        "cose.signature",
        "refuses",
    ),
    _signed("short-signature", _with_sign1([*_ITEMS[:3], bytes(4)]), "cose.signature.size", "panics"),
    Quirk(
        name="another-image",
        make=lambda s: by_hand([(KERNEL, b"kERNEL"), *s[1:], (SIGNATURE, encode_section(_SECTION))]),
        ours="eif.signature.payload",
        aws="reads",
    ),
)
"""§3.5 row by row, for the sections of the public vector: the signature is of that image."""
