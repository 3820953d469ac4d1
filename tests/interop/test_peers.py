"""The fixtures themselves: the real programs run, on loopback, and say what the other tests rely on."""

import subprocess
from pathlib import Path

import pytest

from tests.interop.peers import Registry

pytestmark = pytest.mark.interop


def run(environment: dict[str, str], folder: Path, *command: str | Path) -> str:
    """The output of one command that must succeed."""
    finished = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_docker_registry_takes_an_artifact_and_has_no_referrers_api(
    docker_registry: Registry, oras: Path, peer_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "image.eif").write_bytes(b"not an enclave image")
    reference = f"{docker_registry.address}/acme/hello:1"
    run(
        peer_environment,
        tmp_path,
        oras,
        "push",
        "--plain-http",
        reference,
        "image.eif:application/octet-stream",
    )
    requests = docker_registry.requests()
    assert ("PUT", "/v2/acme/hello/manifests/1", 201) in requests
    assert requests[-1][0] in {"PUT", "HEAD", "GET"}
    run(peer_environment, tmp_path, oras, "discover", "--plain-http", reference)
    referrers = [status for method, path, status in docker_registry.requests() if "/referrers/" in path]
    assert referrers and set(referrers) == {404}


def test_skopeo_and_umoci_agree_on_a_layout(
    skopeo: Path, umoci: Path, peer_environment: dict[str, str], tmp_path: Path
) -> None:
    run(peer_environment, tmp_path, umoci, "init", "--layout", "layout")
    run(peer_environment, tmp_path, umoci, "new", "--image", "layout:t")
    run(peer_environment, tmp_path, skopeo, "copy", "oci:layout:t", "docker-archive:image.tar:t:latest")
    assert (tmp_path / "image.tar").stat().st_size > 0


def test_cosign_cannot_leave_loopback(
    docker_registry: Registry, cosign: Path, peer_environment: dict[str, str], tmp_path: Path
) -> None:
    command: list[str | Path] = [cosign, "verify", "--certificate-identity=x", "--certificate-oidc-issuer=y"]
    reference = f"{docker_registry.address}/o/r:t"
    finished = subprocess.run(
        [*command, reference], env=peer_environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode != 0
    assert "127.0.0.1:9" in finished.stderr
