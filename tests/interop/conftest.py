"""Real programs as fixtures: found in .peers/ or on PATH, or else their tests are skipped with the reason."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.peers import PEERS, Registry, peer, serve_registry
from tests.pipeline.caller import ROOT, Github, fetch_wheels, install, lay_out, own_machine


@pytest.fixture(scope="session")
def cosign() -> Path:
    """cosign 2.5 of Debian: reads and writes the `.sig` layout."""
    return peer("cosign")


@pytest.fixture(scope="session")
def cosign3() -> Path:
    """cosign 3: reads bundles in referrers first."""
    return peer("cosign-3", brought_by="make peers")


@pytest.fixture(scope="session")
def actionlint() -> Path:
    """actionlint: knows what a workflow may say."""
    return peer("actionlint", brought_by="make peers")


@pytest.fixture(scope="session")
def oras() -> Path:
    """oras 1.2 of Debian."""
    return peer("oras")


@pytest.fixture(scope="session")
def crane() -> Path:
    """crane: copies tag by tag."""
    return peer("crane", brought_by="make peers")


@pytest.fixture(scope="session")
def umoci() -> Path:
    """umoci: makes and unpacks OCI layouts."""
    return peer("umoci")


@pytest.fixture(scope="session")
def skopeo() -> Path:
    """skopeo: copies images between layouts, archives and registries."""
    return peer("skopeo")


@pytest.fixture(scope="session")
def buildah() -> Path:
    """buildah, without user namespaces or overlay mounts."""
    return peer("buildah")


@pytest.fixture(scope="session")
def eif_build() -> Path:
    """AWS's EIF writer."""
    return peer("eif_build", brought_by="make peers")


@pytest.fixture(scope="session")
def nitro_cli() -> Path:
    """AWS's nitro-cli."""
    return peer("nitro-cli", brought_by="make peers")


@pytest.fixture
def peer_environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which a peer keeps its state to itself and can reach nothing but loopback.

    What is not on loopback goes to a proxy where nobody listens, so a forgotten offline flag fails at once.
    """
    home = tmp_path / "home"
    home.mkdir()
    nobody = "http://127.0.0.1:9"
    return {
        "PATH": f"{PEERS / 'bin'}:{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "TUF_ROOT": str(home / "tuf"),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HTTP_PROXY": nobody,
        "HTTPS_PROXY": nobody,
        "NO_PROXY": "127.0.0.1,localhost",
    }


@pytest.fixture
def docker_registry(tmp_path: Path, peer_environment: dict[str, str]) -> Iterator[Registry]:
    """Debian's docker-registry, empty, without the referrers API, for one test."""
    with serve_registry("docker-registry", tmp_path / "docker-registry", peer_environment) as registry:
        yield registry


@pytest.fixture
def referrers_registry(tmp_path: Path, peer_environment: dict[str, str]) -> Iterator[Registry]:
    """go-containerregistry's registry with the referrers API, empty, for one test; it logs to `log` only."""
    with serve_registry("refregistry", tmp_path / "refregistry", peer_environment) as registry:
        yield registry


@pytest.fixture(scope="session")
def wheels() -> Path:
    """The files that requirements/action.txt names, fetched once: a pipeline's runs have no network."""
    folder = PEERS / "wheels"
    fetch_wheels(ROOT / "requirements" / "action.txt", folder)
    return folder


@pytest.fixture(scope="session")
def installed(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first step of a job installs, installed once."""
    return install(wheels, ROOT / "requirements" / "action.txt", tmp_path_factory.mktemp("runner") / "venv")


@pytest.fixture
def github(tmp_path: Path, wheels: Path, installed: Path, buildah: Path, cosign: Path, oras: Path) -> Github:
    """A repository to push to (`Github.push`), on a machine without GitHub."""
    if not own_machine():
        pytest.skip("a network and mounts of its own are needed (root, unshare)")
    return lay_out(tmp_path, wheels, installed)
