"""A repository that has an image built: its folder, and the machine that runs its workflow."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.boot.enclave import busybox
from tests.interop.peers import PEERS

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = 'FROM scratch\nCOPY busybox page.html /\nCMD ["/busybox", "httpd", "-f"]\n'
ANY_IMAGE = '{"default": [{"type": "insecureAcceptAnything"}]}'
OWN_MACHINE = ["unshare", "--net", "--mount"]
INSTALLED = "GLASSCLAVE_TEST_INSTALLED"
"""An environment that each runner has a copy of: pip then finds all that it was to install."""


@dataclass(frozen=True)
class Github:
    """A folder with a repository in it, and the machine that runs its workflow."""

    folder: Path
    environment: Mapping[str, str]

    def with_new_runners(self) -> Github:
        """On machines where nothing is installed yet."""
        kept = {name: value for name, value in self.environment.items() if name != INSTALLED}
        return Github(self.folder, kept)

    @property
    def repository(self) -> Path:
        return self.folder / "workspace"

    def write_workflow(self, text: str, name: str = "build.yml") -> str:
        """A workflow of the repository; its path there."""
        path = f".github/workflows/{name}"
        file = self.repository / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return path

    def push(self, **scenario: Any) -> dict[str, Any]:
        """Run the workflow; what the run, its summary and the consumer say (`inside.Scenario`)."""
        (self.folder / "scenario.json").write_text(json.dumps(scenario), encoding="utf-8")
        done = subprocess.run(
            [*OWN_MACHINE, sys.executable, "-m", "tests.pipeline.inside", self.folder],
            cwd=ROOT, env=dict(self.environment), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        assert "crashed" not in said, said["crashed"]
        assert not said["leaked"], "a job's token stands in a log"
        print("stand-ins:", *(f"{name}: {what}" for name, what in said["stand_ins"].items()), sep="\n  ")
        print("jobs left out:", *said["left_out"], sep="\n  ")
        return said


def own_machine() -> bool:
    """Whether a run can have a network and mounts of its own here."""
    return os.geteuid() == 0 and not subprocess.run([*OWN_MACHINE, "true"], check=False).returncode


def fetch_wheels(requirements: Path, folder: Path) -> None:
    """The files that hashed requirements name; not asked for again where they came before."""
    stamp = folder / f".{requirements.name}.{hashlib.sha256(requirements.read_bytes()).hexdigest()}"
    if stamp.exists():
        return
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--require-hashes", "--only-binary", ":all:", "-r", str(requirements), "-d", str(folder),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    stamp.touch()


def install(wheels: Path, requirements: Path, place: Path) -> Path:
    """An environment as ``action/install.sh`` makes it, of files that are here."""
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    hashed = ["--no-deps", "--require-hashes", "--no-index", "--find-links", str(wheels)]
    subprocess.run([*pip, *hashed, "-r", str(requirements)], check=True)
    return place


def lay_out(folder: Path, wheels: Path, installed: Path | None = None) -> Github:
    """A repository with a Dockerfile in ``app`` and no workflow yet. ``installed``: what runners have."""
    app = folder / "workspace" / "app"
    app.mkdir(parents=True)
    (app / "Dockerfile").write_text(DOCKERFILE, encoding="ascii")
    (app / "busybox").write_bytes(busybox())
    (app / "busybox").chmod(0o755)
    (app / "page.html").write_text("hello", encoding="ascii")
    containers = folder / "home" / ".config" / "containers"
    containers.mkdir(parents=True)
    (containers / "policy.json").write_text(ANY_IMAGE, encoding="ascii")
    (folder / "wheels").symlink_to(wheels)
    environment = {"PATH": f"{PEERS / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    ready = {} if installed is None else {INSTALLED: str(installed)}
    return Github(folder, environment | {"LANG": "C.UTF-8"} | ready)
