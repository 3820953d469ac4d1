"""Build logs beside an image: real docker-registry, sandbox Sigstore, the real detector of secrets."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import secrets
import shutil
import string
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from glassclave.buildlog.text import compress, decompress
from glassclave.clients.credentials import DockerConfig
from glassclave.clients.registry import Registry as RegistryClient
from glassclave.flows.log import LogArchive, load_archive
from glassclave.flows.log_referrer import push_log
from glassclave.oci.log_artifact import LOG_ARTIFACT_TYPE
from glassclave.oci.manifest import MANIFEST_MEDIA_TYPE, Descriptor
from glassclave.oci.reference import parse_reference
from glassclave_sandbox.services import Services
from tests.interop.peers import Registry
from tests.interop.test_publish_verify import REPOSITORY, World
from tests.pipeline.swap import list_only

pytestmark = pytest.mark.interop

RUN = {"repository": REPOSITORY, "run_id": "777", "run_attempt": "2", "sha": "5" * 40}
ENVIRONMENT = {
    "GITHUB_REPOSITORY": REPOSITORY,
    "GITHUB_RUN_ID": "777",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_SHA": "5" * 40,
    "GITHUB_JOB": "build",
}
LOG = (
    "\ufeff2026-11-24T10:00:00.1234567Z \x1b[36mSTEP 1/3: FROM scratch\x1b[0m\r\n"
    "2026-11-24T10:00:01Z token ***\n"
)


@pytest.fixture
def world(docker_registry: Registry, tmp_path: Path) -> Iterator[World]:
    with Services(tmp_path / "state", registry=False) as services:
        yield World(services, docker_registry, tmp_path)


@dataclass(frozen=True)
class Kept:
    """An image published with its log."""

    world: World
    reference: str

    def verify(self, *arguments: str) -> tuple[int, dict[str, str]]:
        """Exit status, and status and code of each check of the step `log`."""
        status, verdict = self.world.verify(self.reference, *arguments)
        checks = verdict["checks"]
        assert isinstance(checks, list)
        return status, {check["code"]: check["status"] for check in checks if check["step"] == "log"}

    def log(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        config = str(self.world.services.trust_config)
        return self.world.run(
            "log", verb, self.reference, "--repo", REPOSITORY, "--trust-config", config, *arguments
        )


def collect(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """The log of one step, collected into ``folder/kept``."""
    path = folder / "step.log"
    path.write_text(text, encoding="utf-8", newline="")
    command = ["log", "collect", "-o", str(folder / "kept"), "--file", f"Build={path}"]
    return subprocess.run(
        [sys.executable, "-m", "glassclave", *command],
        env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Once: the search for secrets takes seconds."""
    folder = tmp_path_factory.mktemp("log")
    done = collect(folder, LOG)
    assert done.returncode == 0, done.stderr
    return folder / "kept"


@pytest.fixture
def kept(world: World, collected: Path) -> Kept:
    shutil.copytree(collected, world.folder / "kept")
    return publish_kept(world)


def publish_kept(world: World) -> Kept:
    """An image published with the log in the world's folder ``kept``."""
    config = str(world.services.trust_config)
    published = world.run(
        "publish", str(world.build()), world.reference("1"), "--trust-config", config, "--json",
        "--log", str(world.folder / "kept"), **RUN,
    )  # fmt: skip
    assert published.returncode == 0, published.stdout
    return Kept(world, str(json.loads(published.stdout)["reference"]))


def test_a_log_is_kept_shown_and_judged(kept: Kept) -> None:
    assert kept.verify() == (0, {"log": "pass"})
    done = kept.log("verify")
    assert done.returncode == 0, done.stderr
    assert "2 lines of build, kept by the job itself, 1 place masked" in done.stdout
    shown = kept.log("show")
    assert shown.stdout.splitlines() == [
        "2026-11-24T10:00:00.1234567Z STEP 1/3: FROM scratch",
        "2026-11-24T10:00:01Z token ***",
    ]
    assert kept.log("show", "--step", "Build").stdout == shown.stdout
    other = kept.log("show", "--step", "Test")
    assert (other.returncode, "it has: 1 Build" in other.stderr) == (2, True)


def test_a_stranger_pulls_the_log_with_oras(kept: Kept, oras: Path, tmp_path: Path) -> None:
    found = subprocess.run(
        [oras, "discover", "--plain-http", "--format", "json", kept.reference],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    listed = json.loads(found.stdout)
    listed = listed.get("referrers") or listed["manifests"]  # oras 1.3 and 1.2
    (log,) = [one for one in listed if one["artifactType"] == LOG_ARTIFACT_TYPE]
    subprocess.run(
        [oras, "pull", "--plain-http", log["reference"]], cwd=tmp_path, check=True, capture_output=True
    )
    record = json.loads((tmp_path / "build-log.json").read_bytes())
    text = gzip.decompress((tmp_path / "build-log.txt.gz").read_bytes())
    assert hashlib.sha256(text).hexdigest() == record["text"]["sha256"]


def test_a_published_run_with_another_runs_log_is_refused_before_anything_is_signed(
    world: World, kept: Kept
) -> None:
    config = str(world.services.trust_config)
    for change, code in (
        ({"run_id": "778"}, "log.run.mismatch"),
        ({"run_attempt": "1"}, "log.run.mismatch"),
        ({"sha": "6" * 40}, "log.commit.mismatch"),
        ({"repository": "acme/other"}, "log.repository.mismatch"),
    ):
        done = world.run(
            "publish", str(world.build("other")), world.reference("2"), "--trust-config", config,
            "--log", str(world.folder / "kept"), "--json", **(RUN | change),
        )  # fmt: skip
        assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (1, code)
    assert world.run("verify", world.reference("2"), "--repo", REPOSITORY).returncode == 3


def push_beside(kept: Kept, log: LogArchive) -> None:
    registry = RegistryClient(DockerConfig({}))
    reference = parse_reference(kept.reference)
    stored = registry.resolve(reference)
    push_log(registry, reference, Descriptor(MANIFEST_MEDIA_TYPE, stored.digest, len(stored.data)), log)


def drop_log(kept: Kept) -> None:
    """What a publisher does who regrets: the list of referrers is theirs to write."""
    registry = RegistryClient(DockerConfig({}))
    list_only(
        registry, parse_reference(kept.reference), lambda entry: entry.artifact_type != LOG_ARTIFACT_TYPE
    )


def test_a_log_that_is_gone_is_said(kept: Kept, tmp_path: Path) -> None:
    drop_log(kept)
    assert kept.verify() == (1, {"log.missing": "fail"})
    done = kept.log("verify")
    assert (done.returncode, "log.missing" in done.stdout) == (1, True)
    assert kept.log("show").returncode == 1
    policy = tmp_path / "policy.toml"
    policy.write_text(f'repository = "{REPOSITORY}"\nbuild-log = "any"\n', encoding="ascii")
    config = str(kept.world.services.trust_config)
    done = kept.world.run(
        "verify", kept.reference, "--policy", str(policy), "--trust-config", config, "--json"
    )
    (check,) = [one for one in json.loads(done.stdout)["checks"] if one["step"] == "log"]
    assert (done.returncode, check["status"]) == (0, "not-checked")


def test_another_log_in_its_place_is_said(kept: Kept) -> None:
    archive = load_archive(kept.world.folder / "kept")
    drop_log(kept)
    changed = archive.record_file.replace(b'"masks": 1', b'"masks": 0')
    assert changed != archive.record_file
    push_beside(kept, LogArchive(changed, archive.text_file, archive.record))
    assert kept.verify() == (1, {"log.digest.mismatch": "fail"})


def test_another_text_behind_the_signed_record_is_said(kept: Kept) -> None:
    archive = load_archive(kept.world.folder / "kept")
    drop_log(kept)
    text = decompress(archive.text_file, archive.record.text_size)
    assert text.count(b"STEP 1/3") == 1
    push_beside(
        kept,
        LogArchive(archive.record_file, compress(text.replace(b"STEP 1/3", b"STEP 1/2")), archive.record),
    )
    assert kept.verify() == (1, {"log.text.mismatch": "fail"})
    assert "log.text.mismatch" in kept.log("show").stderr


def test_another_log_beside_it_changes_nothing(kept: Kept) -> None:
    archive = load_archive(kept.world.folder / "kept")
    push_beside(kept, LogArchive(archive.record_file, compress(b"all went well\n"), archive.record))
    changed = archive.record_file.replace(b"acme", b"evil")
    push_beside(kept, LogArchive(changed, archive.text_file, archive.record))
    assert kept.verify() == (0, {"log": "pass"})


def test_secrets_are_not_kept_and_not_shown(tmp_path: Path) -> None:
    letters = string.ascii_letters + string.digits
    token = "ghp_" + "".join(secrets.choice(letters) for _ in range(36))
    done = collect(tmp_path, f"one\ntoken {token}\n")
    assert done.returncode == 1
    assert "line 2 (github-pat)" in done.stderr
    assert "log.secret" in done.stderr
    assert token[8:] not in done.stderr + done.stdout
    assert not (tmp_path / "kept").exists()
