"""A container image to be made from a folder with a Dockerfile, and what is known of one that was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from glassclave.image.dockerfile import BaseImage

OnLine = Callable[[str], None]
"""Hears each line that the builder says, unescaped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerBuild:
    """``context``: the folder. ``dockerfile``: a path, ``None`` for ``Dockerfile`` in it. ``secrets``: as the
    builder takes them (``id=…,src=…``). ``architecture``: ``amd64`` or ``arm64``.
    """

    context: Path
    dockerfile: Path | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    target: str | None = None
    architecture: str = "amd64"

    @property
    def file(self) -> Path:
        """The Dockerfile's path."""
        return self.context / "Dockerfile" if self.dockerfile is None else self.dockerfile


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderIdentity:
    """A container builder that is there: ``docker``, ``buildah`` or ``buildx``, and its version."""

    name: str
    version: str


class ContainerBuilder(Protocol):
    """Makes container images."""

    @property
    def identity(self) -> BuilderIdentity:
        """Which builder it is."""
        ...

    def build(self, request: ContainerBuild, folder: Path, on_line: OnLine) -> str:
        """Build with the strongest deterministic options; SOURCE of `open_image` for what is in ``folder``.

        Raises `UnavailableError` ``builder.*``.
        """
        ...

    def digest_of(self, base: BaseImage) -> str | None:
        """The digest that ``base`` had in the last build (``sha256:…``), as far as the builder tells."""
        ...

    def layers_of(self, base: BaseImage) -> tuple[str, ...] | None:
        """The diffIDs (``sha256:…``) of the layers of ``base``, lowest first; ``None``: not told."""
        ...
