"""``glassclave describe`` as a person and as a program meet it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from glassclave.eif.inspection import inspect_image
from glassclave.eif.metadata import Metadata, build_metadata
from glassclave.provenance.predicate import SectionDigest, predicate_json
from glassclave.streams import BytesSource
from tests.unit.eif.images import PCR0, PCR1, PCR2, by_hand, patched, write
from tests.unit.eif.signed_images import SIGNED, SIGNED_PCR8
from tests.unit.provenance.predicates import SIGNED as PREDICATE

NO_PCR8 = replace(PREDICATE.measured.measurements, pcr8=None)
EVIL = "\x1b[2J\u202eevil\x7f\x9b"


def run(path: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "glassclave", "describe", str(path), *options]
    return subprocess.run(command, capture_output=True, timeout=60, env=os.environ | environment)


def test_text_shows_whole_registers_and_says_who_is_covered(tmp_path: Path) -> None:
    path = tmp_path / "image.eif"
    path.write_bytes(SIGNED["P-521"])
    finished = run(path)
    assert finished.returncode == 0, finished.stderr
    text = finished.stdout.decode()
    for index, value in ((0, PCR0), (1, PCR1), (2, PCR2), (8, SIGNED_PCR8["P-521"])):
        assert f"PCR{index}  {value}  " in text
    assert "findings: none" in text
    assert finished.stderr == b""


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_untrusted_text_never_reaches_the_terminal_raw(tmp_path: Path, options: list[str]) -> None:
    metadata = Metadata(
        image_name=EVIL,
        image_version=EVIL,
        build_time=EVIL,
        build_tool=EVIL,
        build_tool_version=EVIL,
        operating_system=EVIL,
        kernel_version=EVIL,
        docker_info={EVIL: EVIL},
        custom={EVIL: EVIL},
    )
    path = tmp_path / "evil.eif"
    path.write_bytes(write(metadata=build_metadata(metadata))[0])
    finished = run(path, *options)
    assert finished.returncode == 0, finished.stderr
    for raw in ("\x1b", "\u202e", "\x7f", "\x9b"):
        assert raw not in finished.stdout.decode()
    if options:
        assert json.loads(finished.stdout)["ImageName"] == EVIL


def test_a_terminal_without_utf8(tmp_path: Path) -> None:
    path = tmp_path / "image.eif"
    path.write_bytes(by_hand(gaps=[bytes(12)]))
    finished = run(path, PYTHONIOENCODING="ascii")
    assert finished.returncode == 1, finished.stderr
    assert b"no PCR values" in finished.stdout
    assert b"eif.walks-disagree" in finished.stdout


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_exit_1_where_verify_would_refuse(tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "image.eif"
    good = by_hand()
    path.write_bytes(good[:0x223] + bytes([good[0x223] ^ 1]) + good[0x224:])
    finished = run(path, *options)
    assert finished.returncode == 1
    assert b"eif.crc" in finished.stdout
    path.write_bytes(patched(good, 6, b"\2\x40"))  # odd, not refused
    finished = run(path, *options)
    assert finished.returncode == 0
    assert b"eif.header.flags" in finished.stdout


def test_what_came_from_outside_is_said_by_the_measurements_beside_it(tmp_path: Path) -> None:
    """Only where they are of this image; the JSON is nitro-cli's and stays so."""
    path, beside = tmp_path / "image.eif", tmp_path / "image.measurements.json"
    image = by_hand()
    path.write_bytes(image)
    digests = inspect_image(BytesSource(image), name="x").section_digests
    assert digests is not None
    sections = tuple(SectionDigest(type="ramdisk", size=1, sha384=digest) for digest in digests)
    measured = replace(PREDICATE.measured, sections=sections, measurements=NO_PCR8)
    fits = replace(PREDICATE, measured=measured)
    others = replace(fits, measured=replace(measured, sections=sections[:-1]))
    dir_built = replace(fits, claimed=replace(fits.claimed, container=None))
    for predicate, shown in ((fits, True), (others, False), (dir_built, False), (None, False)):
        beside.write_bytes(b"{" if predicate is None else predicate_json(predicate))
        finished = run(path)
        assert finished.returncode == 0, finished.stderr
        text = finished.stdout.decode()
        assert ("from outside the repository: 2 base images" in text) is shown
        assert ("  + dpkg jq 1.6 (layer 3)" in text) is shown
        assert ("(image.measurements.json says so: signed by nobody)" in text) is shown
        assert b"outside" not in run(path, "--json").stdout


def test_exit_3_and_one_json_document_where_nothing_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "image.eif"
    path.write_bytes(bytes(547))
    for name, code in (
        (path, "eif.truncated"),
        (tmp_path / "none", "file.unreadable"),
        (tmp_path, "file.kind"),
    ):
        finished = run(name, "--json")
        assert finished.returncode == 3
        assert json.loads(finished.stdout)["error"]["code"] == code
        finished = run(name)
        assert finished.returncode == 3
        assert finished.stdout == b""
        assert code.encode() in finished.stderr
