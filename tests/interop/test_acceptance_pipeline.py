"""The example and the older action's README workflow, in a fresh folder: from a push to what strangers judge.

What is changed afterwards is refused, each change for a reason of its own.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.images.python_base import commit_base, make_base, run
from tests.interop.test_pipeline import ACTION, WORKFLOW, judged
from tests.pipeline.caller import ANY_IMAGE, ROOT, Github, own_machine

pytestmark = [pytest.mark.interop, pytest.mark.acceptance, pytest.mark.timeout(1800)]

EXAMPLE = ROOT / "examples" / "hello"
BUILDER = "bases/python:3.13-slim-bookworm"
REGISTRIES = """\
unqualified-search-registries = ["docker.io"]

[[registry]]
prefix = "docker.io/library"
location = "ghcr.io/bases"
"""
Push = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, buildah: Path) -> Path:
    """The image that the example's Dockerfile starts from, or one with the same programs, as a layout."""
    folder = tmp_path_factory.mktemp("base")
    root = make_base(folder, EXAMPLE / "requirements.txt")
    policy = folder / "home" / ".config" / "containers" / "policy.json"
    policy.parent.mkdir(parents=True)
    policy.write_text(ANY_IMAGE, encoding="ascii")
    env = {"PATH": f"{buildah.parent}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder / "home")}
    env["TMPDIR"] = str(folder)
    store = ("--root", str(folder / "store"), "--runroot", str(folder / "run"))
    commit_base(buildah, root, store, "localhost/base", env)
    run(buildah, *store, "push", "localhost/base", f"oci:{folder / 'layout'}:base", env=env)
    return folder / "layout"


@pytest.fixture
def push(github: Github, base: Path) -> Iterator[Push]:
    """Push the example's repository, as often as a test likes."""
    if not own_machine():
        pytest.skip("a network and mounts of its own are needed (root, unshare)")
    app = github.repository / "app"
    shutil.rmtree(app)
    shutil.copytree(EXAMPLE, app, ignore=shutil.ignore_patterns("layout"))
    registries = github.folder / "registries.conf"
    registries.write_text(REGISTRIES, encoding="ascii")
    workflow = github.write_workflow(WORKFLOW)
    fresh = ["jobs", "sandbox", "tls", "pulled", "pushed.git"]

    def push(**scenario: Any) -> dict[str, Any]:
        for name in fresh:
            shutil.rmtree(github.folder / name, ignore_errors=True)
        shared: dict[str, Any] = {
            "workflow": workflow,
            "uses": ACTION,
            "environment": {"CONTAINERS_REGISTRIES_CONF": str(registries)},
            "images": {BUILDER: str(base)},
        }
        return github.push(**shared | scenario)

    yield push


def test_from_a_push_to_what_a_stranger_finds(push: Push, tmp_path: Path) -> None:
    said = push()
    assert said["failed"] is None, said["failed"]
    consumer = said["consumer"]
    for name in ("verify", "cosign", "oras", "log"):
        assert consumer[name]["status"] == 0, consumer[name]
        print(f"== {name}", consumer[name]["out"], sep="\n")
    verdict = json.loads(consumer["verify"]["out"])
    statuses = {check["step"]: check["status"] for check in verdict["checks"]}
    assert statuses["log"] == "pass"
    layout, eif = EXAMPLE / "layout", tmp_path / "shipped.eif"
    built = run(sys.executable, "-m", "glassclave", "build", f"oci:{layout}", "-o", eif, "--json")
    assert verdict["subject"]["measurements"] == json.loads(built)["measurements"]
    assert "ziglang cc" in consumer["log"]["out"]
    assert consumer["pulled"] == ["enclave-info.json", "enclave.eif", "enclave.measurements.json"]


def test_another_byte_of_source_is_another_image(push: Push, github: Github) -> None:
    first = push()
    assert judged(first) == (0, [])
    expected = json.loads(first["consumer"]["verify"]["out"])["subject"]["measurements"]
    source = github.repository / "app" / "hello.c"
    text = source.read_text(encoding="utf-8")
    assert text.count("Hello from an enclave.") == 1
    source.write_text(text.replace("Hello from an enclave.", "Hallo from an enclave."), encoding="utf-8")
    lines = "\n".join(f"{name}={value}" for name, value in expected.items())
    refused = push(given={"expected-pcrs": lines})
    assert "::error title=action.pcr.mismatch::PCR0 is " in refused["failed"]
    assert [path for path in refused["writes"] if "/bases/" not in path] == []  # what was there before
