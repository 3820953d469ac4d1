"""What an image's configuration says of the process to start (OCI image-spec, config.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from glassclave.errors import ParseError, UsageError

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What Docker puts into PATH where an image sets none (Docker documentation, "Environment variables")."""

MAX_STRING = 131_071
"""Bytes of one argument or setting that Linux takes (execve(2), MAX_ARG_STRLEN, with its NUL)."""
MAX_PATH = 4095
"""Bytes of a path that Linux takes (PATH_MAX, with its NUL)."""
MAX_USER = 255
"""Bytes of a user that our init takes (``docs/spec/process.md``)."""

ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Architecture names of the image specification to those of an EIF."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What the enclave starts. ``user`` is ``USER`` as written: name or uid, optionally ``:group`` or gid."""

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    working_directory: str = "/"
    user: str = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The part of an image's configuration that a build uses, and the whole of it as ``document``."""

    architecture: str
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_directory: str = ""
    user: str = ""
    document: Mapping[str, object] | None = None
    digest: str | None = None
    layer_digests: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """What the person who builds asks for instead of the image's own settings."""

    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    working_directory: str | None = None
    user: str | None = None


def process_of(config: ImageConfig, options: ProcessOptions) -> Process:
    """The process of an image: ENTRYPOINT and CMD joined as Docker does, options on top.

    As in Docker, a new entrypoint drops the image's CMD. Raises `UsageError` ``build.process.*`` for what
    could not be started.
    """
    entrypoint = config.entrypoint if options.entrypoint is None else options.entrypoint
    image_cmd = config.cmd if options.entrypoint is None else ()
    argv = entrypoint + (image_cmd if options.cmd is None else options.cmd)
    if not argv:
        raise UsageError(
            "build.process.missing",
            "the source names no program to start",
            hint='say which: --cmd "/usr/bin/app --flag"',
        )
    working_directory = options.working_directory or config.working_directory or "/"
    if not working_directory.startswith("/"):
        working_directory = "/" + working_directory  # Docker reads a relative WORKDIR from the root
    process = Process(
        argv=argv,
        env=_environment(config.env, options.env),
        working_directory=working_directory,
        user=options.user or config.user or "0",
    )
    if not argv[0]:
        raise UsageError("build.process.missing", "the program to start has an empty name", field="argument")
    for name, text, limit in _all_texts(process):
        _check_text(name, text, limit)
    return process


def _all_texts(process: Process) -> Sequence[tuple[str, str, int]]:
    return (
        *(("argument", text, MAX_STRING) for text in process.argv),
        *(("environment", text, MAX_STRING) for text in process.env),
        ("working directory", process.working_directory, MAX_PATH),
        ("user", process.user, MAX_USER),
    )


def _check_text(name: str, text: str, limit: int) -> None:
    if "\0" in text:
        raise ParseError("build.process.nul", "a NUL byte cannot be part of a process", field=name)
    size = len(text.encode("utf-8", "surrogateescape"))
    if size > limit:
        raise UsageError(
            "build.process.size", f"{size:,} bytes, at most {limit:,} can be started", field=name
        )


def _environment(image: tuple[str, ...], added: tuple[str, ...]) -> tuple[str, ...]:
    """Later settings replace earlier ones in place, as Docker does; PATH is there always."""
    merged: dict[str, str] = {}
    for setting in ("PATH=" + DEFAULT_PATH, *image, *added):
        name, equals, value = setting.partition("=")
        if not name or not equals:
            raise UsageError(
                "build.process.env",
                "an environment setting must be NAME=VALUE",
                field=setting[:80],
                hint="give it as --env NAME=VALUE",
            )
        merged[name] = value
    return tuple(f"{name}={value}" for name, value in merged.items())
