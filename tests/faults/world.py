"""A Sigstore, a registry that wants a login, a proxy before each, and command lines run against them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from glassclave_sandbox.services import Services
from tests.faults.proxy import Asked, Login, Plan, Proxy, nothing, proxying

ROOT = Path(__file__).resolve().parents[2]
CHILD = ROOT / "tests" / "faults" / "child.py"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LOGIN = Login("robot", "pa55word-of-the-registry", "b3arer-of-the-registry")
TAG = "1.0"
PATIENCE = 2.0
"""Seconds for which a child that was made impatient waits for a byte."""
BOUND = 900.0
"""Seconds that no run may take; the tables say less where less is promised."""
_NUMBERS = count(1)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Done:
    """What a command line answered."""

    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def code(self) -> str:
        """The error's code; empty for an answer that is none."""
        document = json.loads(self.stdout) if self.stdout.strip() else {}
        return str(document.get("error", {}).get("code", ""))

    @property
    def refusal(self) -> str:
        """The code of a verdict's first check that failed."""
        checks = json.loads(self.stdout).get("checks", []) if self.stdout[:1] == "{" else []
        return next((str(check["code"]) for check in checks if check["status"] == "fail"), "verdict")


Runner = Callable[[list[str], Mapping[str, str], Path, float], Done]


def run_child(arguments: list[str], environment: Mapping[str, str], folder: Path, patience: float) -> Done:
    """``python -m glassclave``, or the same with less patience."""
    program = [str(CHILD), str(patience), "--"] if patience else ["-m", "glassclave"]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, *program, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


class Forks:
    """A process that has imported everything and forks command lines, one at a time."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._start()

    def _start(self) -> None:
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, str(CHILD), str(self._patience)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def run(self, arguments: list[str], environment: Mapping[str, str], folder: Path, _: float) -> Done:
        """One command line."""
        number = next(_NUMBERS)
        out, err = folder / f"out-{number}", folder / f"err-{number}"
        job = {"arguments": arguments, "env": dict(environment), "out": str(out), "err": str(err)}
        started = time.monotonic()
        status = self._ask(json.dumps(job | {"seconds": BOUND}))
        done = Done(status, out.read_text(), err.read_text(), time.monotonic() - started)
        out.unlink()
        err.unlink()
        return done

    def _ask(self, job: str) -> int:
        """Exit status of one job. A process that ended is replaced, so that no other round fails by it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(job + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            why = self.close()
            self._start()
            raise RuntimeError(f"the harness: the process that forks ended, {why}") from error

    def close(self) -> str:
        """Nothing more is run. How the process ended, and what it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        status = self._process.wait(BOUND)
        self._process.stdout.close()
        self._said.seek(0)
        with self._said:
            return f"status {status}: {self._said.read()[-2000:]}"


@dataclass
class World:
    """Services that work, an image, and what is needed to run command lines against them."""

    folder: Path
    services: Services
    image: Path
    old: str = ""
    secrets: list[str] = field(default_factory=list)

    @contextmanager
    def round(
        self,
        registry: Plan = nothing,
        sigstore: Plan = nothing,
        upstream: Callable[[Asked], str] | None = None,
        seeded: bool = True,
        repository: str | None = None,
    ) -> Iterator[Round]:
        """Proxies with these plans before a repository: one of its own, ``seeded`` with an older manifest
        under its tag, or one that is there."""
        sigstore_address = urlsplit(self.services.url).netloc
        with ExitStack() as stack:
            thief = stack.enter_context(proxying(Proxy(lambda _: self.services.registry, login=LOGIN)))
            behind = Proxy(lambda _: self.services.registry, registry, LOGIN, thief.address)
            before = Proxy(upstream or (lambda _: sigstore_address), sigstore, elsewhere=thief.address)
            stack.enter_context(proxying(behind))
            stack.enter_context(proxying(before))
            number = next(_NUMBERS)
            folder = self.folder / f"round-{number}"
            one = Round(self, folder, repository or f"acme/r{number}", behind, before, thief)
            if seeded and repository is None:
                one.seed()
            one.configure()
            yield one


@dataclass
class Round:
    """One repository and its proxies: ``thief`` listens where redirects lead."""

    world: World
    folder: Path
    repository: str
    registry: Proxy
    sigstore: Proxy
    thief: Proxy

    @property
    def reference(self) -> str:
        return f"{self.registry.address}/{self.repository}:{TAG}"

    def configure(self) -> None:
        """The login, and a configuration that leads to the proxy."""
        self.folder.mkdir(exist_ok=True)
        login = {"auths": {self.registry.address: {"auth": LOGIN.basic}}}
        (self.folder / "config.json").write_text(json.dumps(login))
        genuine = json.loads(self.world.services.trust_config.read_text())
        signing = json.dumps(genuine["signingConfig"])
        genuine["signingConfig"] = json.loads(
            signing.replace(self.world.services.url, f"http://{self.sigstore.address}")
        )
        (self.folder / "trust.json").write_text(json.dumps(genuine))

    def environment(self, **more: str) -> dict[str, str]:
        """Of a GitHub job with a login at the registry."""
        variables = os.environ | self.world.services.environment()
        url = variables["ACTIONS_ID_TOKEN_REQUEST_URL"]
        return {
            **variables,
            "ACTIONS_ID_TOKEN_REQUEST_URL": url.replace(
                self.world.services.url, f"http://{self.sigstore.address}"
            ),
            "DOCKER_CONFIG": str(self.folder),
            "PYTHONUTF8": "1",
            **more,
        }

    def publish(self, runner: Runner = run_child, *more: str, patience: float = 0.0) -> Done:
        words = ["publish", str(self.world.image), self.reference, "--json", *more]
        if "--unsigned" not in more:
            words += ["--trust-config", str(self.folder / "trust.json")]
        return runner(words, self.environment(), self.folder, patience)

    def verify(
        self, *more: str, repo: str = "acme/enclave", runner: Runner = run_child, patience: float = 0.0
    ) -> Done:
        words = ["verify", self.reference, "--json", "--repo", repo]
        words += ["--trust-config", str(self.folder / "trust.json"), *more]
        return runner(words, self.environment(), self.folder, patience)

    def mend(self) -> None:
        """From here on everything works."""
        self.registry.plan = self.sigstore.plan = nothing

    def seed(self) -> None:
        """The tag names an older manifest."""
        data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
        status, _ = self._ask("PUT", f"manifests/{TAG}", data)
        assert status == 201
        self.world.old = self.tag() or ""

    def tag(self) -> str | None:
        """Digest that the tag names, asked of the registry itself."""
        return self._digest(TAG)

    def _digest(self, target: str) -> str | None:
        status, headers = self._ask("HEAD", f"manifests/{target}")
        return headers["docker-content-digest"] if status == 200 else None

    def is_signed(self, digest: str) -> bool:
        """Whether both bundles and the `.sig` signature are there."""
        return (
            len(self.referrers(digest)) >= 2 and self._digest(f"{digest.replace(':', '-')}.sig") is not None
        )

    def referrers(self, digest: str) -> list[dict[str, Any]]:
        """What the registry itself lists."""
        connection = HTTPConnection(self.world.services.registry, timeout=30)
        connection.request("GET", f"/v2/{self.repository}/referrers/{digest}")
        found = json.loads(connection.getresponse().read())["manifests"]
        connection.close()
        return list(found)

    def remove(self, digest: str) -> None:
        """A manifest is no more."""
        status, _ = self._ask("DELETE", f"manifests/{digest}")
        assert status == 202

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, str]]:
        connection = HTTPConnection(self.world.services.registry, timeout=30)
        try:
            connection.request(
                method, f"/v2/{self.repository}/{path}", body=body, headers={"Content-Type": INDEX}
            )
            reply = connection.getresponse()
            reply.read()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}
        finally:
            connection.close()

    def secrets(self) -> list[str]:
        """What may stand in no output."""
        tokens = [
            str(json.loads(each).get("value", "")) for each in self.sigstore.answers if each[:1] == b"{"
        ]
        request_token = self.world.services.environment()["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
        known = [LOGIN.password, LOGIN.basic, LOGIN.bearer, request_token, *tokens]
        signatures = [token.rpartition(".")[2] for token in tokens]
        return [secret for secret in (*known, *signatures) if secret]


@contextmanager
def living_world(folder: Path, *, clock: Callable[[], datetime] = _now) -> Iterator[World]:
    """Services that go by ``clock``, and a small image."""
    with Services(folder / "state", clock=clock) as services:
        root = folder / "root"
        root.mkdir()
        (root / "program").write_text("x")
        image = folder / "app.eif"
        done = run_child(
            ["build", f"dir:{root}", "-o", str(image), "--cmd", "/program"], os.environ, folder, 0.0
        )
        assert done.status == 0, done.stderr
        yield World(folder, services, image)
