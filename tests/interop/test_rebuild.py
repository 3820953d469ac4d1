"""`rebuild`, end to end: git, buildah, a registry, a Sigstore on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from glassclave_sandbox.services import Services
from tests.boot.enclave import busybox
from tests.interop.test_folder_builds import docker_engine

__all__ = ["docker_engine"]

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

SPEC = Path(__file__).resolve().parents[2] / "docs" / "spec"
REPOSITORY = "acme/enclave"
DOCKERFILE = """\
ARG GREETING=hello
FROM scratch AS enclave
ARG GREETING
COPY busybox /bin/busybox
COPY page.html /srv/
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox echo $GREETING > /greeting"]
CMD ["/bin/busybox", "httpd", "-f"]
"""
STAMP = 'RUN ["/bin/busybox", "sh", "-c", "/bin/busybox date +%s%N > /stamp"]\n'


def rebuild_validator() -> Draft202012Validator:
    """With the schema of the verdict in it."""
    schemas = [
        json.loads((SPEC / f"{name}.schema.json").read_text(encoding="utf-8"))
        for name in ("rebuild", "verdict")
    ]
    registry = Registry().with_resources([(one["$id"], Resource.from_contents(one)) for one in schemas])
    return Draft202012Validator(schemas[0], registry=registry)


@dataclass(frozen=True)
class World:
    """A repository with one enclave's source in it, and everything that it takes to publish it."""

    folder: Path
    services: Services
    environment: dict[str, str]

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def image(self) -> str:
        return f"{self.services.registry}/{REPOSITORY}:1.0"

    def git(self, *words: str, where: Path | None = None) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        done = subprocess.run(
            ["git", *who, *words], cwd=where or self.repository, env=self.environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            (self.repository / "app" / name).write_text(text, encoding="ascii")
        self.git("add", ".")
        self.git("commit", "-q", "-m", "a")
        return self.git("rev-parse", "HEAD")

    def base(self, text: str) -> str:
        """A base image that holds ``text``, always pushed under the same tag; its digest."""
        place = self.folder / "base"
        place.mkdir(exist_ok=True)
        (place / "Dockerfile").write_text("FROM scratch\nCOPY version /version\n", encoding="ascii")
        (place / "version").write_text(text, encoding="ascii")
        name = f"{self.services.registry}/acme/base:1"
        for words in (
            ["bud", "--timestamp", "1", "-t", name, str(place)],
            ["push", "--digestfile", "base.digest", name],
            ["rmi", name],
        ):
            done = subprocess.run(
                ["buildah", *words], cwd=self.folder, env=self.environment,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        return (self.folder / "base.digest").read_text(encoding="ascii").strip()

    def run(self, *words: str, **claims: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "glassclave", *words],
            cwd=self.folder, env=self.environment | self.services.environment(**claims),
            capture_output=True, text=True, timeout=250, check=False,
        )  # fmt: skip

    def publish(self, commit: str, *options: str) -> str:
        """Build the folder and publish it as a job of this commit; the reference by digest."""
        done = self.run("build", str(self.repository / "app"), "-o", "app.eif", *options)
        assert done.returncode == 0, done.stderr
        trust = ("--trust-config", str(self.services.trust_config))
        done = self.run("publish", "app.eif", self.image, *trust, "--json", sha=commit)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(json.loads(done.stdout)["reference"])

    def clone(self) -> Path:
        place = self.folder / "a clone"
        if not place.exists():
            self.git("clone", "-q", str(self.repository), str(place), where=self.folder)
        return place

    def rebuild(self, *options: str, repo: str = REPOSITORY, **claims: str) -> tuple[int, dict[str, Any]]:
        """Of the published image, from a clone."""
        who = ("--repo", repo, "--trust-config", str(self.services.trust_config))
        done = self.run("rebuild", self.image, *who, "--json", *options, **claims)
        said: dict[str, Any] = json.loads(done.stdout)
        if "error" not in said:
            assert [one.message for one in rebuild_validator().iter_errors(said)] == []
        return done.returncode, said

    def verify(self) -> dict[str, Any]:
        done = self.run(
            "verify", self.image, "--repo", REPOSITORY, "--trust-config",
            str(self.services.trust_config), "--json",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        verdict: dict[str, Any] = json.loads(done.stdout)
        return verdict


@pytest.fixture
def world(tmp_path: Path, peer_environment: dict[str, str], buildah: Path) -> Iterator[World]:
    home = Path(peer_environment["HOME"])
    containers = home / ".config" / "containers"
    containers.mkdir(parents=True)
    policy = '{"default": [{"type": "insecureAcceptAnything"}]}'
    (containers / "policy.json").write_text(policy, encoding="ascii")
    storage = f'[storage]\ndriver = "vfs"\ngraphroot = "{home}/store"\nrunroot = "{home}/run"\n'
    (containers / "storage.conf").write_text(storage, encoding="ascii")
    environment = peer_environment | {
        "CONTAINERS_STORAGE_CONF": str(containers / "storage.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(containers / "registries.conf"),
        "TMPDIR": str(tmp_path),
        "DOCKER_HOST": f"unix://{home}/nobody.sock",
    }
    app = tmp_path / "repository" / "app"
    app.mkdir(parents=True)
    (app / "Dockerfile").write_text(DOCKERFILE, encoding="ascii")
    (app / "busybox").write_bytes(busybox())
    (app / "busybox").chmod(0o755)
    (app / "page.html").write_text("hello", encoding="ascii")
    with Services(tmp_path / "state") as services:
        found = World(tmp_path, services, environment)
        found.git("init", "-q", "-b", "main")
        (containers / "registries.conf").write_text(
            f'[[registry]]\nlocation = "{services.registry}"\ninsecure = true\n', encoding="ascii"
        )
        yield found


def test_the_same_commit_gives_the_same_and_everybody_can_read_who_says_so(world: World) -> None:
    commit = world.commit()
    world.publish(commit, "--build-arg", "GREETING=moin", "--target", "enclave", "--mtime", "1")
    claimed = json.loads((world.folder / "app.measurements.json").read_bytes())["claimed"]
    assert claimed["container"]["context"] == "app"
    # What is not in the commit is not built: neither a later commit nor what git ignores.
    clone = world.clone()
    (clone / ".git" / "info" / "exclude").write_text("ignored\n", encoding="ascii")
    (clone / "app" / "ignored").write_text("x", encoding="ascii")
    report = world.folder / "report.md"
    status, said = world.rebuild("--source", str(clone), "--sign", "--report", str(report))
    assert (status, said["result"]) == (0, "equal"), said
    assert said["rebuilt"]["measurements"]["published"] == said["rebuilt"]["measurements"]["rebuilt"]
    assert said["rebuilt"]["surroundings"] == []
    assert said["rebuilt"]["commit"] == commit
    assert "equal" in report.read_text(encoding="utf-8")
    verdict = world.verify()
    assert (verdict["level"], verdict["passed"]) == ("provenance", True)
    (finding,) = [one for one in verdict["findings"] if one["code"].startswith("rebuild.")]
    assert finding["code"] == "rebuild.own"
    assert "rebuilt to the same PCRs by acme/enclave/.github/workflows/" in finding["message"]


def test_a_base_image_that_moved_is_named_with_the_files_that_changed(world: World) -> None:
    before = world.base("one")
    name = f"{world.services.registry}/acme/base:1"
    world.publish(world.commit(Dockerfile=DOCKERFILE.replace("FROM scratch", f"FROM {name}")))
    source = ("--source", str(world.clone()))
    assert world.rebuild(*source)[0] == 0
    after = world.base("two")
    report = world.folder / "report.md"
    status, said = world.rebuild(*source, "--sign", "--report", str(report))
    assert (status, said["result"], said["signed"]) == (1, "different", None)
    assert said["rebuilt"]["files"] == [{"path": "/version", "what": "content"}]
    (moved,) = said["rebuilt"]["surroundings"]
    assert moved == {"what": f"base {name}", "stated": before, "found": after}
    measured = said["rebuilt"]["measurements"]
    assert measured["published"]["PCR1"] == measured["rebuilt"]["PCR1"]
    assert measured["published"]["PCR2"] != measured["rebuilt"]["PCR2"]
    text = report.read_text(encoding="utf-8")
    assert "- `/version`: content" in text
    assert after in text
    assert [one for one in world.verify()["findings"] if one["code"].startswith("rebuild.")] == []


def test_a_build_that_depends_on_the_hour_is_found_out(world: World) -> None:
    world.publish(world.commit(Dockerfile=DOCKERFILE + STAMP))
    done = world.run(
        "rebuild", world.image, "--repo", REPOSITORY, "--trust-config", str(world.services.trust_config),
        "--source", str(world.clone()),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "  /stamp  content" in done.stdout
    assert "rebuild.pcr2.mismatch" in done.stdout
    last = done.stdout.rstrip().splitlines()[-1]
    assert last.startswith("DIFFERENT: ")
    assert "1 file differs" in last
    assert "UNDER CUSTOM TRUST" in last


def test_only_the_released_commit_is_built(world: World) -> None:
    released = world.commit()
    world.publish(released)
    clone = world.clone()
    (clone / "app" / "page.html").write_text("changed", encoding="ascii")
    source = ("--source", str(clone))
    status, said = world.rebuild(*source)
    assert (status, said["error"]["code"]) == (2, "git.dirty")
    world.git("commit", "-qam", "b", where=clone)
    status, said = world.rebuild(*source)
    assert (status, said["error"]["code"]) == (2, "git.head")
    world.git("checkout", "-q", "--detach", released, where=clone)
    (clone / "app" / "more").write_text("untracked", encoding="ascii")
    assert world.rebuild(*source)[1]["error"]["code"] == "git.dirty"
    (clone / "app" / "more").unlink()
    # A folder of the repository, but not the one that was built: its Dockerfile is missed.
    assert world.rebuild(*source, "--folder", ".")[1]["error"]["code"] == "rebuild.dockerfile"
    assert world.rebuild(*source, "--folder", "../x")[1]["error"]["code"] == "rebuild.folder"
    status, said = world.rebuild(*source, "--folder", "app")
    assert (status, said["result"]) == (0, "equal")


def test_what_does_not_verify_is_not_built(world: World) -> None:
    world.publish(world.commit())
    done = world.run(
        "rebuild", world.image, "--repo", "acme/evil", "--trust-config", str(world.services.trust_config),
        "--source", str(world.folder / "nowhere"), "--report", "report.md",
    )  # fmt: skip
    assert done.returncode == 1
    assert "identity.repository.mismatch" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith("NOT REBUILT: ")
    assert "identity.repository.mismatch" in (world.folder / "report.md").read_text(encoding="utf-8")
    status, said = world.rebuild(repo="acme/evil")
    assert (status, said["result"], said["rebuilt"]) == (1, "refused", None)


def test_others_rebuild_it_too_and_are_called_others(world: World) -> None:
    world.publish(world.commit())
    source = ("--source", str(world.clone()), "--sign")
    # Whoever rebuilds needs no identity of the repository, only one of their own.
    status, said = world.rebuild(*source, repository="else/where")
    assert (status, said["result"]) == (0, "equal"), said
    assert isinstance(said["signed"]["logIndex"], int)
    for _ in range(2):
        assert world.rebuild(*source, event_name="schedule")[0] == 0
    verdict = world.verify()
    assert verdict["level"] == "provenance"
    own, foreign = (one for one in verdict["findings"] if one["code"].startswith("rebuild."))
    assert (own["code"], foreign["code"]) == ("rebuild.own", "rebuild.foreign")
    assert "the last of 2" in own["message"]
    assert "FOREIGN, a run of else/where" in foreign["message"]
    text = world.run(
        "verify", world.image, "--repo", REPOSITORY, "--trust-config", str(world.services.trust_config)
    ).stdout
    assert "note      rebuilt to the same PCRs by acme/enclave/.github/workflows/" in text
    assert text.rstrip().splitlines()[-1].startswith("PROVENANCE: ")


def test_a_secret_must_be_given_again(world: World) -> None:
    token = world.folder / "token"
    token.write_text("s3cret", encoding="ascii")
    secret = ("--secret", f"id=token,src={token}")
    mounted = 'RUN --mount=type=secret,id=token ["/bin/busybox", "test", "-s", "/run/secrets/token"]\n'
    world.publish(world.commit(Dockerfile=DOCKERFILE + mounted), *secret)
    source = ("--source", str(world.clone()))
    status, said = world.rebuild(*source)
    assert (status, said["error"]["code"]) == (2, "rebuild.secrets")
    assert "token" in said["error"]["message"]
    assert world.rebuild(*source, *secret)[0] == 0


@pytest.mark.acceptance
def test_another_builder_gives_the_same_and_is_named(world: World, docker_engine: str) -> None:
    # Without a RUN step in the last stage: buildah leaves the places of its mounts (/proc, /etc/hosts) there.
    lines = [line for line in DOCKERFILE.splitlines() if not line.startswith("RUN")]
    world.publish(world.commit(Dockerfile="\n".join(lines)))
    world.environment["DOCKER_HOST"] = docker_engine
    status, said = world.rebuild("--source", str(world.clone()), "--builder", "docker", "--sign")
    assert (status, said["result"]) == (0, "equal"), said
    (builder,) = said["rebuilt"]["surroundings"]
    assert builder["what"] == "builder"
    assert builder["stated"].startswith("buildah ")
    assert builder["found"].startswith("docker ")
    (finding,) = [one for one in world.verify()["findings"] if one["code"].startswith("rebuild.")]
    assert finding["message"].endswith("; not as in the first build: builder")
