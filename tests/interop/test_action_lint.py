"""What a linter of GitHub's files says of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]


def test_zizmor_finds_nothing() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    command = [str(zizmor), "--offline", "--no-progress", "--persona", "pedantic", "action.yml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_input_reaches_a_script_but_through_the_environment() -> None:
    lines = (ROOT / "action.yml").read_text(encoding="utf-8").splitlines()
    scripts = [line for line in lines if line.strip().startswith("run:")]
    assert scripts
    assert not [line for line in scripts if "${{" in line]
