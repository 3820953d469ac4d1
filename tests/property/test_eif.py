"""For any parts: what is written is read back. For any bytes: words, never a traceback, in bounded time."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassclave.eif.describe import describe
from glassclave.eif.format import Architecture
from glassclave.eif.signature import appraise_image, image_signer
from glassclave.eif.signing import sign_image
from glassclave.errors import GlassclaveError
from tests.unit.eif.images import by_hand, inspect, measure, read, with_crc, write
from tests.unit.eif.signed_images import SIGNED
from tests.unit.eif.signing import certificate_of, key_on

PARTS = st.binary(max_size=200)
CMDLINES = st.binary(max_size=100).filter(lambda line: b"\0" not in line and b"\n" not in line)


@given(PARTS, CMDLINES, st.lists(PARTS, min_size=1, max_size=5), st.sampled_from(Architecture))
def test_written_parts_are_read_back(
    kernel: bytes, cmdline: bytes, ramdisks: list[bytes], architecture: Architecture
) -> None:
    data, written = write(kernel, cmdline, ramdisks, architecture=architecture)
    image, measured = read(data), measure(data)
    assert measured.measurements == written.measurements
    assert measured.section_digests == written.section_digests
    contents = [image.data(section, limit=1 << 20) for section in image.sections]
    assert contents == [kernel, cmdline, contents[2], *ramdisks]
    assert image.header.architecture is architecture
    assert write(kernel, cmdline, ramdisks, architecture=architecture)[0] == data


@settings(max_examples=25)
@given(PARTS, CMDLINES, st.lists(PARTS, min_size=1, max_size=4))
def test_registers_are_those_of_the_oracle(kernel: bytes, cmdline: bytes, ramdisks: list[bytes]) -> None:
    data, written = write(kernel, cmdline, ramdisks)
    oracle = Path(__file__).resolve().parents[1] / "oracle_pcrs.py"
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        command: list[str | Path] = [sys.executable, "-I", oracle, file.name]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    expected = [f"PCR{index} {value.hex()}" for index, value in written.measurements.by_index().items()]
    assert printed.splitlines() == expected


KEY = key_on()
SIGNER = image_signer(certificate_of(KEY), KEY)


@settings(max_examples=25)
@given(PARTS, CMDLINES, st.lists(PARTS, min_size=1, max_size=4), st.sampled_from(Architecture))
def test_signing_leaves_registers_and_sections_as_they_were(
    kernel: bytes, cmdline: bytes, ramdisks: list[bytes], architecture: Architecture
) -> None:
    data, written = write(kernel, cmdline, ramdisks, architecture=architecture)
    outs = [io.BytesIO(), io.BytesIO()]
    sign_image(read(data), outs[0], SIGNER)
    sign_image(read(outs[0].getvalue()), outs[1], SIGNER)
    signed = outs[0].getvalue()
    assert (
        signed
        == outs[1].getvalue()
        == write(kernel, cmdline, ramdisks, architecture=architecture, sign=SIGNER)[0]
    )
    measured = appraise_image(read(signed))
    assert replace(measured.measurements, pcr8=None) == written.measurements
    assert measured.section_digests[:-1] == written.section_digests
    assert measured.measurements.pcr8 is not None


BASES = (by_hand(), SIGNED["P-256"], by_hand(gaps=[b"", b"??"]), by_hand(count=4))
WHOLE_NUMBERS = st.sampled_from([0, 1, 2, 32, 33, 547, 548, 560, 881, (1 << 63), (1 << 64) - 1])
EDITS = st.one_of(
    st.tuples(st.integers(0, 900), st.binary(min_size=1, max_size=12)),
    st.tuples(
        st.integers(0x1C // 4, 0x21C // 4).map(lambda n: n * 4),
        WHOLE_NUMBERS.map(lambda n: struct.pack(">Q", n)),
    ),
    st.tuples(
        st.sampled_from([548, 566, 591, 841, 861, 881]).map(lambda n: n + 4),
        WHOLE_NUMBERS.map(lambda n: struct.pack(">Q", n)),
    ),
)


@settings(max_examples=400)
@given(st.sampled_from(BASES), st.lists(EDITS, max_size=4), st.integers(-600, 40), st.booleans())
def test_any_damage_ends_in_words(
    base: bytes, edits: list[tuple[int, bytes]], growth: int, repaired: bool
) -> None:
    data = base[:growth] if growth < 0 else base + bytes(growth)
    for offset, new in edits:
        data = data[:offset] + new + data[offset + len(new) :]
    if repaired and len(data) >= 548:
        data = with_crc(data)
    agreed(data)


@settings(max_examples=100)
@given(st.binary(max_size=1200).map(lambda tail: b".eif\0\4" + tail))
def test_any_bytes_end_in_words(data: bytes) -> None:
    agreed(data)


def agreed(data: bytes) -> None:
    """Both readers end in a typed answer, and the lenient one has an error where the strict one refuses."""
    try:
        strict = measure(data).measurements
    except GlassclaveError:
        strict = None
    try:
        found = inspect(data)
    except GlassclaveError:
        assert strict is None
        return
    describe(found)
    if strict is None:
        assert found.refused
    else:
        assert found.measurements is not None
        assert found.measurements.by_index() | strict.by_index() == found.measurements.by_index()


def test_the_smallest_difference_is_seen() -> None:
    with pytest.raises(AssertionError):
        assert measure(by_hand()).measurements == measure(write(kernel=b"KERNEM")[0]).measurements
