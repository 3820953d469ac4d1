"""Both distributions as wheels in a fresh environment: what a user installs works, no checkout near it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.acceptance, pytest.mark.timeout(1200)]

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("3.11", "3.12", "3.13")
PCR2 = "0d257697cd47a75342cfe852a67a5750d346efa4fd5f2acba9c945bd3234f8def2a57d4b9d960ef9398c80914aac2c41"
"""Of the image below: the layout is one, whatever Python writes it."""


def run(*command: str | Path, folder: Path) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GITHUB_"))}
    done = subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def interpreter(version: str) -> Path:
    """A Python of that version on this machine: the one that runs, one on PATH, or one of pyenv's."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Path(sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = sorted(pyenv.glob(f"{version}.*/bin/python{version}"))
    on_path = shutil.which(f"python{version}")
    for candidate in [*([] if on_path is None else [Path(on_path)]), *installed]:
        asked = subprocess.run([candidate, "-c", "import ssl, venv"], capture_output=True, check=False)
        if asked.returncode == 0:  # a shim of pyenv's is there for versions that are not
            return candidate
    pytest.skip(f"there is no Python {version} on this machine, neither on PATH nor of pyenv's")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Both, built once."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in (ROOT, ROOT / "sandbox"):
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, folder=project)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("version", VERSIONS)
def test_installed_wheels_build_and_run_the_demo(version: str, wheels: list[Path], tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    run(interpreter(version), "-m", "venv", environment, folder=tmp_path)
    python, glassclave = environment / "bin" / "python", environment / "bin" / "glassclave"
    pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    hashed = ("--require-hashes", "--only-binary", ":all:", "-r", ROOT / "requirements" / "runtime.txt")
    run(*pip, "install", "--no-deps", *hashed, folder=tmp_path)
    run(*pip, "install", "--no-deps", *wheels, folder=tmp_path)
    run(*pip, "check", folder=tmp_path)
    where = run(
        python, "-c", "import glassclave, sys; print(sys.version, glassclave.__file__)", folder=tmp_path
    )
    assert where.startswith(f"{version}.")
    assert Path(where.split()[-1]).is_relative_to(environment)
    assert re.fullmatch(r"glassclave, version \S+\n", run(glassclave, "--version", folder=tmp_path))
    source = tmp_path / "root"
    source.mkdir()
    source.chmod(0o755)
    (source / "file").write_text("content", encoding="ascii")
    (source / "file").chmod(0o644)
    run(glassclave, "build", "dir:root", "-o", "app.eif", "--cmd", "/file", folder=tmp_path)
    described = json.loads(run(glassclave, "describe", "app.eif", "--json", folder=tmp_path))
    assert described["Measurements"]["PCR2"] == PCR2
    said = json.loads(run(glassclave, "demo", "--no-qemu", "--json", folder=tmp_path))
    assert said["attacksRefused"] == 7
