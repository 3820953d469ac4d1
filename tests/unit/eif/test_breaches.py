"""The rules of the container format one by one: which is broken, where, and what is just allowed."""

from __future__ import annotations

import struct

import pytest

from glassclave.eif.structure import read_structure
from glassclave.errors import ParseError
from glassclave.streams import BytesSource
from tests.unit.eif.images import (
    METADATA,
    PARTS,
    RAMDISK,
    SIGNATURE,
    VECTOR,
    by_hand,
    inspect,
    patched,
    read,
    with_crc,
)

K, C, M = PARTS
R0, R1, S = (RAMDISK, b"RAMDISK0"), (RAMDISK, b"RAMDISK1"), (SIGNATURE, b"x")
APART = ("eif.walks-disagree", 548)
"""What the lenient reader says as well where table and file tell different stories."""
FULL = by_hand([*PARTS, *([R0] * 29)])
"""Of 32 sections: the table has no room for more."""


def name(value: object) -> str:
    """Of a test: not the megabyte itself."""
    return f"{len(value)}-bytes" if isinstance(value, bytes) else ""


@pytest.mark.parametrize(
    ("data", "breaches"),
    [
        (by_hand(version=5), [("eif.version", 4)]),
        (patched(by_hand(), 6, b"\2\x40"), [("eif.header.flags", 6)]),
        (patched(by_hand(), 0x18, b"\0\1"), [("eif.header.reserved", 0x18)]),
        (patched(by_hand(), 0x21F, b"\1"), [("eif.header.reserved", 0x21C)]),
        (
            by_hand([K], version=3),
            [("eif.section-count", 0x1A), ("eif.cmdline.count", None), ("eif.ramdisk.count", None)],
        ),
        (by_hand([K, C], version=3), [("eif.ramdisk.count", None)]),
        (patched(by_hand(), 0x1C + 8 * 31, b"\1"), [("eif.header.unused-slots", 0x1C)]),
        (patched(by_hand(), 0x11C + 8 * 31, b"\1"), [("eif.header.unused-slots", 0x1C)]),
        (
            by_hand(offsets={1: 547}),
            [("eif.section.offset", 0x24), ("eif.section.gap", 566), ("eif.cmdline.count", None), APART],
        ),
        (
            by_hand(offsets={1: 881}),
            [("eif.section.offset", 0x24), ("eif.section.gap", 566), ("eif.cmdline.count", None), APART],
        ),
        (by_hand(sizes={3: 7}), [("eif.section.size-mismatch", 845)]),
        (with_crc(by_hand()[:-1]), [("eif.section.truncated", 865), ("eif.trailing", 861), APART]),
        (patched(by_hand(), 566 + 2, b"\0\1"), [("eif.section.flags", 568)]),
        (by_hand(offsets={3: 861, 4: 841}), [("eif.section.order", 0x1C), APART]),
        (by_hand(offsets={4: 841}), [("eif.section.overlap", 841), ("eif.trailing", 861), APART]),
        (by_hand(gaps=[b"", b"", b"\1"]), [("eif.section.gap", 591), APART]),
        (by_hand(trailing=b"x"), [("eif.trailing", 881)]),
        (FULL + struct.pack(">HHQ", RAMDISK, 0, 0), [("eif.trailing", len(FULL)), APART]),
        (by_hand([*VECTOR, (6, b"?")]), [("eif.section.type", 881)]),
        (by_hand([K, K, C, M, R0]), [("eif.kernel.count", 566)]),
        (by_hand([K, C, M, R0, S, S]), [("eif.signature.count", 874)]),
        (by_hand([R0, K, C, M, R1]), [("eif.ramdisk.order", 548)]),
        (by_hand([K, R0, K, C, M, R1]), [("eif.kernel.count", 586), ("eif.ramdisk.order", 566)]),
        (by_hand([K, C, M, R0, (SIGNATURE, bytes(32769))]), [("eif.signature.size", 861)]),
        (by_hand([K, C, (METADATA, bytes((1 << 20) + 1)), R0]), [("eif.metadata.size", 591)]),
    ],
    ids=name,
)
def test_each_breach_says_where_and_nothing_else_is_said(
    data: bytes, breaches: list[tuple[str, int | None]]
) -> None:
    found = read_structure(BytesSource(data), name="test.eif")
    assert [(breach.code, breach.offset) for breach in found.breaches] == breaches
    assert found.agreed == (APART not in breaches)
    assert {finding.where for finding in inspect(data).findings} >= {
        None if offset is None else f"offset {offset}" for _, offset in breaches
    }


@pytest.mark.parametrize(
    "data",
    [
        FULL,
        by_hand([K, C, R0, S], version=3),
        by_hand([K, C, M, (RAMDISK, b"")]),
        by_hand([K, C, M, R0, (SIGNATURE, bytes(32768))]),
        by_hand([K, C, (METADATA, bytes(1 << 20)), R0]),
        by_hand([K, C, M, (RAMDISK, bytes((1 << 20) + 1))]),
    ],
    ids=name,
)
def test_what_is_just_within_the_rules(data: bytes) -> None:
    found = read_structure(BytesSource(data), name="test.eif")
    assert (found.breaches, found.agreed) == ((), True)
    assert read(data).sections == found.sections


def test_metadata_that_is_too_long_is_only_odd() -> None:
    (warning,) = read(by_hand([K, C, (METADATA, bytes((1 << 20) + 1)), R0])).warnings
    assert warning.code == "eif.metadata.size"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (by_hand([K, K, C, M, R0]), "2 kernel sections, version 4 has exactly 1"),
        (by_hand([K, C, M]), "0 ramdisk sections, version 4 has at least 1"),
        (by_hand([K, C, M, R0, S, S]), "2 signature sections, version 4 has at most 1"),
        (by_hand(gaps=[bytes(12)]), "12 bytes belong to no section"),
    ],
    ids=name,
)
def test_how_much_there_is_and_should_be(data: bytes, words: str) -> None:
    with pytest.raises(ParseError) as caught:
        read(data)
    assert caught.value.message == words


class Counting(BytesSource):
    """Of how many reads there were."""

    reads = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads += 1
        return super().read_at(offset, length)


def test_no_more_sections_are_looked_at_than_a_table_can_have() -> None:
    source = Counting(FULL + struct.pack(">HHQ", RAMDISK, 0, 0) * 1000)
    assert not read_structure(source, name="test.eif").agreed
    assert source.reads == 1 + 32 + 33  # the header, the table's sections, one more than it could name
