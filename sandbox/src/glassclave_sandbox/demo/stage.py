"""What the scenes of the demo share: a folder, the services, and real commands run in it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from glassclave.errors import RefusedError
from glassclave_sandbox.services import Services

REPOSITORY = "acme/enclave"
"""Whose enclave it is: the repository on GitHub, and its name in the registry."""
SERVICES = "sandbox"
"""Folder of the services and of the test root of attestation, inside the demo's."""
TRUST = f"--trust-config {SERVICES}/sandbox.json"
_COMMIT = hashlib.sha1(b"glassclave demo", usedforsecurity=False).hexdigest()
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "PYTHONPATH", "SYSTEMROOT", "GLASSCLAVE_QEMU")
_SECONDS = 120


class DemoFailedError(RefusedError):
    """Something that the demo promises did not happen."""


class Show(Protocol):
    """Where the scenes say what happens. Lines are not escaped yet."""

    def title(self, number: int, text: str) -> None:
        """A scene begins."""
        ...

    def command(self, text: str) -> None:
        """A command that is run now, as one would type it in the demo's folder."""
        ...

    def output(self, text: str) -> None:
        """A line that a command printed."""
        ...

    def note(self, text: str) -> None:
        """A sentence about what happens."""
        ...

    def attack(self, title: str, refused_with: str, because: str) -> None:
        """An attack that was refused: what the attacker did, our reason code, our words."""
        ...

    def end(self, seconds: float) -> None:
        """The scene is over."""
        ...


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ended."""

    command: str
    status: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """What it printed, where it was asked for JSON."""
        value = json.loads(self.out)
        if not isinstance(value, dict):
            raise DemoFailedError("demo.output", "printed no JSON object", source=self.command)
        return value

    def expect(self, status: int) -> Ran:
        """Itself; `DemoFailedError` ``demo.status`` where it ended otherwise."""
        if self.status != status:
            said = (self.err.strip() or self.out.strip())[-1000:]
            raise DemoFailedError(
                "demo.status",
                f"ended with {self.status}, not {status}, and said: {said}",
                source=self.command,
            )
        return self


@dataclass(frozen=True, slots=True)
class Stage:
    """``folder``: where everything lies, and where the commands run; ``width``: of their lines."""

    folder: Path
    services: Services
    width: int

    @property
    def reference(self) -> str:
        """The tag that the consumer asks for."""
        return f"{self.services.registry}/{REPOSITORY}:1.0"

    def job(self, **claims: str) -> Mapping[str, str]:
        """The environment of a GitHub job, of `REPOSITORY` unless ``claims`` say otherwise."""
        return self.services.environment(**({"repository": REPOSITORY, "sha": _COMMIT} | claims))

    def run(
        self, words: Sequence[str], *, job: Mapping[str, str] | None = None, umask: int = -1, **settings: str
    ) -> Ran:
        """Run ``glassclave …`` or ``glassclave-sandbox …`` in the folder, in a bare environment."""
        module = words[0].replace("-", "_")
        inherited = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment = inherited | {"HOME": str(self.folder), "LANG": "C.UTF-8", "PYTHONUTF8": "1"}
        environment |= {"COLUMNS": str(self.width)} | dict(job or {}) | settings
        command = " ".join(words)
        try:
            done = subprocess.run(
                [sys.executable, "-m", module, *words[1:]],
                cwd=self.folder,
                env=environment,
                umask=umask,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise DemoFailedError(
                "demo.timeout", f"has not ended after {_SECONDS} s", source=command
            ) from error
        return Ran(command, done.returncode, done.stdout, done.stderr)
