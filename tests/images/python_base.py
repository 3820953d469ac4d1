"""An image with Python and the example's compiler in it: a base for builds that have no network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.images.debian import suite_and_mirror


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{command[0]}: {(done.stdout + done.stderr)[-3000:]}"
    return done.stdout


def make_base(folder: Path, requirements: Path) -> Path:
    """A root with Python, venv and the compiler's wheel: the builder's steps have no network."""
    suite, mirror = suite_and_mirror()
    root = folder / "base"
    packages = "--include=python3,python3-venv"
    run("unshare", "--mount", "debootstrap", "--variant=minbase", packages, suite, root, mirror)
    download = ("-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:")
    run(sys.executable, *download, "-r", requirements, "-d", root / "wheels")
    (root / "etc" / "pip.conf").write_text(
        "[global]\nno-index = true\nfind-links = /wheels\n", encoding="ascii"
    )
    return root


def commit_base(buildah: Path, root: Path, store: tuple[str, ...], name: str, env: dict[str, str]) -> None:
    """``root`` as the image ``name`` in buildah's ``store`` (its global options)."""
    base = run(buildah, *store, "from", "scratch", env=env).strip()
    run(buildah, *store, "add", base, root, "/", env=env)
    run(buildah, *store, "commit", base, name, env=env)
