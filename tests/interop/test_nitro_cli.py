"""The real nitro-cli on an image of ours: the same registers and the same document, key by key."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from glassclave.eif.describe import describe
from glassclave.eif.inspection import inspect_image
from glassclave.streams import open_source
from tests.oracle_pcrs import pcrs

pytestmark = [pytest.mark.interop, pytest.mark.acceptance]

OURS = ("Sections", "Unmeasured", "Findings")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def image(tmp_path: Path) -> Path:
    root, image = tmp_path / "root", tmp_path / "app.eif"
    root.mkdir()
    (root / "nonce").write_text(secrets.token_hex(16), encoding="ascii")
    run(sys.executable, "-m", "glassclave", "build", f"dir:{root}", "-o", image, "--cmd", "/nonce")
    return image


def described(nitro_cli: Path, image: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(run(nitro_cli, "describe-eif", "--eif-path", image))
    return said


def test_registers_are_those_of_nitro_cli(nitro_cli: Path, image: Path) -> None:
    theirs = described(nitro_cli, image)["Measurements"]
    said = json.loads(image.with_suffix(".measurements.json").read_bytes())["measured"]["pcrs"]
    assert {name: theirs[name] for name in said} == said
    assert list(said.values()) == pcrs(str(image))
    assert {len(value) for value in said.values()} == {96}


def test_describe_prints_what_nitro_cli_prints(nitro_cli: Path, image: Path) -> None:
    with open_source(image) as source:
        ours = describe(inspect_image(source, name=str(image)))
    assert ours["Findings"] == []
    document = {key: value for key, value in ours.items() if key not in OURS}
    theirs = run(nitro_cli, "describe-eif", "--eif-path", image)
    assert json.dumps(document, indent=2, ensure_ascii=False) == theirs.rstrip("\n")


def test_both_see_a_changed_byte(nitro_cli: Path, image: Path) -> None:
    before = described(nitro_cli, image)
    with image.open("r+b") as file:
        file.seek(os.path.getsize(image) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    after = described(nitro_cli, image)
    assert before["CheckCRC"] is True
    assert after["CheckCRC"] is False
    with open_source(image) as source:
        inspection = inspect_image(source, name=str(image))
    assert inspection.refused
    assert [after["Measurements"][name] for name in ("PCR0", "PCR1", "PCR2")] == pcrs(str(image))
