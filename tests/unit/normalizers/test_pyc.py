"""The rule on files that this Python really compiled."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from glassclave.normalizers.pyc import RULE

TIME = 315532800
MODES = py_compile.PycInvalidationMode


def compiled(folder: Path, mode: py_compile.PycInvalidationMode) -> Path:
    source = folder / "module.py"
    source.write_text("x = 1\n")
    return Path(py_compile.compile(str(source), invalidation_mode=mode, doraise=True) or "")


def test_a_canonical_file_is_used_when_its_source_has_the_constant_time(tmp_path: Path) -> None:
    path = compiled(tmp_path, MODES.TIMESTAMP)
    data = path.read_bytes()
    assert RULE.matches(b"module.pyc", data[:16])
    path.write_bytes(RULE.canonical(data[:16], TIME) + data[16:])
    os.utime(tmp_path / "module.py", (TIME, TIME))
    assert loads_compiled(tmp_path)
    path.write_bytes(RULE.canonical(data[:16], TIME + 1) + data[16:])
    assert not loads_compiled(tmp_path)


def loads_compiled(folder: Path) -> bool:
    """Whether Python says that it used the compiled file."""
    finished = subprocess.run(
        [sys.executable, "-S", "-v", "-B", "-c", "import module"],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return "module.cpython" in finished.stderr and "bytecode is stale" not in finished.stderr


@pytest.mark.parametrize("mode", [MODES.CHECKED_HASH, MODES.UNCHECKED_HASH])
def test_hash_based_files_are_left_alone(tmp_path: Path, mode: py_compile.PycInvalidationMode) -> None:
    assert not RULE.matches(b"module.pyc", compiled(tmp_path, mode).read_bytes()[:16])
