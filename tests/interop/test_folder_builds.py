"""`build FOLDER` with real builders: buildah, and a Docker engine of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.boot.enclave import busybox
from tests.interop.peers import peer

pytestmark = pytest.mark.interop

DOCKERFILE = """\
ARG GREETING=hello
FROM scratch AS tools
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "echo made > /made; /bin/busybox date > /dev/null"]

FROM scratch
ARG GREETING
COPY --from=tools /bin/busybox /bin/busybox
COPY --from=tools /made /made
COPY . /srv/
ENV GREETING=${GREETING} PATH=/bin
WORKDIR /srv
USER 1000:1000
CMD ["/bin/busybox", "httpd", "-f"]
"""
FAILING = DOCKERFILE + 'RUN ["/bin/busybox", "false"]\n'
SECRET = """\
FROM scratch
COPY busybox /bin/busybox
RUN --mount=type=secret,id=token ["/bin/busybox", "sh", "-c", "/bin/busybox cp /run/secrets/token /dev/null"]
CMD ["/bin/busybox"]
"""


@dataclass(frozen=True)
class Folder:
    """A folder to build from, and the environment to do it in."""

    path: Path
    environment: dict[str, str]

    def build(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "glassclave", "build", str(self.path), "-o", "app.eif", "--json"]
        return subprocess.run(
            [*command, *options],
            cwd=self.path.parent,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )

    def built(self, *options: str) -> dict[str, str]:
        """PCRs."""
        done = self.build(*options)
        assert done.returncode == 0, done.stderr
        pcrs: dict[str, str] = json.loads(done.stdout)["measurements"]
        return pcrs

    @property
    def claim(self) -> dict[str, Any]:
        """What the measurements file says of the container image."""
        said = json.loads((self.path.parent / "app.measurements.json").read_bytes())
        container: dict[str, Any] = said["claimed"]["container"]
        return container


@pytest.fixture
def folder(tmp_path: Path, peer_environment: dict[str, str], buildah: Path) -> Folder:
    """Where only buildah answers; what it keeps lies below the test's own home."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE, encoding="ascii")
    (context / "busybox").write_bytes(busybox())
    (context / "busybox").chmod(0o755)
    (context / "page.html").write_text("hello", encoding="ascii")
    (context / "private").write_text("never", encoding="ascii")
    (context / ".dockerignore").write_text(
        "private\nDockerfile\n.dockerignore\nbusybox\n!busybox\n", encoding="ascii"
    )
    home = Path(peer_environment["HOME"])
    containers = home / ".config" / "containers"
    containers.mkdir(parents=True)
    (containers / "policy.json").write_text(
        '{"default": [{"type": "insecureAcceptAnything"}]}', encoding="ascii"
    )
    storage = f'[storage]\ndriver = "vfs"\ngraphroot = "{home}/store"\nrunroot = "{home}/run"\n'
    (containers / "storage.conf").write_text(storage, encoding="ascii")
    environment = peer_environment | {
        "CONTAINERS_STORAGE_CONF": str(containers / "storage.conf"),
        "TMPDIR": str(tmp_path),
        "DOCKER_HOST": f"unix://{home}/nobody.sock",
    }
    return Folder(context, environment)


@pytest.fixture
def docker_engine(peer_environment: dict[str, str]) -> Iterator[str]:
    """A Docker engine that listens on a socket; ``DOCKER_HOST`` for it."""
    program = peer("dockerd")
    peer("docker")
    # A short path: a socket's has at most 107 bytes. Not below tmp_path for that reason.
    with tempfile.TemporaryDirectory(prefix="gc-") as name:
        place = Path(name)
        (place / "config.json").write_text("{}", encoding="ascii")
        command = [
            str(program), "--config-file", str(place / "config.json"), "--data-root", str(place / "data"),
            "--exec-root", str(place / "run"), "-H", f"unix://{place}/d.sock",
            "--pidfile", str(place / "pid"),
            "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false",
            "--userland-proxy=false", "--storage-driver=vfs",
        ]  # fmt: skip
        with (place / "log").open("wb") as log:
            engine = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=peer_environment
            )
        try:
            for _ in range(200):
                if (place / "d.sock").exists() or engine.poll() is not None:
                    break
                time.sleep(0.1)
            if not (place / "d.sock").exists():
                last = (place / "log").read_text(errors="replace").strip().splitlines()[-1:]
                pytest.skip(f"no Docker engine starts here: {' '.join(last)[:300]}")
            yield f"unix://{place}/d.sock"
        finally:
            engine.terminate()
            engine.wait(30)


def test_buildah(folder: Folder) -> None:
    first = folder.built()
    claim = folder.claim
    assert (claim["builder"]["name"], claim["dockerfile"]["path"], claim["bases"]) == (
        "buildah",
        "Dockerfile",
        [],
    )
    assert folder.built("--builder", "buildah") == first
    assert folder.built("--build-arg", "GREETING=moin") != first
    assert folder.claim["buildArgs"] == [{"name": "GREETING", "value": "moin"}]
    assert folder.built("--target", "tools", "--cmd", "/bin/busybox") != first
    left = [path.name for path in folder.path.parent.iterdir() if path.name.startswith("glassclave-")]
    assert left == []
    store = subprocess.run(
        [peer("buildah"), "images", "--json"],
        env=folder.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not any(image["names"] for image in json.loads(store.stdout or "null") or [])


def test_what_dockerignore_names_does_not_get_in(folder: Folder) -> None:
    first = folder.built()
    (folder.path / "private").write_text("changed", encoding="ascii")
    assert folder.built() == first
    (folder.path / "page.html").write_text("changed", encoding="ascii")
    assert folder.built() != first


def test_a_secret_is_used_and_not_kept(folder: Folder) -> None:
    (folder.path / "Dockerfile").write_text(SECRET, encoding="ascii")
    token = folder.path.parent / "token"
    token.write_text("s3cret-of-the-test", encoding="ascii")
    done = folder.build("--secret", f"id=token,src={token}")
    assert done.returncode == 0, done.stderr
    assert folder.claim["secrets"] == ["token"]
    for path in (folder.path.parent / "app.eif", folder.path.parent / "app.measurements.json"):
        assert b"s3cret-of-the-test" not in path.read_bytes()


def test_a_step_that_fails_leaves_nothing(folder: Folder) -> None:
    (folder.path / "Dockerfile").write_text(FAILING, encoding="ascii")
    done = folder.build()
    assert done.returncode == 3
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "builder.failed"
    assert "false" in error["hint"]
    assert sorted(os.listdir(folder.path.parent)) == ["context", "home"]


def test_a_docker_engine_gives_the_same_pcrs(folder: Folder, docker_engine: str) -> None:
    by_buildah = folder.built("--builder", "buildah")
    with_engine = Folder(folder.path, folder.environment | {"DOCKER_HOST": docker_engine})
    assert with_engine.built("--builder", "docker") == by_buildah
    assert folder.claim["builder"]["name"] == "docker"
    images = subprocess.run(
        [peer("docker"), "images", "--quiet", "--filter", "reference=glassclave-build-*"],
        env=with_engine.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert images.stdout == ""
