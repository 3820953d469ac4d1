"""Checksums of concatenations, hashing in lanes, evenly sized chunks, and writing that fails."""

from __future__ import annotations

import hashlib
import io
import os
import random
import threading
import zlib
from collections.abc import Iterable, Iterator

import pytest

from glassclave.digests import pcr_of_digest
from glassclave.eif.checksum import combine_crc32
from glassclave.eif.format import Architecture
from glassclave.eif.measurement import Lane, SectionMeasurer
from glassclave.eif.writer import Chunk, ImagePlan, write_image
from glassclave.errors import UnavailableError, UsageError
from tests.unit.eif.images import METADATA_TEXT, measure, write


@pytest.mark.parametrize("size", [0, 1, 2, 255, 4096, 1_000_003])
def test_crc_of_a_concatenation(size: int) -> None:
    source = random.Random(size)
    first, second = source.randbytes(777), source.randbytes(size)
    combined = combine_crc32(zlib.crc32(first), zlib.crc32(second), size)
    assert combined == zlib.crc32(first + second)
    assert combine_crc32(zlib.crc32(first) ^ 1, zlib.crc32(second), size) != combined


def test_crc_over_more_than_four_gib_of_zeros() -> None:
    # Doubling: the CRC of 2n zeros from that of n zeros, up to 8 GiB, against single steps of a known size.
    size, crc = 1 << 20, zlib.crc32(bytes(1 << 20))
    whole = crc
    for _ in range(13):
        crc, size = combine_crc32(crc, crc, size), size * 2
    for _ in range(7):
        whole = combine_crc32(whole, zlib.crc32(bytes(1 << 20)), 1 << 20)
    assert size == 1 << 33
    assert whole == zlib.crc32(bytes(8 << 20))
    assert combine_crc32(zlib.crc32(b"x"), crc, size) != crc


def test_large_sections_in_odd_pieces_measure_like_one_piece() -> None:
    source = random.Random(1)
    parts = [source.randbytes(3_000_001), source.randbytes(2 << 20), source.randbytes(1)]

    def pieces(data: bytes) -> list[Chunk]:
        middle = len(data) // 2
        return [b"", memoryview(data)[:middle], bytearray(data[middle : middle + 7]), data[middle + 7 :]]

    out = io.BytesIO()
    plan = ImagePlan(
        architecture=Architecture.X86_64,
        kernel=pieces(parts[0]),
        cmdline=b"console=ttyS0",
        metadata=METADATA_TEXT,
        ramdisks=[pieces(parts[1]), pieces(parts[2]), (b"%d" % i for i in range(100_000))],
    )
    written = write_image(out, plan, file_digests=False)
    many = b"".join(b"%d" % i for i in range(100_000))
    data, whole = write(parts[0], b"console=ttyS0", [parts[1], parts[2], many])
    assert out.getvalue() == data
    assert written.measurements == whole.measurements == measure(data).measurements
    assert written.file_sha256 is None
    assert written.section_digests[-1] == hashlib.sha384(many).digest()
    application = hashlib.sha384(parts[2] + many).digest()
    assert written.measurements.pcr2 == pcr_of_digest(application)


def of_ramdisk(ramdisk: Iterable[Chunk]) -> ImagePlan:
    return ImagePlan(
        architecture=Architecture.X86_64,
        kernel=[b"k"],
        cmdline=b"c",
        metadata=METADATA_TEXT,
        ramdisks=[ramdisk],
    )


def test_a_buffer_that_the_producer_reuses() -> None:
    buffer = bytearray(1 << 20)

    def reused() -> Iterator[Chunk]:
        for number in range(8):
            buffer[:] = bytes([number]) * len(buffer)
            yield memoryview(buffer)

    out = io.BytesIO()
    plan = of_ramdisk(reused())
    written = write_image(out, plan)
    expected = hashlib.sha384(b"".join(bytes([number]) * (1 << 20) for number in range(8))).digest()
    assert written.section_digests[-1] == expected


def test_what_a_producer_raises_comes_out_and_no_thread_stays() -> None:
    before = threading.active_count()

    def broken() -> Iterator[Chunk]:
        yield bytes(1 << 20)
        raise UsageError("test.broken", "the source broke")

    plan = of_ramdisk(broken())
    with pytest.raises(UsageError, match="the source broke"):
        write_image(io.BytesIO(), plan)
    assert threading.active_count() == before


def test_a_lane_hands_on_errors_and_does_not_hang() -> None:
    def fail(argument: int) -> None:
        raise UsageError("test.lane", f"call {argument}")

    lane = Lane("test")
    with pytest.raises(UsageError, match="call 0"):
        for number in range(100):
            lane.call(fail, number)
    lane.close()


def test_a_full_disk_is_a_typed_error() -> None:
    with open("/dev/full", "r+b", buffering=0) as full, pytest.raises(UnavailableError) as caught:
        write_image(full, of_ramdisk([b"r"]))
    assert caught.value.code == "file.unwritable"


def test_a_disk_that_fails_while_the_file_is_synced_is_a_typed_error() -> None:
    class OnAPipe(io.BytesIO):
        def fileno(self) -> int:
            return writing

    reading, writing = os.pipe()  # which cannot be synced
    plan = of_ramdisk([b"r"])
    try:
        with pytest.raises(UnavailableError) as caught:
            write_image(OnAPipe(), plan)
    finally:
        os.close(reading)
        os.close(writing)
    assert caught.value.code == "file.unwritable"


def test_results_can_be_taken_on_the_way() -> None:
    with SectionMeasurer() as measurer:
        measurer.begin(1)
        measurer.update(b"K")
        first = measurer.result()
        measurer.begin(3)
        measurer.update(b"R")
        second = measurer.result()
    assert first.digests == second.digests[:1]
    assert second.measurements.pcr0 == pcr_of_digest(hashlib.sha384(b"KR").digest())
