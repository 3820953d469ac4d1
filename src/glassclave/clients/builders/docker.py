"""A Docker engine: its own builder, or buildx with BuildKit's deterministic options."""

from __future__ import annotations

import json
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from glassclave.clients.builders.options import CONSTANT_TIME, common_options, diff_ids
from glassclave.clients.builders.run import Runner
from glassclave.errors import UnavailableError
from glassclave.image.container import BuilderIdentity, ContainerBuild, OnLine
from glassclave.image.dockerfile import BaseImage

_REPO_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})\Z")
_BUILDX = re.compile(r"\S+ (v?[0-9]\S*)")


def _options(request: ContainerBuild) -> list[str]:
    return ["--no-cache", *common_options(request), "--file", str(request.file)]


def _repository_digest(program: str, run: Runner, base: BaseImage) -> str | None:
    """The digest under which the registry has it; an image that was only loaded has none."""
    command = [program, "image", "inspect", "--format", "{{json .RepoDigests}}", base.name]
    try:
        digests = json.loads(run(command))
    except (UnavailableError, ValueError):
        return None
    found = [match[1] for item in digests or () if (match := _REPO_DIGEST.search(str(item)))]
    return found[0] if found else None


def _layers(program: str, run: Runner, base: BaseImage) -> tuple[str, ...] | None:
    command = [program, "image", "inspect", "--format", "{{json .RootFS.Layers}}", base.name]
    try:
        return diff_ids(json.loads(run(command)))
    except (UnavailableError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Docker:
    """``docker build``, then ``docker save``. See `ContainerBuilder`."""

    program: str
    identity: BuilderIdentity
    run: Runner

    @classmethod
    def find(cls, program: str, run: Runner) -> Docker | None:
        """The builder, if an engine answers: the program alone is only a client."""
        try:
            version = run([program, "version", "--format", "{{.Server.Version}}"]).strip()
        except UnavailableError:
            return None
        return cls(program, BuilderIdentity(name="docker", version=version), run) if version else None

    def build(self, request: ContainerBuild, folder: Path, on_line: OnLine) -> str:
        """See `ContainerBuilder`. The engine sets times of its own: `build` makes them constant."""
        image = f"glassclave-build-{secrets.token_hex(8)}:build"
        archive = folder / "image.tar"
        self.run([self.program, "build", *_options(request), "--tag", image, str(request.context)], on_line)
        try:
            self.run([self.program, "save", "--output", str(archive), image], on_line)
        finally:
            with suppress(UnavailableError):
                self.run([self.program, "image", "rm", image])
        return f"docker-archive:{archive}"

    def digest_of(self, base: BaseImage) -> str | None:
        """See `ContainerBuilder`."""
        return _repository_digest(self.program, self.run, base)

    def layers_of(self, base: BaseImage) -> tuple[str, ...] | None:
        """See `ContainerBuilder`."""
        return _layers(self.program, self.run, base)


@dataclass(frozen=True, slots=True)
class Buildx:
    """``docker buildx build`` to an OCI archive. See `ContainerBuilder`."""

    program: str
    identity: BuilderIdentity
    run: Runner

    @classmethod
    def find(cls, program: str, run: Runner) -> Buildx | None:
        """The builder, if the plug-in is there."""
        try:
            found = _BUILDX.match(run([program, "buildx", "version"]))
        except UnavailableError:
            return None
        return None if found is None else cls(program, BuilderIdentity(name="buildx", version=found[1]), run)

    def build(self, request: ContainerBuild, folder: Path, on_line: OnLine) -> str:
        """See `ContainerBuilder`."""
        archive = folder / "image.tar"
        self.run(self.build_command(request, archive), on_line)
        return f"oci-archive:{archive}"

    def build_command(self, request: ContainerBuild, archive: Path) -> list[str]:
        """Times clamped; no attestations, which would make an index of it (BuildKit, "build-repro")."""
        return [
            self.program, "buildx", "build", "--provenance=false", "--sbom=false",
            "--build-arg", f"SOURCE_DATE_EPOCH={CONSTANT_TIME}",
            "--output", f"type=oci,dest={archive},rewrite-timestamp=true",
            *_options(request), str(request.context),
        ]  # fmt: skip

    def digest_of(self, base: BaseImage) -> str | None:
        """What the engine knows; BuildKit keeps the images that it fetched to itself."""
        return _repository_digest(self.program, self.run, base)

    def layers_of(self, base: BaseImage) -> tuple[str, ...] | None:
        """As `digest_of`."""
        return _layers(self.program, self.run, base)
