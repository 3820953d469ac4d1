"""Stand-ins for the actions of GitHub's that workflows here use: what they do to files, and nothing else.

Inputs and outputs are those of the pinned versions; an input that one does not know is an error.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.pipeline.runner import Job, StandIn, StepFailedError

Tamper = Callable[[dict[str, bytes]], dict[str, bytes]]


def _known(action: str, given: Mapping[str, str], *names: str) -> None:
    if unknown := set(given) - set(names):
        raise ValueError(f"{action}: unknown inputs {sorted(unknown)}")


@dataclass
class Store:
    """Where a run's artifacts lie. ``tamper``: what somebody does to one between two jobs, digest and all."""

    tamper: Tamper | None = None
    artifacts: dict[str, tuple[str, bytes, str]] = field(default_factory=dict)
    """id → name, archive, the digest that the store says it has."""

    def add(self, name: str, files: Mapping[str, bytes]) -> str:
        if any(name == other for other, _, _ in self.artifacts.values()):
            raise StepFailedError(f"##[error]an artifact with this name already exists: {name}")
        number = str(4000 + len(self.artifacts))
        kept = dict(files) if self.tamper is None else self.tamper(dict(files))
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path, content in kept.items():
                archive.writestr(path, content)
        self.artifacts[number] = (name, data.getvalue(), hashlib.sha256(data.getvalue()).hexdigest())
        return number


@dataclass(frozen=True)
class Actions:
    """The stand-ins of one run. ``repositories``: OWNER/NAME to a git repository on this machine."""

    repositories: Mapping[str, Path]
    store: Store
    published: dict[str, str] = field(default_factory=dict)
    """What reached the package index: a file's name to its SHA-256."""

    def all(self) -> dict[str, StandIn]:
        return {
            "pypa/gh-action-pypi-publish": self.publish,
            "actions/checkout": self.checkout,
            "actions/upload-artifact": self.upload,
            "actions/download-artifact": self.download,
        }

    def checkout(self, job: Job, given: Mapping[str, str]) -> dict[str, str]:
        """One commit, as files. The token is left in the configuration of git unless that is refused."""
        _known("checkout", given, "repository", "ref", "path", "persist-credentials", "fetch-depth")
        repository = given.get("repository") or job.github["repository"]
        own = repository == job.github["repository"]
        if own and job.permissions.get("contents", "none") == "none":
            raise StepFailedError("##[error]Not found: the token may not read this repository (contents)")
        wanted = given.get("ref") or (job.github["sha"] if own else "HEAD")
        source = self.repositories[repository]
        place = (job.workspace / given.get("path", ".")).resolve()
        if not place.is_relative_to(job.workspace.resolve()):
            raise StepFailedError(f"##[error]{place} is outside of the workspace")
        place.mkdir(parents=True, exist_ok=True)
        git = ["git", "-C", str(place), "-c", "advice.detachedHead=false", "-c", "safe.directory=*"]
        place_of = f"file://{source.resolve()}"
        fetch = ["--no-tags", "--depth=1", place_of, wanted]
        if given.get("fetch-depth") == "0":  # everything, the tags too; the first of them is FETCH_HEAD
            fetch = [place_of, wanted, "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
        steps: tuple[list[str], ...] = (
            ["init", "--quiet"],
            ["fetch", "--quiet", *fetch],
            ["checkout", "--quiet", "--force", "FETCH_HEAD"],
        )
        for step in steps:
            done = subprocess.run([*git, *step], capture_output=True, text=True, check=False)
            if done.returncode:
                raise StepFailedError(f"##[error]{repository} has no {wanted}: {done.stderr}")
        if given.get("persist-credentials", "true") != "false":
            subprocess.run([*git, "config", "http.extraheader", job.github["token"]], check=True)
        found = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        return {"commit": found.stdout.strip(), "ref": wanted}

    def upload(self, job: Job, given: Mapping[str, str]) -> dict[str, str]:
        """The files below one folder, without hidden ones."""
        _known(
            "upload-artifact",
            given,
            "name",
            "path",
            "if-no-files-found",
            "retention-days",
            "compression-level",
        )
        name = given.get("name", "artifact")
        if not name or any(character in name for character in '":<>|*?\r\n\\/'):
            raise StepFailedError(f"##[error]the artifact's name is not valid: {name}")
        root = job.workspace / given["path"]
        if not root.is_dir():
            raise ValueError(f"upload-artifact: only one folder is known here, not {given['path']}")
        files = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
        }
        if not files and given.get("if-no-files-found") == "error":
            raise StepFailedError("##[error]no files were found")
        number = self.store.add(name, files)
        return {"artifact-id": number, "artifact-digest": self.store.artifacts[number][2]}

    def download(self, job: Job, given: Mapping[str, str]) -> dict[str, str]:
        """One artifact, by its id or its name, into a folder."""
        _known("download-artifact", given, "artifact-ids", "name", "path", "digest-mismatch")
        wanted = given.get("artifact-ids", "")
        found = [
            kept
            for number, kept in self.store.artifacts.items()
            if (number == wanted if wanted else kept[0] == given.get("name"))
        ]
        if len(found) != 1:
            raise StepFailedError(f"##[error]no artifact {wanted or given.get('name')!r} in this run")
        _, data, digest = found[0]
        mismatch = given.get("digest-mismatch", "error")
        if mismatch == "error" and hashlib.sha256(data).hexdigest() != digest:
            raise StepFailedError("##[error]the artifact's digest is not the expected one")
        place = job.workspace / given.get("path", ".")
        place.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.extractall(place)
        return {"download-path": str(place)}

    def publish(self, job: Job, given: Mapping[str, str]) -> dict[str, str]:
        """Trusted publishing: only wheels, and only where the job has an identity and an environment."""
        _known("gh-action-pypi-publish", given, "packages-dir", "attestations", "print-hash", "verbose")
        if job.permissions.get("id-token") != "write" or not job.deployment:
            raise StepFailedError(
                "##[error]Trusted publishing exchange failure: no identity, or no environment"
            )
        for path in sorted((job.workspace / given.get("packages-dir", "dist")).iterdir()):
            if path.suffix != ".whl":
                raise StepFailedError(f"##[error]InvalidDistribution: {path.name}")
            self.published[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return {}


def flip_a_byte(name: str) -> Tamper:
    """The first byte of the named file becomes another one."""
    return lambda files: files | {name: bytes([files[name][0] ^ 1]) + files[name][1:]}


def add_a_file(name: str) -> Tamper:
    """One file more."""
    return lambda files: files | {name: b"more"}


def take_away(name: str) -> Tamper:
    """One file less."""
    return lambda files: {path: data for path, data in files.items() if path != name}


TAMPERS: dict[str, Callable[[str], Tamper]] = {"flip": flip_a_byte, "add": add_a_file, "remove": take_away}
