"""Images of the real nitro-cli: its registers, its document key by key, its bytes again."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from glassclave.eif.describe import describe
from glassclave.eif.format import METADATA_MAX_SIZE, SectionType
from glassclave.eif.inspection import inspect_image
from glassclave.eif.metadata import build_metadata, parse_metadata
from glassclave.eif.reader import read_image
from glassclave.eif.signature import appraise_image
from glassclave.eif.writer import ImagePlan, SignatureData, write_image
from glassclave.streams import open_source

TESTS = Path(__file__).resolve().parents[2]
VECTORS = TESTS / "vectors" / "nitro-cli"
OURS = ("Sections", "Unmeasured", "Findings")


@pytest.fixture(params=["s1", "g1", "g2", "g3"])
def folder(request: pytest.FixtureRequest) -> Path:
    """One image of nitro-cli 1.5.2 and what it says of it."""
    return VECTORS / str(request.param)


def test_the_document_is_theirs_key_by_key_and_in_order(folder: Path) -> None:
    with open_source(folder / "nitro-cli.eif") as source:
        document = describe(inspect_image(source, name="x"))
    assert list(document)[-3:] == list(OURS)
    assert document["Findings"] == []
    theirs = {key: value for key, value in document.items() if key not in OURS}
    # As text: the order of keys counts, too.
    text = json.dumps(theirs, indent=2, ensure_ascii=False)
    assert text == (folder / "describe.json").read_text(encoding="utf-8").rstrip("\n")


def test_registers_are_those_of_nitro_cli_and_of_the_oracle(folder: Path) -> None:
    with open_source(folder / "nitro-cli.eif") as source:
        measured = appraise_image(read_image(source, name="x"))
    registers = {f"PCR{index}": value.hex() for index, value in measured.measurements.by_index().items()}
    theirs = json.loads((folder / "describe.json").read_text(encoding="utf-8"))["Measurements"]
    assert {"HashAlgorithm": "Sha512_48 { .. }"} | registers == theirs
    command: list[str | Path] = [sys.executable, TESTS / "oracle_pcrs.py", folder / "nitro-cli.eif"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert dict(line.split() for line in printed.splitlines()) == {
        name: value for name, value in registers.items() if name != "PCR8"
    }


def test_writing_the_same_parts_gives_the_same_file(folder: Path) -> None:
    with open_source(folder / "nitro-cli.eif") as source:
        image = read_image(source, name="x")
        (kernel,), (cmdline,), (metadata,) = (
            image.of_type(kind) for kind in (SectionType.KERNEL, SectionType.CMDLINE, SectionType.METADATA)
        )
        signatures = [
            SignatureData(image.data(section, limit=32768), b"-")
            for section in image.of_type(SectionType.SIGNATURE)
        ]
        out = io.BytesIO()
        plan = ImagePlan(
            architecture=image.header.architecture,
            kernel=image.chunks(kernel),
            cmdline=image.data(cmdline, limit=4096),
            metadata=image.data(metadata, limit=METADATA_MAX_SIZE),
            ramdisks=[image.chunks(section) for section in image.of_type(SectionType.RAMDISK)],
            sign=(lambda _measurements: signatures[0]) if signatures else None,
        )
        write_image(out, plan)
    assert out.getvalue() == (folder / "nitro-cli.eif").read_bytes()


def test_building_the_parsed_metadata_gives_the_same_section(folder: Path) -> None:
    with open_source(folder / "nitro-cli.eif") as source:
        image = read_image(source, name="x")
        data = image.data(image.of_type(SectionType.METADATA)[0], limit=METADATA_MAX_SIZE)
    metadata = parse_metadata(data)
    assert metadata is not None
    assert build_metadata(metadata) == data
