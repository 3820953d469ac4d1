"""A release, as far as it needs no GitHub: the workflow's own steps, run twice, give the same files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.boot.enclave import busybox
from tests.interop.peers import PEERS
from tests.pipeline.caller import DOCKERFILE, ROOT, Github, fetch_wheels, lay_out, own_machine
from tests.pipeline.repositories import snapshot

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

WORKFLOW = ".github/workflows/release.yml"
CALLED = "./.github/workflows/build-enclave.yml"
# They want Debian's archive and GitHub's `gh`. Linters read them (test_action_lint.py).
ELSEWHERE = ("source", "release")


@pytest.fixture(scope="session")
def release_wheels(wheels: Path) -> str:
    """Where everything lies that a release installs."""
    folder = PEERS / "wheels-release"
    fetch_wheels(ROOT / "requirements" / "release.txt", folder)
    return f"{wheels} {folder}"


def release(folder: Path, wheels: Path, found: str, umask: int, **scenario: Any) -> dict[str, Any]:
    """A tag pushed to a repository that is ours but for the example's Dockerfile, which needs a network."""
    folder.mkdir()
    github: Github = lay_out(folder, wheels)
    commit = snapshot(ROOT, folder / "ours.git", only_known=True)
    packed = subprocess.run(
        ["git", f"--git-dir={folder / 'ours.git'}", "archive", commit], capture_output=True, check=True
    ).stdout
    subprocess.run(["tar", "-x", "-C", github.repository], input=packed, check=True)
    example = github.repository / "examples" / "hello"
    (example / "Dockerfile").write_text(DOCKERFILE, encoding="ascii")
    (example / "busybox").write_bytes(busybox())
    (example / "busybox").chmod(0o755)
    (example / "page.html").write_text("hello", encoding="ascii")
    before = os.umask(umask)
    try:
        usual: dict[str, Any] = {
            "ref": "refs/tags/v0.1.0",
            "jobs_left_out": (*ELSEWHERE, "image"),
            "environment": {"PIP_FIND_LINKS": found},
        }
        return github.push(workflow=WORKFLOW, uses=CALLED, **usual | scenario)
    finally:
        os.umask(before)


def files(folder: Path) -> dict[str, str]:
    """What the job that builds left, and the SHA-256 of each file."""
    (dist,) = folder.glob("jobs/*-wheels/workspace/dist")
    return {
        path.relative_to(dist).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in dist.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def place(tmp_path: Path, buildah: Path, cosign: Path, oras: Path) -> Path:
    if not own_machine():
        pytest.skip("a network and mounts of its own are needed (root, unshare)")
    return tmp_path


@pytest.mark.acceptance
def test_a_tag_becomes_an_image_by_our_own_workflow(place: Path, wheels: Path, release_wheels: str) -> None:
    said = release(
        place / "one", wheels, release_wheels, 0o022, jobs_left_out=(*ELSEWHERE, "wheels", "publish")
    )
    assert said["failed"] is None, said["failed"]
    assert said["consumer"]["reference"].startswith("ghcr.io/acme/hello:v0.1.0@sha256:")
    # The workflow lies in the repository itself: no consumer needs a flag for it.
    assert said["consumer"]["verify"]["status"] == 0, said["consumer"]["verify"]
    assert "Built twice in different surroundings: the same bytes." in said["summary"]


def test_a_tag_becomes_wheels_and_an_sbom_the_same_ones_twice(
    place: Path, wheels: Path, release_wheels: str
) -> None:
    said = release(place / "one", wheels, release_wheels, 0o022)
    assert said["failed"] is None, said["failed"]
    # The wheels, handed over to a job that can do nothing but publish them.
    made = files(place / "one")
    wheels_made = {name.partition("/")[2]: digest for name, digest in made.items() if name.endswith(".whl")}
    assert said["published"] == wheels_made
    assert sorted(wheels_made) == [
        "glassclave-0.1.0-py3-none-any.whl", "glassclave_sandbox-0.1.0-py3-none-any.whl",
    ]  # fmt: skip
    assert said["identity"] == ["publish the wheels"]
    # Everything the wheels are installed with, and nothing of this machine.
    (sbom,) = (place / "one").glob("jobs/*-wheels/workspace/dist/assets/glassclave-0.1.0.cdx.json")
    listed = json.loads(sbom.read_bytes())
    assert (listed["bomFormat"], listed["metadata"]["component"]["name"]) == ("CycloneDX", "glassclave")
    locked = re.findall(
        r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / "requirements" / "runtime.txt").read_text(), re.MULTILINE
    )
    assert {(part["name"], part["version"]) for part in listed["components"]} == set(locked)
    assert str(place) not in sbom.read_text(encoding="utf-8")
    # Again, in another folder, under another umask and time zone.
    again = release(
        place / "two", wheels, release_wheels, 0o077,
        environment={"PIP_FIND_LINKS": release_wheels, "TZ": "Asia/Tokyo"},
    )  # fmt: skip
    assert again["failed"] is None, again["failed"]
    assert files(place / "two") == made


def test_a_tag_that_is_not_the_version_releases_nothing(
    place: Path, wheels: Path, release_wheels: str
) -> None:
    said = release(
        place / "one", wheels, release_wheels, 0o022,
        ref="refs/tags/v9.9.9",
    )  # fmt: skip
    assert "the tag is v9.9.9, the version is 0.1.0" in said["failed"]
    assert said["published"] == {}


@pytest.mark.acceptance
def test_a_wheel_that_changes_between_the_jobs_is_not_published(
    place: Path, wheels: Path, release_wheels: str
) -> None:
    said = release(
        place / "one", wheels, release_wheels, 0o022,
        tamper=("flip", "wheels/glassclave-0.1.0-py3-none-any.whl"),
    )  # fmt: skip
    assert "glassclave-0.1.0-py3-none-any.whl: FAILED" in said["failed"]
    assert said["published"] == {}
