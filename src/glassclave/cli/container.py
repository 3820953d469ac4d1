"""Options of `build` about a folder with a Dockerfile."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from glassclave.cli.arguments import as_typed
from glassclave.errors import UsageError
from glassclave.escaping import escape_untrusted
from glassclave.flows.container import BuiltContainer, built_container, is_folder
from glassclave.flows.source import DEFAULT_ARCHITECTURE
from glassclave.image.container import ContainerBuild
from glassclave.progress import Progress

_Command = TypeVar("_Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--dockerfile", type=click.Path(path_type=Path), help="Instead of FOLDER/Dockerfile."),
    click.option(
        "--build-arg", "build_args", multiple=True, metavar="NAME=VALUE", help="Public: it is signed."
    ),
    click.option("--secret", "secrets", multiple=True, metavar="id=NAME,src=FILE", help="For RUN --mount."),
    click.option("--target", metavar="STAGE", help="The stage of the Dockerfile to build."),
    click.option(
        "--builder", type=click.Choice(["docker", "buildah", "buildx"]), help="Default: what is there."
    ),
)


def container_options(command: _Command) -> _Command:
    """Adds the options; they reach the command as keywords of these names."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerOptions:
    """As they were given, with those of `build` that concern this step too."""

    output: Path
    arch: str | None
    spool: Path | None
    quiet: bool
    dockerfile: Path | None
    build_args: tuple[str, ...]
    secrets: tuple[str, ...]
    target: str | None
    builder: str | None

    @property
    def given(self) -> bool:
        """Whether any of them was."""
        return bool(self.dockerfile or self.build_args or self.secrets or self.target or self.builder)


@contextmanager
def image_source(
    source: str, options: ContainerOptions, progress: Progress
) -> Iterator[tuple[str, BuiltContainer | None]]:
    """SOURCE as an image: what was given, or what a builder makes of a folder.

    Raises `UsageError` ``build.container.options`` for options that have no meaning without a Dockerfile.
    """
    if not is_folder(source):
        if options.given:
            raise UsageError(
                "build.container.options",
                "only a FOLDER takes --dockerfile, --build-arg, --secret, --target and --builder",
                field=source[:80],
            )
        yield source, None
        return
    from glassclave.clients.builders import choose_builder
    from glassclave.clients.git import Git

    request = ContainerBuild(
        context=Path(source),
        dockerfile=options.dockerfile,
        build_args=_arguments(options.build_args),
        secrets=tuple(as_typed(secret) for secret in options.secrets),
        target=options.target,
        architecture=options.arch or DEFAULT_ARCHITECTURE,
    )
    if Path(os.path.realpath(options.output)).is_relative_to(os.path.realpath(source)):
        progress.warn(
            "build.output.context",
            f"{options.output.name} lies in the folder that it is built from: name it in .dockerignore",
        )
    builder = choose_builder(options.builder, os.environ)
    said = say_nothing if options.quiet else say_line
    place = Git(os.environ).place(request.context)
    with built_container(
        request, builder, spool=options.spool, on_line=said, progress=progress, place=place
    ) as built:
        yield built.source, built


def _arguments(pairs: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = as_typed(pair).partition("=")
        if not name or not equals:
            raise UsageError("build.container.build-arg", "must be NAME=VALUE", field=pair[:80])
        found[name] = value
    return found


def say_line(line: str) -> None:
    """A line of the builder, on stderr."""
    print(f"  | {escape_untrusted(line, limit=400)}", file=sys.stderr, flush=True)


def say_nothing(_line: str) -> None:
    """Where only one JSON document is wanted."""
