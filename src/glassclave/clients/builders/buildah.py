"""buildah: no daemon, no privilege where user namespaces are allowed."""

from __future__ import annotations

import json
import re
import resource
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glassclave.clients.builders.options import CONSTANT_TIME, common_options, diff_ids
from glassclave.clients.builders.run import Runner
from glassclave.errors import UnavailableError
from glassclave.image.container import BuilderIdentity, ContainerBuild, OnLine
from glassclave.image.dockerfile import BaseImage

_VERSION = re.compile(r"buildah version (\S+)")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
TAG = "build"
_OPEN_FILES = 65536


def open_files() -> int:
    """How many files a step of a build may have open: 65,536, or as many as this process may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)


@dataclass(frozen=True, slots=True)
class Buildah:
    """See `ContainerBuilder`."""

    program: str
    identity: BuilderIdentity
    run: Runner

    @classmethod
    def find(cls, program: str, run: Runner) -> Buildah | None:
        """The builder, if the program answers."""
        try:
            found = _VERSION.match(run([program, "--version"]))
        except UnavailableError:
            return None
        return None if found is None else cls(program, BuilderIdentity(name="buildah", version=found[1]), run)

    def build(self, request: ContainerBuild, folder: Path, on_line: OnLine) -> str:
        """See `ContainerBuilder`."""
        image = f"localhost/glassclave-build-{secrets.token_hex(8)}"
        self.run(self.build_command(request, image), on_line)
        try:
            layout = folder / "layout"
            self.run([self.program, "push", image, f"oci:{layout}:{TAG}"], on_line)
        finally:
            with suppress(UnavailableError):
                self.run([self.program, "rmi", image])
        return f"oci:{layout}:{TAG}"

    def build_command(self, request: ContainerBuild, image: str) -> list[str]:
        """Times of layers and image constant, nothing taken from a cache of earlier builds."""
        options = ["--format", "oci", "--no-cache", "--layers=false", "--timestamp", str(CONSTANT_TIME)]
        # Its own default is 1,024, which compilers exceed; docker's is far more.
        options += ["--ulimit", f"nofile={open_files()}:{open_files()}"]
        options += common_options(request)
        return [
            self.program, "bud", *options, "-t", image, "-f", str(request.file), str(request.context),
        ]  # fmt: skip

    def digest_of(self, base: BaseImage) -> str | None:
        """See `ContainerBuilder`."""
        try:
            digest = self._inspect(base)["FromImageDigest"]
        except (UnavailableError, ValueError, KeyError, TypeError):
            return None
        return digest if isinstance(digest, str) and _DIGEST.match(digest) else None

    def layers_of(self, base: BaseImage) -> tuple[str, ...] | None:
        """See `ContainerBuilder`."""
        try:
            return diff_ids(self._inspect(base)["OCIv1"]["rootfs"]["diff_ids"])
        except (UnavailableError, ValueError, KeyError, TypeError):
            return None

    def _inspect(self, base: BaseImage) -> Any:
        return json.loads(self.run([self.program, "inspect", "--type", "image", base.name]))
