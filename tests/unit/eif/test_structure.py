"""The public vectors, and every rule of the container format broken by the smallest change."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest

from glassclave.eif.describe import describe
from glassclave.eif.format import Architecture, SectionType
from glassclave.errors import ParseError, UsageError
from glassclave.results import PCR2_OF_NOTHING, Severity
from tests.unit.eif.images import (
    CMDLINE,
    KERNEL,
    METADATA,
    METADATA_TEXT,
    PARTS,
    PCR0,
    PCR1,
    PCR2,
    RAMDISK,
    SIGNATURE,
    VECTOR,
    by_hand,
    codes,
    inspect,
    measure,
    patched,
    read,
    with_crc,
    write,
)

R0, R1 = (RAMDISK, b"RAMDISK0"), (RAMDISK, b"RAMDISK1")
K, C, M = PARTS


def refusal(data: bytes) -> str:
    """Code of the strict reader's refusal."""
    with pytest.raises(ParseError) as caught:
        measure(data)
    assert caught.value.source == "test.eif"
    return caught.value.code


def registers(data: bytes) -> list[str]:
    return [value.hex() for value in measure(data).measurements.by_index().values()]


def test_case_01_the_public_vector_byte_for_byte() -> None:
    data, written = write()
    assert len(data) == written.size == 881
    assert hashlib.sha256(data).hexdigest() == (
        "e2a463d5eed846ae4542d688af06b42a99bfb950063add0813c177250069e014"
    )
    assert [section.type for section in written.sections] == [1, 2, 5, 3, 3]
    assert [section.offset for section in written.sections] == [548, 566, 591, 841, 861]
    assert [section.size for section in written.sections] == [6, 13, 238, 8, 8]
    assert written.header.crc32 == 0x72DB6747
    assert registers(data) == [PCR0, PCR1, PCR2]
    measured = measure(data)
    assert measured.measurements == written.measurements
    assert measured.section_digests == written.section_digests
    assert measured.sections == written.sections
    assert measured.header == written.header
    assert measured.file_sha256 == written.file_sha256 == hashlib.sha256(data).digest()
    assert measured.file_sha384 == written.file_sha384 == hashlib.sha384(data).digest()
    assert write()[0] == data == by_hand()


def test_case_02_one_ramdisk_three_ramdisks_aarch64() -> None:
    one, _ = write(ramdisks=[b"RAMDISK0"])
    assert registers(one)[2] == PCR2_OF_NOTHING.hex()
    assert "eif.no-application" in codes(inspect(one))
    three, _ = write(ramdisks=[b"a", b"b", b"c"])
    assert registers(three)[2] == hashlib.sha384(bytes(48) + hashlib.sha384(b"bc").digest()).hexdigest()
    arm, _ = write(architecture=Architecture.AARCH64)
    intel, _ = write()
    differing = [i for i in range(len(arm)) if arm[i] != intel[i]]
    assert differing[0] == 7
    assert set(differing[1:]) <= set(range(0x220, 0x224))
    assert registers(arm) == registers(intel)
    assert read(arm).header.architecture is Architecture.AARCH64


def test_case_03_metadata_is_in_no_register() -> None:
    behind = by_hand([K, C, R0, R1, M])
    other = by_hand([K, C, (METADATA, METADATA_TEXT.replace(b"name", b"evil")), R0, R1])
    for data in (behind, other):
        assert registers(data) == [PCR0, PCR1, PCR2]
        assert read(data).header.crc32 != 0x72DB6747


def test_case_04_shifted_boundaries_show_in_section_digests_only() -> None:
    shifted, _ = write(kernel=b"KERNELcon", cmdline=b"sole=ttyS0")
    assert registers(shifted) == [PCR0, PCR1, PCR2]
    assert measure(shifted).section_digests != measure(write()[0]).section_digests
    merged, _ = write(ramdisks=[b"RAMDISK0RAMDISK1"])
    assert registers(merged) == [PCR0, PCR0, PCR2_OF_NOTHING.hex()]


def test_other_public_registers() -> None:
    tiny = "12bd2331ccf0f25076d12bdd3048943ae81fa8703ebece7361665a3541fe5b07ec6b6cb56749b44ba9c7ccadc44234d2"
    assert registers(write(b"K", b"c", [b"r"])[0])[:2] == [tiny, tiny]
    none = "cb8ed537860600d2914d3f317a960142f0c53095857f43751a5c9e398b94b46117d08d758772e100640f394a73d570b3"
    found = inspect(by_hand([K, (CMDLINE, b"c"), M]))
    assert found.measurements is not None
    assert found.measurements.pcr0.hex() == found.measurements.pcr1.hex() == none
    assert found.refused


def test_registers_follow_the_order_in_the_file() -> None:
    # The command line behind the application ramdisk: in PCR0 and PCR1 at its own place, in PCR2 not at all.
    data = by_hand([K, M, R0, R1, C])
    streams = (b"KERNELRAMDISK0RAMDISK1console=ttyS0", b"KERNELRAMDISK0console=ttyS0", b"RAMDISK1")
    assert registers(data) == [
        hashlib.sha384(bytes(48) + hashlib.sha384(stream).digest()).hexdigest() for stream in streams
    ]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "eif.truncated"),
        (bytes(547), "eif.truncated"),
        (patched(by_hand(), 0, b".EIF"), "eif.magic"),
        (by_hand([]), "eif.section-count"),
        (by_hand([K]), "eif.section-count"),
    ],
)
def test_case_11_not_an_image(data: bytes, code: str) -> None:
    assert refusal(data) == code


@pytest.mark.parametrize("version", [2, 3, 4])
def test_case_12_known_versions(version: int) -> None:
    data = by_hand(VECTOR if version == 4 else [K, C, R0, R1], version=version)
    assert registers(data) == [PCR0, PCR1, PCR2]
    assert not inspect(data).refused


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (by_hand(version=0), "eif.version"),
        (by_hand(version=1), "eif.version"),
        (by_hand(version=5), "eif.version"),
        (by_hand(version=3), "eif.metadata.count"),
        (by_hand([K, C, R0]), "eif.metadata.count"),
        (by_hand([K, C, R0, (SIGNATURE, b"x")], version=2), "eif.signature.count"),
    ],
)
def test_case_12_version_rules(data: bytes, code: str) -> None:
    assert refusal(data) == code
    assert code in codes(inspect(data))


@pytest.mark.parametrize("count", [33, 65535])
def test_case_13_more_sections_than_slots(count: int) -> None:
    data = with_crc(by_hand()[:0x1A] + struct.pack(">H", count) + by_hand()[0x1C:])
    assert refusal(data) == "eif.section-count"
    with pytest.raises(ParseError):
        inspect(data)


def test_case_13_fewer_and_more_sections_than_there_are() -> None:
    assert refusal(by_hand(count=4)) == "eif.trailing"
    fewer = inspect(by_hand(count=4))
    assert {"eif.trailing", "eif.walks-disagree"} <= codes(fewer)
    assert fewer.measurements is None
    more = inspect(by_hand(count=6))
    assert {"eif.section.offset", "eif.walks-disagree"} <= codes(more)
    assert refusal(by_hand(count=6)) == "eif.section.offset"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (by_hand(offsets={1: 547}), "eif.section.offset"),
        (by_hand(offsets={1: 881}), "eif.section.offset"),
        (by_hand(offsets={1: (1 << 64) - 1}), "eif.section.offset"),
        (by_hand(sizes={4: (1 << 64) - 1}), "eif.section.size-mismatch"),
        (patched(by_hand(), 861 + 4, struct.pack(">Q", 1 << 63)), "eif.section.size-mismatch"),
        (
            patched(
                by_hand(sizes={4: 1 << 63}),
                861 + 4,
                struct.pack(">Q", 1 << 63),
            ),
            "eif.section.truncated",
        ),
        (with_crc(by_hand()[:-1]), "eif.section.truncated"),
    ],
)
def test_case_14_offsets_and_sizes_out_of_the_file(data: bytes, code: str) -> None:
    assert refusal(data) == code
    assert code in codes(inspect(data))
    assert inspect(data).measurements is None or code == "eif.section.size-mismatch"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (by_hand(sizes={4: 7}), "eif.section.size-mismatch"),
        (by_hand(offsets={4: 841}), "eif.section.overlap"),
        (by_hand(offsets={3: 861, 4: 841}), "eif.section.order"),
    ],
)
def test_case_15_the_table_lies(data: bytes, code: str) -> None:
    assert refusal(data) == code
    assert code in codes(inspect(data))


@pytest.mark.parametrize(
    ("data", "code", "agreed"),
    [
        (by_hand(gaps=[bytes(12)]), "eif.section.gap", False),
        (by_hand(gaps=[b"", b"", b"\1"]), "eif.section.gap", False),
        (by_hand(trailing=b"x"), "eif.trailing", True),
        (by_hand(trailing=bytes(11)), "eif.trailing", True),
        (by_hand(trailing=bytes(12)), "eif.trailing", False),
    ],
)
def test_case_16_gaps_and_trailing_bytes(data: bytes, code: str, agreed: bool) -> None:
    assert refusal(data) == code
    found = inspect(data)
    assert found.crc_ok  # the checksum covers every byte of the file
    assert ("eif.walks-disagree" not in codes(found)) == agreed == (found.measurements is not None)
    assert describe(found)["CheckCRC"] is True


@pytest.mark.parametrize("kind", [0, 6, 65535])
def test_case_17_undefined_types(kind: int) -> None:
    assert refusal(by_hand([*VECTOR, (kind, b"?")])) == "eif.section.type"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (patched(by_hand(), 548 + 2, b"\0\1"), "eif.section.flags"),
        (patched(by_hand(), 0x18, b"\0\1"), "eif.header.reserved"),
        (patched(by_hand(), 0x21F, b"\1"), "eif.header.reserved"),
        (patched(by_hand(), 0x1C + 8 * 31, b"\1"), "eif.header.unused-slots"),
        (patched(by_hand(), 6, b"\2\x40"), "eif.header.flags"),
    ],
)
def test_case_17_what_is_only_odd(data: bytes, code: str) -> None:
    assert registers(data) == [PCR0, PCR1, PCR2]
    assert [breach.code for breach in read(data).warnings] == [code]
    found = inspect(data)
    assert [finding.severity for finding in found.findings] == [Severity.WARNING]
    assert codes(found) == {code}
    assert not found.refused


@pytest.mark.parametrize(
    ("sections", "code"),
    [
        ([K, K, C, M, R0], "eif.kernel.count"),
        ([K, C, C, M, R0], "eif.cmdline.count"),
        ([C, M, R0], "eif.kernel.count"),
        ([K, M, R0], "eif.cmdline.count"),
        ([K, C, M], "eif.ramdisk.count"),
        ([R0, K, C, M], "eif.ramdisk.order"),
        ([K, C, M, R0, (SIGNATURE, b"a"), (SIGNATURE, b"b")], "eif.signature.count"),
        ([K, C, M, M, R0], "eif.metadata.count"),
        ([K, C, M, R0, (SIGNATURE, bytes(32769))], "eif.signature.size"),
    ],
)
def test_case_18_too_many_or_too_few(sections: list[tuple[int, bytes]], code: str) -> None:
    assert refusal(by_hand(sections)) == code
    assert code in codes(inspect(by_hand(sections)))


def test_case_20_a_wrong_checksum() -> None:
    data = by_hand()
    data = data[:0x223] + bytes([data[0x223] ^ 1]) + data[0x224:]
    assert refusal(data) == "eif.crc"
    found = inspect(data)
    assert describe(found)["CheckCRC"] is False
    assert found.refused
    assert found.measurements is not None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ramdisks": []}, "eif.plan.ramdisks"),
        ({"ramdisks": [b""] * 30}, "eif.plan.sections"),
        ({"cmdline": b"a\n"}, "eif.plan.cmdline"),
        ({"cmdline": b"a\0b"}, "eif.plan.cmdline"),
        ({"metadata": bytes((1 << 20) + 1)}, "eif.plan.metadata-size"),
    ],
)
def test_plans_that_are_not_written(change: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        write(**change)
    assert caught.value.code == code


def test_29_ramdisks_fill_the_table() -> None:
    data, written = write(ramdisks=[b"%d" % number for number in range(29)])
    assert written.header.section_count == 32
    assert measure(data).measurements == written.measurements
    assert len(read(data).of_type(SectionType.RAMDISK)) == 29


def test_numbers_of_the_section_types() -> None:
    assert list(SectionType) == [KERNEL, CMDLINE, RAMDISK, SIGNATURE, METADATA]
