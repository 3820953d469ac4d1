"""Who takes what for a signature: cosign 3, cosign 2 and `glassclave verify`, on a Sigstore of real servers.

An image pushed by oras that nobody states anything of, so that the signature alone decides. The table that
comes out is in ``docs/evidence/2026-11-25-peers.md``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from glassclave_sandbox.services import Services
from glassclave_sandbox.services.oidc import ISSUER
from tests.interop.network import HOST, own_network
from tests.interop.peers import Registry, peer, serve_registry
from tests.interop.real_sigstore import FULCIO, REKOR, STAMPS, RealSigstore, real_sigstore
from tests.interop.test_publish_verify import REPOSITORY, measurements_of

pytestmark = [pytest.mark.interop, pytest.mark.acceptance, pytest.mark.timeout(600)]

SECONDS = 120
OTHER_TYPE = "https://example.com/scan/v1"
IDENTITY = f"^https://github.com/{REPOSITORY}/.github/workflows/release.yml@refs/heads/main$"
ACCEPTED = "--accept-unstated"


@pytest.fixture(scope="module")
def sigstore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSigstore]:
    """One for all tests of this file, which are in its network while it runs."""
    with own_network(), real_sigstore(tmp_path_factory.mktemp("sigstore")) as running:
        yield running


@dataclass
class Bench:
    """``reference``: the image of this turn, by digest."""

    sigstore: RealSigstore
    foreign: Services
    folder: Path
    environment: dict[str, str]
    registry: Registry
    image: Path
    reference: str = ""
    turn: int = 0

    def run(self, *command: str | Path, status: int | None = 0, more: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment | (more or {}), capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert status in (None, done.returncode), f"{command}: {done.returncode} {done.stderr}"
        return done.stdout if status == 0 else str(done.returncode)

    def push(self) -> None:
        """The same image in a repository of its own: nothing is signed there yet."""
        self.turn += 1
        pcrs = measurements_of(self.image).by_index()
        hints = [word for index, value in pcrs.items() for word in ("-a", f"PCR{index}={value.hex()}")]
        name = f"{self.registry.address}/seed/r{self.turn}:1"
        command = ["push", "--plain-http", "--format", "json", *hints, name, self.image.name]
        self.reference = json.loads(self.run(peer("oras"), *command))["reference"]

    # --- those who sign

    def cosign_2(self) -> None:
        url = ("--fulcio-url", f"http://{HOST}:{FULCIO}", "--rekor-url", f"http://{HOST}:{REKOR}")
        stamps = ("--timestamp-server-url", STAMPS)
        self.run(peer("cosign"), "sign", "--yes", "--allow-http-registry", *url, *stamps, self.reference)

    def cosign_3_legacy(self) -> None:
        """What it writes has an empty text for the chain of certificates."""
        old = ("--new-bundle-format=false", "--use-signing-config=false")
        url = ("--fulcio-url", f"http://{HOST}:{FULCIO}", "--rekor-url", f"http://{HOST}:{REKOR}")
        stamps = ("--timestamp-server-url", STAMPS)
        self.run(peer("cosign-3"), "sign", "--yes", *old, *url, *stamps, self.reference)

    def cosign_3(self, rekor: int) -> None:
        where = ("--signing-config", self.sigstore.signing_config(rekor))
        root = ("--trusted-root", self.sigstore.trusted_root)
        self.run(peer("cosign-3"), "sign", "--yes", *where, *root, self.reference)

    def attest(self) -> None:
        """By the right job, of a type that is no signature."""
        (self.folder / "predicate.json").write_text('{"found": 0}', encoding="ascii")
        where = ("--signing-config", self.sigstore.signing_config(1))
        root = ("--trusted-root", self.sigstore.trusted_root)
        what = ("--predicate", "predicate.json", "--type", OTHER_TYPE)
        self.run(peer("cosign-3"), "attest", "--yes", *where, *root, *what, self.reference)

    def stranger(self) -> None:
        """The same job, as another Sigstore certifies it."""
        where = ("--signing-config", self.foreign.signing_config)
        root = ("--trusted-root", self.foreign.trusted_root)
        theirs = self.foreign.environment()
        self.run(peer("cosign-3"), "sign", "--yes", *where, *root, self.reference, more=theirs)

    # --- those who judge

    def by_cosign(self, program: str) -> int:
        old = ("--offline", "--use-signed-timestamps", "--allow-http-registry")
        options = old if program == "cosign" else ("--trusted-root", self.sigstore.trusted_root)
        who = ("--certificate-identity-regexp", IDENTITY, "--certificate-oidc-issuer", ISSUER)
        answer = self.run(peer(program), "verify", *options, *who, self.reference, status=None)
        return int(answer)

    def verdict(self, *options: str) -> dict[str, Any]:
        demands = ("--repo", REPOSITORY, "--trust-config", str(self.sigstore.trust_config()), "--json")
        command = (sys.executable, "-m", "glassclave", "verify", self.reference, *demands, *options)
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        verdict: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if verdict["passed"] else 1)
        return verdict

    def by_us(self) -> tuple[str, str]:
        """With the lack of a statement accepted, and without: level or reason."""
        return outcome_of(self.verdict(ACCEPTED)), outcome_of(self.verdict())


def outcome_of(verdict: dict[str, Any]) -> str:
    failed = [check["code"] for check in verdict["checks"] if check["status"] == "fail"]
    return str(failed[0] if failed else verdict["level"])


@pytest.fixture(params=["docker-registry", "refregistry"])
def bench(
    request: pytest.FixtureRequest,
    sigstore: RealSigstore,
    tmp_path: Path,
    peer_environment: dict[str, str],
) -> Iterator[Bench]:
    environment = os.environ | peer_environment | sigstore.environment() | {"PYTHONUTF8": "1"}
    (tmp_path / "root").mkdir()
    image = tmp_path / "enclave.eif"
    build = [sys.executable, "-m", "glassclave", "build", "dir:root", "-o", image.name, "--cmd", "/x"]
    subprocess.run(build, cwd=tmp_path, env=environment, capture_output=True, check=True)
    with (
        Services(tmp_path / "foreign", registry=False) as foreign,
        serve_registry(request.param, tmp_path / "registry", peer_environment) as registry,
    ):
        yield Bench(sigstore, foreign, tmp_path, environment, registry, image)


Step = Callable[[Bench], None]
V1: Step = lambda bench: bench.cosign_3(1)  # noqa: E731
V2: Step = lambda bench: bench.cosign_3(2)  # noqa: E731
OLD, OLD_3, SCAN, STRANGER = Bench.cosign_2, Bench.cosign_3_legacy, Bench.attest, Bench.stranger
HELD = ("unstated", "statement.none")
UNSIGNED = ("signature.none", "signature.none")
FOREIGN = ("signature.trust-root", "signature.trust-root")
TABLE: list[tuple[str, list[Step], int, int, tuple[str, str]]] = [
    ("nothing", [], 10, 10, UNSIGNED),
    ("a bundle, Rekor 1", [V1], 0, 10, HELD),
    ("a bundle, Rekor 2", [V2], 0, 10, HELD),
    ("`.sig` by cosign 2.5", [OLD], 0, 0, HELD),
    ("`.sig` by cosign 3 (empty chain)", [OLD_3], 0, 0, HELD),
    ("both, cosign 2.5 first", [OLD, V1], 0, 0, HELD),
    ("both, cosign 3 first", [V1, OLD], 0, 0, HELD),
    ("an attestation of another type", [SCAN], 0, 10, UNSIGNED),
    ("`.sig` and such an attestation", [OLD, SCAN], 0, 0, HELD),
    ("a bundle of a foreign Sigstore", [STRANGER], 1, 10, FOREIGN),
    ("`.sig` and a foreign bundle", [OLD, STRANGER], 1, 0, HELD),
    ("the same and a good bundle", [OLD, STRANGER, V1], 0, 0, HELD),
]


def test_who_takes_what_for_a_signature(bench: Bench) -> None:
    # The first entry of a log has index 0, which cosign leaves out of its JSON and sigstore-python misses.
    bench.push()
    bench.cosign_3(1)
    bench.cosign_3(2)
    seen = []
    for what, steps, *_ in TABLE:
        bench.push()
        for step in steps:
            step(bench)
        seen.append((what, bench.by_cosign("cosign-3"), bench.by_cosign("cosign"), bench.by_us()))
    assert seen == [(what, three, two, ours) for what, _, three, two, ours in TABLE]
    codes = {finding["code"] for finding in bench.verdict(ACCEPTED)["findings"]}
    assert "signature.other-attestation" not in codes


def test_an_attestation_of_another_type_is_named_and_not_used(bench: Bench) -> None:
    bench.push()
    bench.attest()
    findings = bench.verdict(ACCEPTED)["findings"]
    assert [OTHER_TYPE in finding["message"] for finding in findings].count(True) == 1
    assert outcome_of(bench.verdict(ACCEPTED)) == "signature.none"


def test_foreign_statements_neither_help_nor_hide_ours(bench: Bench) -> None:
    """The same image, published by us under both Sigstores: each sees its own evidence alone."""
    name = f"{bench.registry.address}/ours/r:1"
    publish = (sys.executable, "-m", "glassclave", "publish", bench.image, name, "--json")
    theirs = ("--trust-config", str(bench.foreign.trust_config))
    done = bench.run(*publish, *theirs, more=bench.foreign.environment())
    bench.reference = json.loads(done)["reference"]
    assert bench.by_us() == FOREIGN
    bench.run(*publish, "--trust-config", bench.sigstore.trust_config())
    assert bench.by_us() == ("provenance", "provenance")
    bench.run(*publish, *theirs, more=bench.foreign.environment())
    assert bench.by_us() == ("provenance", "provenance")
    assert [bench.by_cosign(one) for one in ("cosign-3", "cosign")] == [0, 0]
