"""The example's Dockerfile, built by buildah: another builder, another layer, the shipped layout's PCRs."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from tests.images.debian import suite_and_mirror

pytestmark = [pytest.mark.interop, pytest.mark.acceptance, pytest.mark.timeout(1200)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "hello"


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{command[0]}: {(done.stdout + done.stderr)[-3000:]}"
    return done.stdout


def pcrs(source: str, output: Path) -> dict[str, str]:
    said = run(sys.executable, "-m", "glassclave", "build", source, "-o", output, "--json")
    measurements: dict[str, str] = json.loads(said)["measurements"]
    return measurements


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


def test_buildah_makes_the_same_program(
    buildah: Path, tmp_path: Path, peer_environment: dict[str, str]
) -> None:
    context = tmp_path / "context"
    shutil.copytree(EXAMPLE, context, symlinks=True)
    root = make_base(tmp_path, context / "requirements.txt")
    policy = Path(peer_environment["HOME"]) / ".config" / "containers" / "policy.json"
    policy.parent.mkdir(parents=True)
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}', encoding="ascii")
    # Its own TMPDIR: buildah keeps what it stages there.
    env = peer_environment | {"TMPDIR": str(tmp_path)}
    store = ("--root", str(tmp_path / "store"), "--runroot", str(tmp_path / "run"))
    base = run(buildah, *store, "from", "scratch", env=env).strip()
    run(buildah, *store, "add", base, root, "/", env=env)
    run(buildah, *store, "commit", base, "localhost/base", env=env)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    build = (
        "bud",
        "--ulimit",
        f"nofile={limit}:{limit}",
        "--build-arg",
        "BUILDER=localhost/base",
        "-t",
        "localhost/hello:1.0",
    )
    run(buildah, *store, *build, context, env=env)
    layout = tmp_path / "layout"
    run(buildah, *store, "push", "localhost/hello:1.0", f"oci:{layout}:1.0", env=env)
    built = pcrs(f"oci:{layout}:1.0", tmp_path / "built.eif")
    with resources.as_file(resources.files("glassclave_sandbox.demo").joinpath("hello")) as shipped:
        assert built == pcrs(f"oci:{shipped}", tmp_path / "shipped.eif")
