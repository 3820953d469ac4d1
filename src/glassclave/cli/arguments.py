"""Arguments that need more than a conversion: text as it was typed, numbers of seconds, commands, outputs."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from glassclave.errors import ParseError, UsageError
from glassclave.fields import parse_json


def as_typed(text: str) -> str:
    """An argument as UTF-8 reads it, whatever the locale made Python decode it with.

    No environment variable may reach a byte of the image (promise 1). What is no UTF-8 keeps its bytes
    (``surrogateescape``).
    """
    return os.fsencode(text).decode("utf-8", "surrogateescape")


def split_words(text: str) -> tuple[str, ...]:
    """A command as given on the command line: a JSON array, or words as a POSIX shell splits them.

    Raises `UsageError` ``build.cmd.syntax``.
    """
    if text.lstrip().startswith("["):
        return _json_words(text)
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError("build.cmd.syntax", f"cannot be split into words: {error}") from error


def _json_words(text: str) -> tuple[str, ...]:
    hint = 'write it as ["/usr/bin/app", "--flag"]'
    try:
        data = text.encode("utf-8", "surrogateescape")
        words = parse_json(data, source="the command", max_depth=1)
    except ParseError as error:
        message = f"not a JSON array of strings: {error.message}"
        raise UsageError("build.cmd.syntax", message, offset=error.offset, hint=hint) from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UsageError("build.cmd.syntax", "a JSON array of strings is needed", hint=hint)
    return tuple(words)


def parse_seconds(text: str) -> int | None:
    """Seconds since 1970 in 32 bits, as an archive header holds them; ``None`` for anything else."""
    # The length first: Python refuses to convert thousands of digits by an error of its own.
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    seconds = int(text)
    return seconds if seconds < 1 << 32 else None


def check_output(source: str, output: Path) -> None:
    """Refuse an output that names no file, or lies in the directory that is read.

    In there the next build would hold this one's image. Raises `UsageError` ``build.output.*``.
    """
    if output.name in ("", ".."):
        raise UsageError(
            "build.output.name", "names no file", source=str(output), hint="give one: --output app.eif"
        )
    kind, _, place = source.partition(":")
    # Not Path.resolve, which fails on a link that leads to itself.
    if kind == "dir" and place and Path(os.path.realpath(output)).is_relative_to(os.path.realpath(place)):
        raise UsageError(
            "build.output.inside",
            "the image would be written into the directory that it is built from",
            source=str(output),
            hint="give an --output outside of it",
        )
