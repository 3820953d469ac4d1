"""Images as they were made before ours: EIF and nitro-cli's text, pushed by oras, signed by cosign."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from glassclave_sandbox.services import Services
from tests.interop.peers import Registry
from tests.interop.test_publish_verify import REPOSITORY, World, measurements_of

pytestmark = pytest.mark.interop

ACCEPTED = "--accept-unstated"


@dataclass(frozen=True)
class Seed:
    """What somebody pushes; ``sign`` is how they sign it."""

    world: World
    oras: Path
    cosign: Path
    environment: dict[str, str]
    image: Path
    pcrs: dict[str, str] = field(default_factory=dict)

    def info(self, **changes: str) -> Path:
        """What nitro-cli says at the end of a build; its digest's name is that of its version 1.4."""
        path = self.world.folder / "enclave.info"
        measured = {"HashAlgorithm": "Sha384 { ... }", **self.pcrs, **changes}
        said = "Start building the Enclave Image...\nEnclave Image successfully created.\n"
        path.write_text(said + json.dumps({"Measurements": measured}, indent=2) + "\n", encoding="ascii")
        return path

    def push(self, files: Sequence[Path], **annotations: str) -> str:
        """Reference by digest."""
        hints = [word for name, value in annotations.items() for word in ("-a", f"{name}={value}")]
        tag, names = self.world.reference("seed"), [path.name for path in files]
        done = subprocess.run(
            [self.oras, "push", "--plain-http", "--format", "json", *hints, tag, *names],
            cwd=self.world.folder, env=self.environment, capture_output=True, check=True, timeout=120,
        )  # fmt: skip
        return str(json.loads(done.stdout)["reference"])

    def sign(self, reference: str, **claims: str) -> None:
        """With cosign 2.5, in its older layout."""
        services = self.world.services
        environment = self.environment | services.environment(**claims)
        done = subprocess.run(
            [self.cosign, "sign", "--yes", "--allow-http-registry", *services_of(services), reference],
            env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def services_of(services: Services) -> list[str]:
    config = json.loads(Path(services.trust_config).read_text(encoding="ascii"))["signingConfig"]
    return [
        *("--fulcio-url", config["caUrls"][0]["url"]),
        *("--rekor-url", config["rekorTlogUrls"][0]["url"]),
        *("--timestamp-server-url", config["tsaUrls"][0]["url"]),
    ]


@pytest.fixture
def world(docker_registry: Registry, tmp_path: Path) -> Iterator[World]:
    with Services(tmp_path / "state", registry=False) as services:
        yield World(services, docker_registry, tmp_path)


@pytest.fixture
def seed(world: World, oras: Path, cosign: Path, peer_environment: dict[str, str]) -> Seed:
    image = world.build()
    values = measurements_of(image).by_index()
    pcrs = {f"PCR{index}": value.hex() for index, value in values.items()}
    return Seed(world, oras, cosign, peer_environment, image, pcrs)


def test_the_seeds_way_is_judged_and_called_unstated(seed: Seed) -> None:
    world = seed.world
    pushed = seed.push([seed.image, seed.info()], **seed.pcrs)
    assert world.failures(pushed, ACCEPTED) == ["signature.none"]
    seed.sign(pushed)
    assert world.failures(pushed) == ["statement.none"]
    text = world.run(
        "verify", pushed, "--repo", REPOSITORY, "--trust-config", str(world.services.trust_config)
    )
    assert text.returncode == 1
    assert ACCEPTED in text.stdout
    kept = world.folder / "kept"
    status, verdict = world.verify(pushed, ACCEPTED, "--save", str(kept))
    assert (status, verdict["level"], verdict["required"]) == (0, "unstated", "unstated")
    assert verdict["subject"]["measurements"] == seed.pcrs  # type: ignore[index]
    said = {check["step"]: check["message"] for check in verdict["checks"]}  # type: ignore[attr-defined]
    assert "agrees with the manifest's PCR0, PCR1, PCR2 and 1 file beside it" in said["image"]
    assert os.listdir(kept) == ["image.eif"]
    assert (kept / "image.eif").read_bytes() == seed.image.read_bytes()
    status, verdict = world.verify(pushed, ACCEPTED, "--require", "provenance")
    assert (status, verdict["level"], verdict["passed"]) == (1, "unstated", False)
    assert world.failures(pushed, ACCEPTED, repo="acme/evil") == ["identity.repository.mismatch"]


def test_a_file_of_demands_accepts_it_too(seed: Seed) -> None:
    pushed = seed.push([seed.image])
    seed.sign(pushed)
    policy = seed.world.folder / "policy.toml"
    statuses = []
    for statement in ("optional", "required"):
        policy.write_text(f'repository = "{REPOSITORY}"\nstatement = "{statement}"\n', encoding="ascii")
        config = str(seed.world.services.trust_config)
        done = seed.world.run("verify", pushed, "--policy", str(policy), "--trust-config", config)
        statuses.append(done.returncode)
    assert statuses == [0, 1]


def test_what_is_pushed_wrong_is_refused_for_its_own_reason(seed: Seed) -> None:
    second, text = seed.world.folder / "second.eif", seed.world.folder / "notes.txt"
    second.write_bytes(seed.image.read_bytes())
    second.write_bytes(second.read_bytes()[:-1] + b"?")
    text.write_text("PCR0 is on our page", encoding="ascii")
    zeros = "0" * 96
    cases = [
        ([seed.image, seed.info(PCR0=zeros)], seed.pcrs, "image.describe.mismatch"),
        ([seed.image], {**seed.pcrs, "PCR2": zeros}, "image.annotation.mismatch"),
        ([seed.image, second], seed.pcrs, "artifact.eif.several"),
        ([text], seed.pcrs, "artifact.eif.none"),
        ([second], {}, "eif.crc"),
    ]
    found = []
    for files, hints, _ in cases:
        pushed = seed.push(files, **hints)
        seed.sign(pushed)
        found.append(seed.world.failures(pushed, ACCEPTED)[0])
    assert found == [code for *_, code in cases]
    pushed = seed.push([seed.image, text])
    seed.sign(pushed)
    status, verdict = seed.world.verify(pushed, ACCEPTED)
    assert status == 0
    assert "image.beside.unread" in {found["code"] for found in verdict["findings"]}  # type: ignore[attr-defined]


@pytest.mark.acceptance
def test_a_registry_with_the_referrers_api_and_one_in_the_sandbox(
    seed: Seed, referrers_registry: Registry, tmp_path: Path
) -> None:
    with Services(tmp_path / "other") as services:
        sandboxs = Registry(services.registry, tmp_path / "no-log")
        for registry in (referrers_registry, sandboxs):
            there = replace(seed, world=replace(seed.world, registry=registry))
            pushed = there.push([seed.image, seed.info()], **seed.pcrs)
            there.sign(pushed)
            assert there.world.failures(pushed) == ["statement.none"]
            assert there.world.verify(pushed, ACCEPTED)[1]["level"] == "unstated"
