"""From a folder with a Dockerfile to a container image that `build` goes on with."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from glassclave.errors import UnavailableError
from glassclave.flows.outside import OutsideWatch
from glassclave.flows.source import KINDS
from glassclave.image.container import ContainerBuild, ContainerBuilder, OnLine
from glassclave.image.dockerfile import MAX_SIZE, Dockerfile, parse_dockerfile
from glassclave.image.repositories import without_credentials
from glassclave.progress import Progress
from glassclave.provenance.container import ContainerClaim
from glassclave.streams import read_small_file


@dataclass(frozen=True, slots=True)
class BuiltContainer:
    """``source``: SOURCE of `open_image`, good while the context is open. ``claim``: how it was made.

    ``watch``: for `open_image`, which shows it the layers.
    """

    source: str
    claim: ContainerClaim
    watch: OutsideWatch

    def whole_claim(self) -> ContainerClaim:
        """``claim`` with what the layers showed, once the image has been opened."""
        return replace(self.claim, outside=self.watch.claim())


def is_folder(source: str) -> bool:
    """Whether ``source`` names a folder to build from, and not an image in one of its forms."""
    return source.partition(":")[0] not in KINDS and Path(source).is_dir()


@contextmanager
def built_container(
    request: ContainerBuild,
    builder: ContainerBuilder,
    *,
    spool: Path | None,
    on_line: OnLine,
    progress: Progress,
    place: str | None = None,
) -> Iterator[BuiltContainer]:
    """Have the image made. Raises `UnavailableError` ``dockerfile.missing``, ``builder.*``; `ParseError`
    ``dockerfile.*``.

    ``place``: the folder's path in its git repository, to be claimed. ``spool``: where the image lies
    meanwhile, ``None`` for the system's temporary folder.
    """
    data = _read(request)
    source = str(request.file)
    dockerfile = parse_dockerfile(data, source=source, build_args=request.build_args, target=request.target)
    _warn(dockerfile, progress)
    # Absolute: a name that begins with a dash would be an option to the builder.
    asked = replace(request, context=request.context.absolute(), dockerfile=request.file.absolute())
    with tempfile.TemporaryDirectory(dir=spool, prefix="glassclave-container-") as folder:
        image = builder.build(asked, Path(folder), on_line)
        claim = _claim(request, data, dockerfile, builder, place)
        progress.step("container", f"built by {claim.builder_name} {claim.builder_version}")
        root = dockerfile.root
        base = () if root is None else builder.layers_of(root)
        yield BuiltContainer(image, claim, OutsideWatch(base, dockerfile.commands, progress))


def _read(request: ContainerBuild) -> bytes:
    if not request.file.is_file():
        raise UnavailableError(
            "dockerfile.missing",
            "there is no such Dockerfile",
            source=str(request.file),
            hint="name it with --dockerfile FILE; a folder that is a root file system is dir:FOLDER",
        )
    return read_small_file(request.file, limit=MAX_SIZE)


def _warn(dockerfile: Dockerfile, progress: Progress) -> None:
    floating = [base.name for base in dockerfile.bases if base.digest is None]
    if floating:
        progress.warn(
            "dockerfile.floating",
            f"not pinned by digest, so another build may get another image: {', '.join(floating[:8])}",
        )


def _claim(
    request: ContainerBuild,
    data: bytes,
    dockerfile: Dockerfile,
    builder: ContainerBuilder,
    place: str | None,
) -> ContainerClaim:
    # Relative to the folder, and not as it was typed: where the checkout lies is nobody's business.
    path = os.path.relpath(request.file, request.context)
    return ContainerClaim(
        builder_name=builder.identity.name,
        builder_version=builder.identity.version,
        context=place,
        dockerfile=path if not path.startswith("..") else request.file.name,
        dockerfile_sha256=hashlib.sha256(data).digest(),
        target=request.target,
        build_args=tuple(sorted(request.build_args.items())),
        secrets=tuple(secret_id(secret) for secret in request.secrets),
        bases=tuple((base.name, base.digest or builder.digest_of(base)) for base in dockerfile.bases),
        added=tuple(without_credentials(address) for address in dockerfile.added),  # it is signed
    )


def secret_id(secret: str) -> str:
    """``id=NAME,src=FILE``: only the name is anybody's business."""
    parts = dict(part.partition("=")[::2] for part in secret.split(","))
    return parts.get("id", "")
