"""A published image with its log, copied by other people's tools: what arrives, and what is judged then.

The table of ``docs/spec/artifact.md``, "Copies", is read and done: nothing may come out better than it was.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from glassclave_sandbox.services import Services
from tests.interop.peers import Registry, peer, serve_registry
from tests.interop.test_build_logs import ENVIRONMENT, LOG, Kept, collect, publish_kept
from tests.interop.test_publish_verify import World

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = ("oras", "skopeo", "cosign")
"""Programs that `make test` brings; the other ones are for the acceptance tests."""
PROGRAMS = {
    "oras": ("oras", "oras-1.3"),
    "skopeo": ("skopeo",),
    "cosign": ("cosign", "cosign-3"),
    "crane": ("crane",),
}
API, NO_API = "refregistry", "docker-registry"


@dataclass(frozen=True)
class Row:
    """Commands, and the level or the reason of a refusal by whether the source has the referrers API."""

    commands: tuple[str, ...]
    outcome: dict[str, str]


def rows() -> list[Row]:
    text = (ROOT / "docs" / "spec" / "artifact.md").read_text(encoding="utf-8")
    section = text.partition("\n## Copies\n")[2].partition("\n## ")[0]
    found = []
    for line in re.findall(r"^\| (`.*) \|$", section, re.MULTILINE):
        first, _, without, with_api = line.split(" | ")
        outcome = {NO_API: without.strip("`"), API: with_api.strip("`")}
        found.append(Row(tuple(re.findall(r"`([^`]+)`", first)), outcome))
    return found


def words(command: str, source: str, target: str) -> list[str]:
    """What to type for a command of the table; ``source`` and ``target`` with a tag."""
    verb = command.split()[1:]
    there, here = source.rpartition(":")[0], target.rpartition(":")[0]
    if command.startswith("oras"):
        return [*verb, "--from-plain-http", "--to-plain-http", source, target]
    if command == "crane copy -a":
        return [*verb, there, here]
    if command.startswith("cosign"):
        return [*verb, "--allow-http-registry", source, target]
    plain = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    if command.startswith("skopeo sync"):  # it appends the name of the source's repository
        return [*verb, *plain, "--src", "docker", "--dest", "docker", there, here.rpartition("/")[0]]
    if command.startswith("skopeo"):
        return [*verb, *plain, f"docker://{source}", f"docker://{target}"]
    return [*verb, source, target]


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with Services(tmp_path / "state", registry=False) as running:
        yield running


def published_in(registry: Registry, services: Services, folder: Path) -> Kept:
    world = World(services, registry, folder)
    assert collect(world.folder, LOG).returncode == 0
    kept = publish_kept(world)
    assert kept.verify() == (0, {"log": "pass"})
    return kept


def judged(kept: Kept, reference: str, *options: str) -> str:
    """The level, or the reason of the refusal. Whatever was copied, it is the same artifact."""
    status, verdict = kept.world.verify(reference, *options)
    assert verdict["subject"]["digest"] == kept.reference.partition("@")[2]  # type: ignore[index]
    checks = verdict["checks"]
    assert isinstance(checks, list)
    failed = [check["code"] for check in checks if check["status"] == "fail"]
    assert (status != 0) is bool(failed), failed
    log = [check["status"] for check in checks if check["step"] == "log"]
    assert (log == ["pass"]) is (verdict["level"] == "provenance")
    return str(failed[0] if failed else verdict["level"])


def copy_all(
    kept: Kept, target: Registry, kind: str, environment: dict[str, str], programs: frozenset[str]
) -> list[str]:
    """Every row's commands, each into a place of its own; what did not come out as the table says."""
    wrong = []
    places = [(row, command) for row in rows() for command in row.commands]
    runs = [(row, c, p) for row, c in places for p in PROGRAMS[c.split()[0]] if p in programs]
    for number, (row, command, program) in enumerate(runs):
        reference = f"{target.address}/copy{number}/r:1"
        typed: list[str | Path] = [peer(program), *words(command, kept.world.reference("1"), reference)]
        done = subprocess.run(
            typed, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        outcome = judged(kept, reference)
        accepted = judged(kept, reference, "--accept-unstated")
        wanted = row.outcome[kind]
        if (outcome, accepted) != (wanted, "unstated" if wanted == "statement.none" else wanted):
            wrong.append(f"{program}: {command}: {outcome}, {accepted} and not {wanted}")
    return wrong


def test_copies_by_debians_tools(
    docker_registry: Registry, services: Services, tmp_path: Path, peer_environment: dict[str, str]
) -> None:
    kept = published_in(docker_registry, services, tmp_path)
    with serve_registry("docker-registry", tmp_path / "other", peer_environment) as target:
        assert copy_all(kept, target, NO_API, peer_environment, frozenset(DEBIAN)) == []


@pytest.mark.acceptance
@pytest.mark.timeout(600)
@pytest.mark.parametrize("source", [NO_API, API])
@pytest.mark.parametrize("target", [NO_API, API])
def test_copies_by_all_tools_between_all_registries(
    source: str, target: str, services: Services, tmp_path: Path, peer_environment: dict[str, str]
) -> None:
    every = frozenset(program for programs in PROGRAMS.values() for program in programs)
    with (
        serve_registry(source, tmp_path / "from", peer_environment) as here,
        serve_registry(target, tmp_path / "to", peer_environment) as there,
    ):
        kept = published_in(here, services, tmp_path)
        assert copy_all(kept, there, source, peer_environment, every) == []


def test_there_and_back_through_a_folder(
    docker_registry: Registry,
    oras: Path,
    services: Services,
    tmp_path: Path,
    peer_environment: dict[str, str],
) -> None:
    """Onto a disk and off it again: nothing is lost but cosign's older layout."""
    kept = published_in(docker_registry, services, tmp_path)
    back = f"{docker_registry.address}/back/r:1"
    folder = f"{tmp_path / 'layout'}:1"
    out = ["cp", "-r", "--from-plain-http", "--to-oci-layout", kept.world.reference("1"), folder]
    home = ["cp", "-r", "--from-oci-layout", "--to-plain-http", folder, back]
    for arguments in (out, home):
        subprocess.run([oras, *arguments], env=peer_environment, capture_output=True, check=True, timeout=120)
    assert judged(kept, back) == "provenance"
    returned = replace(kept, reference=back)
    assert returned.log("verify").returncode == 0
    assert "FROM scratch" in returned.log("show").stdout
