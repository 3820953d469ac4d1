"""Each conformance case of the reference (§12) has a test of its number, each quirk (§1.7, §3.5) a row."""

from __future__ import annotations

import ast
import json
import time
import tracemalloc
from pathlib import Path

import pytest

from glassclave.attestation.measurements import parse_measurements
from glassclave.digests import pcr_of_digest
from glassclave.eif.format import SectionType
from glassclave.eif.inspection import inspect_image
from glassclave.eif.signature import appraise_image
from glassclave.errors import GlassclaveError
from glassclave.streams import BytesSource
from tests.unit.eif.images import PCR0, PCR1, PCR2, VECTOR, by_hand, codes, inspect, read
from tests.unit.eif.quirks import CONTAINER, Quirk, gap, last_size, stale_size
from tests.unit.eif.signature_quirks import SIGNATURES

HERE = Path(__file__).resolve().parent
ROWS = [pytest.param(quirk, id=f"1.7-{quirk.name}") for quirk in CONTAINER]
ROWS += [pytest.param(quirk, id=f"3.5-{quirk.name}") for quirk in SIGNATURES]


def test_every_conformance_case_has_a_test_of_its_number() -> None:
    names = {
        node.name
        for folder in (HERE, HERE.parent / "ramdisk")
        for path in folder.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    missing = [n for n in range(1, 21) if not any(name.startswith(f"test_case_{n:02}_") for name in names)]
    assert missing == []


def test_the_rows_have_names_of_their_own() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS) > 45


@pytest.mark.parametrize("quirk", ROWS)
def test_quirk(quirk: Quirk) -> None:
    """Strictly: refused with this code, or read with this warning. Leniently: never anything but words."""
    data = quirk.make(VECTOR)
    if quirk.ours is None:
        image = read(data)
        registers = [value.hex() for value in appraise_image(image).measurements.by_index().values()]
        assert registers[:3] == [PCR0, PCR1, PCR2]
        assert [breach.code for breach in image.warnings] == ([quirk.warning] if quirk.warning else [])
        assert not inspect(data).refused
        return
    with pytest.raises(GlassclaveError) as caught:
        appraise_image(read(data))
    assert caught.value.code == quirk.ours
    try:
        found = inspect(data)
    except GlassclaveError as error:
        assert error.code == quirk.ours
    else:
        assert found.refused
        assert quirk.ours in codes(found)


def test_quirk_of_nitro_cli_sign_eif_is_refused_with_words() -> None:
    """Image-format issue 54: accepted by describe-eif, refused by QEMU; who signed finds out at launch."""
    with pytest.raises(GlassclaveError) as caught:
        read(stale_size(VECTOR))
    assert caught.value.code == "eif.section.size-mismatch"
    assert "nitro-cli sign-eif leaves that" in caught.value.message
    assert "sign the unsigned image" in caught.value.message
    with pytest.raises(GlassclaveError) as other:
        read(by_hand(sizes={4: 7}))
    assert "sign-eif" not in other.value.message  # said of signature sections only


def test_quirk_of_two_signatures_has_no_pcr8_of_ours() -> None:
    """describe-eif prints H(0 + H(both certificates)) for such an image; no hardware was seen to."""
    (quirk,) = (one for one in CONTAINER if one.name == "two-signatures")
    found = inspect(quirk.make(VECTOR))
    assert found.measurements is not None
    assert found.measurements.pcr8 is None
    assert found.refused


def test_quirk_of_a_signature_that_cannot_be_read_has_no_pcr8() -> None:
    (quirk,) = (one for one in SIGNATURES if one.name == "no-element")
    measurements = inspect(quirk.make(VECTOR)).measurements
    assert measurements is not None
    assert measurements.pcr8 is None


@pytest.mark.parametrize("size", [1 << 40, 1 << 63, (1 << 64) - 1])
def test_case_14_huge_sizes_take_neither_memory_nor_time(size: int) -> None:
    """AWS's reader reserves what is claimed before it reads, and panics from 2^63 on."""
    data = last_size(VECTOR, size)
    tracemalloc.start()
    started = time.monotonic()
    found = inspect_image(BytesSource(data), name="x")
    seconds = time.monotonic() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "eif.section.truncated" in codes(found)
    assert peak < 4 << 20
    assert seconds < 5


def test_case_16_a_gap_that_the_checksum_does_not_count() -> None:
    """The specification counts it, QEMU does not: whichever is right, the file is refused."""
    counted, uncounted = inspect(gap(VECTOR, counted=True)), inspect(gap(VECTOR, counted=False))
    assert (counted.crc_ok, uncounted.crc_ok) == (True, False)
    for found in (counted, uncounted):
        assert {"eif.section.gap", "eif.walks-disagree"} <= codes(found)
        assert found.measurements is None
    assert "eif.crc" in codes(uncounted)


@pytest.mark.parametrize("spelling", ["Sha384 { ... }", "Sha512_48 { .. }"])
def test_case_20_measurements_are_read_however_the_hash_is_spelled(spelling: str) -> None:
    printed = {"Measurements": {"HashAlgorithm": spelling, "PCR0": PCR0, "PCR1": PCR1, "PCR2": PCR2}}
    found = parse_measurements(json.dumps(printed).encode(), source="build.json")
    assert [value.hex() for value in found.by_index().values()] == [PCR0, PCR1, PCR2]


def test_sections_are_hashed_by_type_not_by_place() -> None:
    """§2.1: metadata between two ramdisks is in no register."""
    kernel, cmdline, metadata, first, second = VECTOR
    data = by_hand([kernel, cmdline, first, metadata, second])
    measured = appraise_image(read(data))
    assert [value.hex() for value in measured.measurements.by_index().values()] == [PCR0, PCR1, PCR2]
    (application,) = (
        digest
        for section, digest in list(zip(measured.sections, measured.section_digests, strict=True))[-1:]
        if section.type == SectionType.RAMDISK
    )
    assert pcr_of_digest(application) == measured.measurements.pcr2  # one application ramdisk: the same hash
