"""Options and answers that docker, buildah and buildx have in common."""

from __future__ import annotations

from glassclave.digests import is_oci_digest
from glassclave.image.container import ContainerBuild

CONSTANT_TIME = 315532800
"""1980-01-01: what the layout gives every file anyway; set so that no layer depends on the hour."""


def common_options(request: ContainerBuild) -> list[str]:
    """Arguments, secrets, stage and platform, in an order that does not depend on how they were given."""
    options: list[str] = []
    for name, value in sorted(request.build_args.items()):
        options += ["--build-arg", f"{name}={value}"]
    for secret in request.secrets:
        options += ["--secret", secret]
    if request.target is not None:
        options += ["--target", request.target]
    return [*options, "--platform", f"linux/{request.architecture}"]


def diff_ids(said: object) -> tuple[str, ...] | None:
    """The layers of an image as a builder lists them; ``None``: that is no such list."""
    if not isinstance(said, list) or not all(isinstance(item, str) and is_oci_digest(item) for item in said):
        return None
    return tuple(said)
