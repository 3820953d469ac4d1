"""Publish and verify with the real Fulcio, Rekor, certificate log and time-stamp authority, on loopback."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from glassclave_sandbox.services.oidc import ISSUER
from tests.interop.network import own_network
from tests.interop.peers import Registry
from tests.interop.real_sigstore import LOOPBACK_ISSUER, RealSigstore, real_sigstore

pytestmark = [pytest.mark.interop, pytest.mark.acceptance]

REPOSITORY = "acme/enclave"
SECONDS = 120


@pytest.fixture(scope="module")
def sigstore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSigstore]:
    """One for all tests of this file, which are in its network while it runs."""
    with own_network(), real_sigstore(tmp_path_factory.mktemp("sigstore")) as running:
        yield running


@dataclass(frozen=True)
class World:
    sigstore: RealSigstore
    registry: Registry
    folder: Path
    peers: dict[str, str]

    def run(self, command: str, *arguments: str | Path, **claims: str) -> subprocess.CompletedProcess[str]:
        """One of our commands, as a step of a GitHub job whose token has these claims."""
        trusting: list[str | Path] = []
        if command != "build" and "--trust-config" not in arguments:
            trusting = ["--trust-config", self.sigstore.trust_config()]
        return subprocess.run(
            [sys.executable, "-m", "glassclave", command, *arguments, *trusting],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=os.environ | self.sigstore.environment(**claims) | {"PYTHONUTF8": "1"},
        )

    def build(self) -> Path:
        root, image = self.folder / "root", self.folder / "app.eif"
        root.mkdir(exist_ok=True)
        (root / "nonce").write_text(secrets.token_hex(16), encoding="ascii")
        done = self.run("build", f"dir:{root}", "-o", image, "--cmd", "/nonce")
        assert done.returncode == 0, done.stderr
        return image

    @property
    def tag(self) -> str:
        return f"{self.registry.address}/o/r:1.0"

    @property
    def trusting(self) -> str:
        return self.sigstore.trust_config().read_text(encoding="ascii")

    def publish(self, **claims: str) -> str:
        """Reference by digest of a new image."""
        done = self.run("publish", self.build(), self.tag, "--json", **claims)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(json.loads(done.stdout)["reference"])

    def verdict(self, reference: str, *demands: str | Path) -> dict[str, Any]:
        done = self.run("verify", reference, "--json", *demands)
        verdict: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if verdict["passed"] else 1)
        return verdict

    def failures(self, reference: str, *demands: str | Path) -> list[str]:
        verdict = self.verdict(reference, *(demands or ("--repo", REPOSITORY)))
        assert (verdict["level"], verdict["passed"]) == ("none", False)
        return [check["code"] for check in verdict["checks"] if check["status"] == "fail"]

    def cosign(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False, env=self.peers
        )


@pytest.fixture
def world(
    sigstore: RealSigstore, docker_registry: Registry, tmp_path: Path, peer_environment: dict[str, str]
) -> World:
    return World(sigstore, docker_registry, tmp_path, peer_environment | sigstore.environment())


def identity(repository: str) -> list[str]:
    regexp = f"^https://github.com/{repository}/.github/workflows/release.yml@refs/heads/main$"
    return ["--certificate-identity-regexp", regexp, "--certificate-oidc-issuer", ISSUER]


def sign_with_cosign_3(world: World, cosign3: Path, reference: str, rekor: int) -> None:
    where = ("--signing-config", world.sigstore.signing_config(rekor))
    root = ("--trusted-root", world.sigstore.trusted_root)
    done = world.cosign(cosign3, "sign", "--yes", *where, *root, "--allow-http-registry", reference)
    assert done.returncode == 0, done.stderr


def test_published_is_provenance_and_both_cosigns_accept_it(
    world: World, cosign: Path, cosign3: Path
) -> None:
    published = world.publish()
    for reference in (published, world.tag):
        verdict = world.verdict(reference, "--repo", REPOSITORY)
        assert (verdict["level"], verdict["passed"]) == ("provenance", True)
        assert verdict["subject"]["digest"] == published.partition("@")[2]
    root = ("--trusted-root", world.sigstore.trusted_root)
    old = ("--offline", "--use-signed-timestamps", "--allow-http-registry")
    for program, options in ((cosign, old), (cosign3, root)):
        done = world.cosign(program, "verify", *options, *identity(REPOSITORY), published)
        assert done.returncode == 0, done.stderr
        done = world.cosign(program, "verify", *options, *identity("acme/evil"), published)
        assert done.returncode != 0


def test_in_a_registry_with_the_referrers_api(
    world: World, referrers_registry: Registry, cosign3: Path
) -> None:
    world = replace(world, registry=referrers_registry)
    published = world.publish()
    assert world.verdict(published, "--repo", REPOSITORY)["level"] == "provenance"
    root = ("--trusted-root", world.sigstore.trusted_root)
    done = world.cosign(cosign3, "verify", *root, *identity(REPOSITORY), published)
    assert done.returncode == 0, done.stderr


def test_judging_asks_no_service(world: World) -> None:
    published = world.publish()
    nowhere = re.sub(r"http://(127\.0\.0\.1|localhost):\d+", "http://127.0.0.1:9", world.trusting)
    assert nowhere != world.trusting
    elsewhere = world.folder / "elsewhere.json"
    elsewhere.write_text(nowhere, encoding="ascii")
    demands = ("--repo", REPOSITORY, "--trust-config", elsewhere)
    assert world.verdict(published, *demands)["level"] == "provenance"


def test_another_repositorys_image_is_refused(world: World) -> None:
    published = world.publish(repository="acme/evil")
    assert world.failures(published) == ["identity.repository.mismatch"]
    assert world.verdict(published, "--repo", "acme/evil")["passed"]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"event_name": "pull_request"}, "identity.trigger.not-allowed"),
        ({"runner_environment": "self-hosted"}, "identity.runner.not-github-hosted"),
        ({"ref": "refs/heads/x"}, "identity.source-ref.not-allowed"),
        ({"repository_visibility": "private"}, "identity.visibility.not-public"),
        (
            {"job_workflow_ref": "other/tools/.github/workflows/build.yml@refs/heads/main"},
            "identity.signer-workflow.foreign",
        ),
    ],
)
def test_each_doubtful_run_is_refused_for_its_own_reason(
    world: World, claims: dict[str, str], code: str
) -> None:
    assert world.failures(world.publish(**claims)) == [code]


def test_a_deployment_environment_comes_through(world: World) -> None:
    """Claims 23 and 24, which newer versions of Fulcio write, are read and disturb nothing."""
    done = world.run("publish", world.build(), world.tag, "--json", environment="production")
    assert done.returncode == 0, done.stderr
    claims = json.loads(done.stdout)["claims"]
    assert "production" in claims.values()
    assert f"repo:{REPOSITORY}:environment:production" in claims.values()
    assert world.verdict(world.tag, "--repo", REPOSITORY)["passed"]


def test_another_issuer_passes_only_where_the_policy_names_it(world: World) -> None:
    published = world.publish(iss=LOOPBACK_ISSUER)
    assert world.failures(published) == ["identity.issuer.mismatch"]
    policy = world.folder / "policy.toml"
    policy.write_text(f'repository = "{REPOSITORY}"\nissuer = "{LOOPBACK_ISSUER}"\n', encoding="ascii")
    assert world.verdict(published, "--policy", policy)["level"] == "provenance"


def test_fulcio_refuses_a_forged_token_in_its_own_words(world: World) -> None:
    signed, _, signature = world.sigstore.issuers.tokens.token({}).rpartition(".")
    forged = base64.urlsafe_b64encode(bytes(len(signature) * 3 // 4)).decode().rstrip("=")
    token = world.folder / "token"
    token.write_text(f"{signed}.{forged}", encoding="ascii")
    done = world.run("publish", world.build(), world.tag, "--identity-token", token)
    assert done.returncode == 3
    assert "sign.certificate.failed" in done.stderr
    assert "error processing the identity token" in done.stderr
    assert [path for method, path, _ in world.registry.requests() if path.endswith("/1.0")] == []


def test_a_log_without_promises_ends_publishing_before_the_tag_moves(world: World) -> None:
    """Rekor 2: what it signs cannot be laid down for cosign 2."""
    published = world.publish()
    second = ("--trust-config", world.sigstore.trust_config(rekor=2))
    done = world.run("publish", world.build(), world.tag, *second)
    assert done.returncode == 3
    assert "sign.log.version" in done.stderr
    assert world.verdict(world.tag, "--repo", REPOSITORY)["subject"]["digest"] == published.partition("@")[2]


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("caUrls", "sign.certificate.failed"),
        ("rekorTlogUrls", "sign.signature.failed"),
        ("tsaUrls", "sign.timestamp.missing"),
    ],
)
def test_a_service_that_is_away_is_named_and_the_tag_does_not_move(
    world: World, service: str, code: str
) -> None:
    config = json.loads(world.trusting)
    config["signingConfig"][service][0]["url"] = "http://127.0.0.1:9"
    broken = world.folder / "broken.json"
    broken.write_text(json.dumps(config), encoding="ascii")
    done = world.run("publish", world.build(), world.tag, "--trust-config", broken)
    assert done.returncode == 3
    assert code in done.stderr
    assert not [path for method, path, _ in world.registry.requests() if path.endswith("/manifests/1.0")]


def test_a_signature_alone_says_nothing_about_measurements(world: World, oras: Path, cosign3: Path) -> None:
    """The image as published by us, elsewhere, signed by the right job with cosign: no statement of ours."""
    published = world.publish()
    # The first entry of a log has index 0, which cosign leaves out of its JSON and sigstore-python misses.
    sign_with_cosign_3(world, cosign3, published, rekor=2)
    for rekor in (1, 2):
        copied = f"{world.registry.address}/o/copy{rekor}:1.0"
        plain = ("--from-plain-http", "--to-plain-http")
        assert world.cosign(oras, "cp", *plain, published, copied).returncode == 0
        assert world.failures(copied) == ["signature.none"]
        sign_with_cosign_3(world, cosign3, copied, rekor)
        assert world.failures(copied) == ["statement.none"]


def test_a_signature_of_cosign_3_beside_ours_disturbs_nothing(world: World, cosign3: Path) -> None:
    published = world.publish()
    for rekor in (1, 2):
        sign_with_cosign_3(world, cosign3, published, rekor)
    assert world.verdict(published, "--repo", REPOSITORY)["level"] == "provenance"
