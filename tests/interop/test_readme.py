"""Every command of README.md is run, in a row, in a folder with the example and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"\s+#.*$", re.MULTILINE)
MAKE = re.compile(r"^make ([a-z-]+)$", re.MULTILINE)
# Until what was started with `&` has written what the next commands read.
WAIT = "for i in $(seq 200); do test -s try/env.sh && break; sleep 0.1; done\n"


def commands(document: Path) -> list[str]:
    """The shell blocks, without the doors of the Makefile: `make test` is what runs this."""
    blocks = [COMMENT.sub("", block) for block in BLOCK.findall(document.read_text(encoding="utf-8"))]
    return [block for block in blocks if not MAKE.search(block)]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Where README.md's commands find what they name."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, module in (("glassclave", "glassclave"), ("glassclave-sandbox", "glassclave_sandbox")):
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{folder}/.venv/bin:{os.environ['PATH']}", "HOME": str(folder), "LANG": "C.UTF-8"}
    # What is still running at the end is ended with its process group.
    ending = "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\nset -eu\n"
    return subprocess.run(
        ["bash", "-c", ending + script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_readme(checkout: Path) -> None:
    blocks = commands(ROOT / "README.md")
    assert len(blocks) >= 6
    done = run(WAIT.join(f"{block}\n" for block in blocks), checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PROVENANCE: built by acme/enclave's workflow; no running enclave was checked." in done.stdout
    assert "LIVE, UNBOUND: this image" in done.stdout
    assert (
        done.stdout.rstrip().splitlines()[-1].startswith("LIVE, UNBOUND: an enclave with these measurements")
    )
    assert (checkout / "verdict.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_librarys_example(checkout: Path) -> None:
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (checkout / "example.py").write_text(example, encoding="utf-8")
    script = f"""
    glassclave build oci:examples/hello/layout -o hello.eif
    glassclave-sandbox attest hello.eif --nonce {"5a" * 32} --root try -o document.bin
    "{sys.executable}" example.py hello.eif document.bin {"5a" * 32} try/attestation-root.pem
    ! "{sys.executable}" example.py hello.eif document.bin {"5b" * 32} try/attestation-root.pem
    """
    done = run(script, checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass attestation.pcr0" in done.stdout
    assert "fail attestation.nonce.mismatch" in done.stdout


def test_the_doors_that_documents_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    doors = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {door for path in documents for door in re.findall(r"`make ([a-z-]+)", path.read_text("utf-8"))}
    named |= {door for path in documents for door in MAKE.findall(path.read_text("utf-8"))}
    assert named >= {"demo", "test"}
    assert named - doors == {"tinyconfig"}  # the kernel's own


def test_every_option_that_documents_name_exists() -> None:
    """Options in `code` behind the name of a command of ours are in that command's help."""
    named = re.compile(r"`(glassclave(?:-sandbox)?(?: [a-z]+(?:-[a-z]+)*)*) [^`]*?(--[a-z-]+)[^`]*`")
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "sandbox" / "README.md"]
    found = {pair for path in documents for pair in named.findall(path.read_text(encoding="utf-8"))}
    assert found
    for command, option in sorted(found):
        program, *words = command.split()
        module = program.replace("-", "_")
        said = subprocess.run(
            [sys.executable, "-m", module, *words, "--help"], capture_output=True, text=True, check=False
        )
        assert option in said.stdout, f"{command} has no {option}"
