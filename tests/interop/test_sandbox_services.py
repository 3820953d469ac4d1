"""cosign 2.5, cosign 3 and oras, against the sandbox's services."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from glassclave_sandbox.services import Services
from tests.interop.peers import Registry

pytestmark = pytest.mark.interop

ISSUER = "https://token.actions.githubusercontent.com"
WORKFLOW = "https://github.com/acme/enclave/.github/workflows/release.yml@refs/heads/main"
NO_MATCH = 12


@dataclass(frozen=True)
class Bench:
    """Services, and an environment in which peers find them and nothing else."""

    services: Services
    environment: dict[str, str]
    folder: Path

    def run(self, *command: str | Path, status: int | None = 0) -> str:
        """What a command said on both streams, which must end with ``status`` (``None``: must fail)."""
        finished = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        said = finished.stdout + finished.stderr
        assert finished.returncode == status if status is not None else finished.returncode, said
        return said

    def push(self, oras: Path, registry: str) -> str:
        """An artifact in a registry; its reference by digest."""
        (self.folder / "app.eif").write_bytes(b"image" * 100_000)
        self.run(
            oras,
            "push",
            "--plain-http",
            "--artifact-type",
            "text/x-eif",
            f"{registry}/acme/app:v1",
            "app.eif",
        )
        described = self.run(
            oras, "manifest", "fetch", "--plain-http", "--descriptor", f"{registry}/acme/app:v1"
        )
        return f"{registry}/acme/app@{json.loads(described)['digest']}"

    def sign_with_cosign_2(self, cosign: Path, reference: str) -> None:
        """`cosign sign` with the job's ambient token."""
        url = self.services.url
        where = ["--fulcio-url", url, "--rekor-url", url, "--timestamp-server-url", f"{url}/api/v1/timestamp"]
        self.run(cosign, "sign", "--yes", *where, "--allow-http-registry", reference)


def identity(workflow: str = WORKFLOW) -> list[str]:
    return [
        *("--certificate-identity", workflow),
        *("--certificate-oidc-issuer", ISSUER),
        "--allow-http-registry",
    ]


MakeBench = Callable[[bool], Bench]


@pytest.fixture
def make_bench(tmp_path: Path, peer_environment: dict[str, str]) -> Iterator[MakeBench]:
    running: list[Services] = []

    def make(referrers_api: bool) -> Bench:
        services = Services(tmp_path / f"state{len(running)}", referrers_api=referrers_api)
        running.append(services.__enter__())
        return Bench(services, peer_environment | services.environment(), tmp_path)

    yield make
    for services in running:
        services.close()


@pytest.mark.parametrize("referrers_api", [True, False])
def test_cosign_2_signs_and_verifies(
    make_bench: MakeBench, cosign: Path, oras: Path, referrers_api: bool
) -> None:
    bench = make_bench(referrers_api)
    reference = bench.push(oras, bench.services.registry)
    bench.sign_with_cosign_2(cosign, reference)
    bench.run(cosign, "verify", "--offline", *identity(), reference)
    bench.run(cosign, "verify", "--offline", "--use-signed-timestamps", *identity(), reference)
    claims = ["--certificate-github-workflow-sha", "a" * 40, "--certificate-github-workflow-trigger", "push"]
    bench.run(cosign, "verify", "--offline", *claims, *identity(), reference)
    claims[1] = "b" * 40
    bench.run(cosign, "verify", "--offline", *claims, *identity(), reference, status=NO_MATCH)
    other = WORKFLOW.replace("acme", "evil")
    bench.run(cosign, "verify", "--offline", *identity(other), reference, status=NO_MATCH)


def test_cosign_2_verifies_in_a_registry_of_debian(
    make_bench: MakeBench, docker_registry: Registry, cosign: Path, oras: Path
) -> None:
    bench, stranger = make_bench(True), make_bench(True)
    reference = bench.push(oras, docker_registry.address)
    bench.sign_with_cosign_2(cosign, reference)
    bench.run(cosign, "verify", "--offline", *identity(), reference)
    said = stranger.run(cosign, "verify", "--offline", *identity(), reference, status=NO_MATCH)
    assert "no matching signatures" in said


@pytest.mark.parametrize("referrers_api", [True, False])
def test_cosign_3_signs_and_verifies(
    make_bench: MakeBench, cosign3: Path, oras: Path, referrers_api: bool
) -> None:
    bench = make_bench(referrers_api)
    services = bench.services
    reference = bench.push(oras, services.registry)
    trust: list[str | Path] = ["--trusted-root", services.trusted_root]
    where: list[str | Path] = ["--signing-config", services.signing_config, *trust, "--allow-http-registry"]
    bench.run(cosign3, "sign", "--yes", *where, reference)
    for name in [name for name in bench.environment if name.startswith("SIGSTORE_")]:
        del bench.environment[name]
    bench.run(cosign3, "verify", *trust, *identity(), reference)
    bench.run(cosign3, "verify", "--use-signed-timestamps", *trust, *identity(), reference)
    other = identity(WORKFLOW.replace("acme", "evil"))
    assert "expected SAN value" in bench.run(cosign3, "verify", *trust, *other, reference, status=None)
    stranger: list[str | Path] = ["--trusted-root", make_bench(True).services.trusted_root]
    bench.run(cosign3, "verify", *stranger, *identity(), reference, status=None)
    fallback = ("GET", f"/v2/acme/app/manifests/{reference.rpartition('@')[2].replace(':', '-')}", 200)
    assert (fallback in services.requests()) == (not referrers_api)


def test_cosign_2_attests(make_bench: MakeBench, cosign: Path, oras: Path) -> None:
    bench = make_bench(True)
    reference = bench.push(oras, bench.services.registry)
    url = bench.services.url
    (bench.folder / "predicate.json").write_text('{"a": 1}')
    kind = ["--type", "https://example.com/p"]
    where = ["--fulcio-url", url, "--rekor-url", url, "--allow-http-registry"]
    bench.run(cosign, "attest", "--yes", "--predicate", "predicate.json", *kind, *where, reference)
    bench.run(cosign, "verify-attestation", "--offline", *kind, *identity(), reference)


@pytest.mark.parametrize("referrers_api", [True, False])
def test_oras_pulls_what_it_pushed(make_bench: MakeBench, oras: Path, referrers_api: bool) -> None:
    bench = make_bench(referrers_api)
    reference = bench.push(oras, bench.services.registry)
    bench.run(oras, "pull", "--plain-http", "-o", "pulled", reference)
    assert (bench.folder / "pulled" / "app.eif").read_bytes() == b"image" * 100_000
    (bench.folder / "note.txt").write_text("attached")
    bench.run(oras, "attach", "--plain-http", "--artifact-type", "text/x-note", reference, "note.txt")
    assert "text/x-note" in bench.run(oras, "discover", "--plain-http", reference)
    assert ("PUT", "/v2/acme/app/manifests/v1", 201) in bench.services.requests()
