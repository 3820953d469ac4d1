"""Container builders: the programs that turn a folder with a Dockerfile into a container image."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping

from glassclave.clients.builders.buildah import Buildah
from glassclave.clients.builders.docker import Buildx, Docker
from glassclave.clients.builders.run import Runner, run_program
from glassclave.errors import UnavailableError
from glassclave.image.container import ContainerBuilder

BUILDERS = ("docker", "buildah", "buildx")
"""Without a choice the first that is there: Dockerfiles are written for docker."""

_MAKERS: Mapping[str, Callable[[str, Runner], ContainerBuilder | None]] = {
    "docker": Docker.find,
    "buildah": Buildah.find,
    "buildx": Buildx.find,
}


def choose_builder(
    wanted: str | None, environment: Mapping[str, str], run: Runner = run_program
) -> ContainerBuilder:
    """The builder ``wanted``, or the first one that answers. `UnavailableError` ``builder.missing``."""
    path = environment.get("PATH")
    for name in BUILDERS if wanted is None else (wanted,):
        program = shutil.which("docker" if name == "buildx" else name, path=path)
        builder = None if program is None else _MAKERS[name](program, run)
        if builder is not None:
            return builder
    raise UnavailableError(
        "builder.missing",
        "no container builder answers here" if wanted is None else f"{wanted} does not answer here",
        hint="install buildah (Debian: apt-get install buildah) or a Docker engine;"
        " or build elsewhere and give the image: oci:DIR, docker-archive:FILE",
    )
