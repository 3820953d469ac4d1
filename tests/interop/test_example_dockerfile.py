"""The example's Dockerfile, built by buildah: another builder, another layer, the shipped layout's PCRs."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from importlib import resources
from pathlib import Path

import pytest

from tests.images.python_base import commit_base, make_base, run

pytestmark = [pytest.mark.interop, pytest.mark.acceptance, pytest.mark.timeout(1200)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "hello"


def pcrs(source: str, output: Path) -> dict[str, str]:
    said = run(sys.executable, "-m", "glassclave", "build", source, "-o", output, "--json")
    measurements: dict[str, str] = json.loads(said)["measurements"]
    return measurements


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
    commit_base(buildah, root, store, "localhost/base", env)
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
