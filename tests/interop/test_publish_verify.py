"""Publish and verify, end to end: real docker-registry, sandbox Sigstore, real cosign and oras."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from glassclave.results import Measurements
from glassclave_sandbox.authority import make_root
from glassclave_sandbox.names import milliseconds
from glassclave_sandbox.nsm import SoftwareNsm
from glassclave_sandbox.services import Services
from tests.interop.peers import Registry

pytestmark = pytest.mark.interop

REPOSITORY = "acme/enclave"
SECONDS = 120


@dataclass(frozen=True)
class World:
    services: Services
    registry: Registry
    folder: Path

    def run(self, *arguments: str, **claims: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "glassclave", *arguments],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=os.environ | self.services.environment(**claims) | {"PYTHONUTF8": "1"},
        )

    def build(self, name: str = "app") -> Path:
        root = self.folder / f"root-{name}"
        root.mkdir(exist_ok=True)
        (root / "nonce").write_text(secrets.token_hex(16), encoding="ascii")
        image = self.folder / f"{name}.eif"
        done = self.run("build", f"dir:{root}", "-o", str(image), "--cmd", "/nonce")
        assert done.returncode == 0, done.stderr
        return image

    def publish(self, image: Path, tag: str, **claims: str) -> str:
        """Reference by digest."""
        done = self.run(
            "publish",
            str(image),
            self.reference(tag),
            "--trust-config",
            str(self.services.trust_config),
            "--json",
            **claims,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return str(json.loads(done.stdout)["reference"])

    def reference(self, tag: str) -> str:
        return f"{self.registry.address}/o/r:{tag}"

    def verify(
        self, reference: str, *arguments: str, repo: str = REPOSITORY
    ) -> tuple[int, dict[str, object]]:
        done = self.run(
            "verify",
            reference,
            "--repo",
            repo,
            "--trust-config",
            str(self.services.trust_config),
            "--json",
            *arguments,
        )
        return done.returncode, json.loads(done.stdout)

    def failures(self, reference: str, *arguments: str, repo: str = REPOSITORY) -> list[str]:
        status, verdict = self.verify(reference, *arguments, repo=repo)
        assert status == 1
        checks = verdict["checks"]
        assert isinstance(checks, list)
        assert verdict["level"] == "none"
        return [check["code"] for check in checks if check["status"] == "fail"]


@pytest.fixture
def world(docker_registry: Registry, tmp_path: Path) -> Iterator[World]:
    with Services(tmp_path / "state", registry=False) as services:
        yield World(services, docker_registry, tmp_path)


def test_published_then_judged(world: World) -> None:
    published = world.publish(world.build(), "1.0")
    status, verdict = world.verify(world.reference("1.0"))
    assert status == 0
    assert (verdict["level"], verdict["passed"]) == ("provenance", True)
    assert str(verdict["subject"]["digest"]) == published.partition("@")[2]  # type: ignore[index]
    assert verdict["trust"]["custom"] is True  # type: ignore[index]
    text = world.run(
        "verify", published, "--repo", REPOSITORY, "--trust-config", str(world.services.trust_config)
    ).stdout.splitlines()
    assert text[0].startswith("UNDER CUSTOM TRUST")
    assert "no running enclave was checked" in text[-1]
    assert "UNDER CUSTOM TRUST" in text[-1]


def test_the_tag_moves_last(world: World) -> None:
    world.publish(world.build(), "1.0")
    writes = [path for method, path, status in world.registry.requests() if method == "PUT" and status == 201]
    assert writes[-1].endswith("/manifests/1.0")
    assert sum(path.endswith("/manifests/1.0") for path in writes) == 1


def test_nothing_is_judged_without_a_repository(world: World) -> None:
    done = world.run("verify", world.reference("1.0"))
    assert done.returncode == 2
    assert "--repo" in done.stderr
    assert "--policy" in done.stderr
    assert world.registry.requests() == []


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"event_name": "pull_request"}, "identity.trigger.not-allowed"),
        ({"runner_environment": "self-hosted"}, "identity.runner.not-github-hosted"),
        ({"ref": "refs/heads/x"}, "identity.source-ref.not-allowed"),
        ({"repository_visibility": "private"}, "identity.visibility.not-public"),
        (
            {
                "job_workflow_ref": "other/tools/.github/workflows/build.yml@refs/heads/main",
            },
            "identity.signer-workflow.foreign",
        ),
    ],
)
def test_each_doubtful_run_is_refused_for_its_own_reason(
    world: World, claims: dict[str, str], code: str
) -> None:
    assert world.failures(world.publish(world.build(), "1.0", **claims)) == [code]


def test_another_repositorys_image_is_refused(world: World) -> None:
    published = world.publish(world.build(), "1.0")
    assert world.failures(published, repo="acme/evil") == ["identity.repository.mismatch"]
    assert world.verify(published, repo="ACME/Enclave")[0] == 0


def test_a_commit_can_be_demanded(world: World) -> None:
    published = world.publish(world.build(), "1.0")
    assert world.verify(published, "--source-digest", "a" * 40)[0] == 0
    assert world.failures(published, "--source-digest", "b" * 40) == ["identity.source-digest.mismatch"]


def test_a_tag_moved_to_an_unsigned_image_is_refused(world: World, oras: Path) -> None:
    first = world.publish(world.build(), "1.0")
    assert world.verify(world.reference("1.0"))[0] == 0
    evil = world.folder / "evil"
    evil.mkdir()
    manifest = json.loads(
        subprocess.run(
            [oras, "manifest", "fetch", "--plain-http", first],
            capture_output=True, check=True, env=os.environ | {"HOME": str(world.folder)},
        ).stdout
    )  # fmt: skip
    manifest["annotations"]["PCR0"] = "0" * 96
    edited = evil / "manifest.json"
    edited.write_text(json.dumps(manifest), encoding="ascii")
    subprocess.run(
        [oras, "manifest", "push", "--plain-http", world.reference("1.0"), edited],
        check=True, capture_output=True, env=os.environ | {"HOME": str(world.folder)},
    )  # fmt: skip
    assert world.failures(world.reference("1.0")) == ["signature.none"]
    assert world.verify(first)[0] == 0


def test_a_foreign_trust_root_does_not_pass(world: World, tmp_path: Path) -> None:
    published = world.publish(world.build(), "1.0")
    with Services(tmp_path / "other", registry=False) as other:
        done = world.run(
            "verify", published, "--repo", REPOSITORY, "--trust-config", str(other.trust_config), "--json"
        )
    assert done.returncode == 1
    failed = [check for check in json.loads(done.stdout)["checks"] if check["status"] == "fail"]
    assert failed[0]["step"] == "signature"


def measurements_of(image: Path) -> Measurements:
    pcrs = json.loads(image.with_suffix(".measurements.json").read_text(encoding="ascii"))["measured"]["pcrs"]
    return Measurements(**{name.lower(): bytes.fromhex(value) for name, value in pcrs.items()})


def test_a_document_raises_the_level_and_debug_does_not(world: World) -> None:
    image = world.build()
    published = world.publish(image, "1.0")
    at = datetime.now(UTC)
    root = make_root(at=at)
    (world.folder / "root.pem").write_bytes(root.pem)
    nonce = secrets.token_bytes(32)
    nsm = SoftwareNsm(root, at=at)
    pcrs = measurements_of(image).by_index()
    good, debug = world.folder / "good.bin", world.folder / "debug.bin"
    good.write_bytes(nsm.document(pcrs=pcrs, timestamp_ms=milliseconds(at), nonce=nonce))
    debug.write_bytes(nsm.document(pcrs={}, timestamp_ms=milliseconds(at), nonce=nonce))
    trusted = ("--attestation-root", str(world.folder / "root.pem"))
    live = ("--nonce", nonce.hex(), *trusted)
    status, verdict = world.verify(published, "--document", str(good), *live)
    assert (status, verdict["level"]) == (0, "live-unbound")
    status, verdict = world.verify(published, "--document", str(good), "--historical", *trusted)
    assert (status, verdict["level"]) == (0, "attested-at")
    assert world.failures(published, "--document", str(debug), "--historical", *trusted) == [
        "attestation.debug-mode"
    ]
    other = ("--nonce", "00" * 32, *trusted)
    assert world.failures(published, "--document", str(good), *other) == ["attestation.nonce.mismatch"]
    status, verdict = world.verify(published, "--document", str(good), *live, "--require", "live")
    assert (status, verdict["level"], verdict["passed"]) == (1, "live-unbound", False)


def test_a_page_is_written_for_either_outcome(world: World) -> None:
    published = world.publish(world.build(), "1.0")
    page = world.folder / "page.html"
    for repository, word in ((REPOSITORY, "no running enclave was checked"), ("acme/evil", "REFUSED")):
        world.verify(published, "--html", str(page), repo=repository)
        text = page.read_text(encoding="utf-8")
        assert word in text
        assert "UNDER CUSTOM TRUST" in text
        assert "<script" not in text


def test_the_page_cannot_take_the_place_of_a_saved_file(world: World) -> None:
    kept = world.folder / "kept"
    arguments = ("verify", world.reference("1.0"), "--repo", REPOSITORY, "--save", str(kept), "--html")
    for name in ("image.eif", "image.measurements.json", "../kept/image.eif"):
        done = world.run(*arguments, str(kept / name))
        assert done.returncode == 2, done.stderr
        assert "verify.page" in done.stderr
    assert not kept.exists()
    assert world.registry.requests() == []


def test_files_are_saved_only_after_a_positive_verdict(world: World) -> None:
    image = world.build()
    published = world.publish(image, "1.0")
    kept = world.folder / "kept"
    assert world.verify(published, "--save", str(kept), repo="acme/evil")[0] == 1
    assert not kept.exists()
    assert world.verify(published, "--save", str(kept))[0] == 0
    assert (kept / "image.eif").read_bytes() == image.read_bytes()
    assert sorted(os.listdir(kept)) == ["image.eif", "image.measurements.json"]


def test_oras_pulls_the_files_and_cosign_accepts_the_signature(
    world: World, oras: Path, cosign: Path, peer_environment: dict[str, str]
) -> None:
    image = world.build()
    published = world.publish(image, "1.0")
    pulled = world.folder / "pulled"
    pulled.mkdir()
    environment = peer_environment | world.services.environment()
    subprocess.run(
        [oras, "pull", "--plain-http", published],
        cwd=pulled,
        check=True,
        capture_output=True,
        env=environment,
    )
    assert (pulled / "app.eif").read_bytes() == image.read_bytes()
    command = [
        str(cosign),
        "verify",
        "--offline",
        "--allow-http-registry",
        "--certificate-identity-regexp",
        f"https://github.com/{REPOSITORY}/",
        "--certificate-oidc-issuer",
        "https://token.actions.githubusercontent.com",
    ]
    for reference in (published, world.reference("1.0")):
        done = subprocess.run([*command, reference], capture_output=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr.decode()
    wrong = [word.replace(REPOSITORY, "acme/evil") for word in command]
    assert subprocess.run([*wrong, published], capture_output=True, check=False, env=environment).returncode


def test_demands_can_stand_in_a_file(world: World) -> None:
    published = world.publish(world.build(), "1.0", ref="refs/heads/x")
    policy = world.folder / "policy.toml"
    arguments = ("verify", published, "--trust-config", str(world.services.trust_config))
    statuses = []
    for demands in ('source-refs = ["refs/heads/x"]', "", "soruce-refs = []"):
        policy.write_text(f'repository = "{REPOSITORY}"\n{demands}\n', encoding="ascii")
        statuses.append(world.run(*arguments, "--policy", str(policy)).returncode)
    assert statuses == [0, 1, 3]
    assert world.run(*arguments, "--policy", str(policy), "--repo", REPOSITORY).returncode == 2


@pytest.mark.parametrize("referrers_api", [True, False])
def test_the_sandboxs_registry_with_and_without_the_referrers_api(
    tmp_path: Path, referrers_api: bool
) -> None:
    with Services(tmp_path / "state", referrers_api=referrers_api) as services:
        world = World(services, Registry(services.registry, tmp_path / "no-log"), tmp_path)
        published = world.publish(world.build(), "1.0")
        assert world.verify(published)[0] == 0
        fallback = f"/manifests/{published.partition('@')[2].replace(':', '-')}"
        written = [path for method, path, _ in services.requests() if method == "PUT"]
    assert any(path.endswith(fallback) for path in written) is not referrers_api


@pytest.mark.acceptance
def test_cosign_3_accepts_the_bundle(world: World, cosign3: Path, peer_environment: dict[str, str]) -> None:
    published = world.publish(world.build(), "1.0")
    command = [
        str(cosign3),
        "verify",
        "--trusted-root",
        str(world.services.trusted_root),
        "--certificate-oidc-issuer",
        "https://token.actions.githubusercontent.com",
        "--certificate-identity-regexp",
    ]
    for repository, accepted in ((REPOSITORY, True), ("acme/evil", False)):
        done = subprocess.run(
            [*command, f"https://github.com/{repository}/", published],
            capture_output=True,
            check=False,
            env=peer_environment,
        )
        assert (done.returncode == 0) is accepted, done.stderr.decode()


def test_a_measurements_file_of_another_image_is_not_published(world: World) -> None:
    first, second = world.build("one"), world.build("two")
    shutil.copy(second.with_suffix(".measurements.json"), first.with_suffix(".measurements.json"))
    done = world.run(
        "publish", str(first), world.reference("1.0"), "--trust-config", str(world.services.trust_config)
    )
    assert done.returncode == 1
    assert "publish.measurements.mismatch" in done.stderr
    assert not [path for method, path, _ in world.registry.requests() if method == "PUT"]
