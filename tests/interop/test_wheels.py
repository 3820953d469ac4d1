"""Both distributions as wheels in a fresh environment: what a user installs runs the demo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.acceptance, pytest.mark.timeout(1200)]

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, folder: Path) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GITHUB_"))}
    done = subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_installed_wheels_run_the_demo(tmp_path: Path) -> None:
    wheels, environment = tmp_path / "wheels", tmp_path / "environment"
    for project in (ROOT, ROOT / "sandbox"):
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels, folder=project)
    run(sys.executable, "-m", "venv", environment, folder=tmp_path)
    python = environment / "bin" / "python"
    pip: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ]
    hashed = ("--require-hashes", "--only-binary", ":all:", "-r", ROOT / "requirements" / "runtime.txt")
    run(*pip, *hashed, folder=tmp_path)
    run(*pip, *sorted(wheels.iterdir()), folder=tmp_path)
    run(python, "-m", "pip", "check", folder=tmp_path)
    where = run(python, "-c", "import glassclave; print(glassclave.__file__)", folder=tmp_path)
    assert Path(where.strip()).is_relative_to(environment)
    glassclave = environment / "bin" / "glassclave"
    assert run(glassclave, "--version", folder=tmp_path).startswith("glassclave")
    said = json.loads(run(glassclave, "demo", "--no-qemu", "--json", folder=tmp_path))
    assert said["attacksRefused"] == 7
