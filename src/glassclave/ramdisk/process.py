"""The file ``process``: what our init starts (``docs/spec/process.md``)."""

from __future__ import annotations

from glassclave.errors import ParseError
from glassclave.image.config import Process

VERSION_LINE = b"glassclave-process-1\n"
MAX_SIZE = 1 << 20
"""Bytes: init refuses a larger file."""


def encode_process(process: Process) -> bytes:
    """The file's bytes: version line, then NUL-terminated records ``a…`` ``e…`` ``d…`` ``u…``.

    Raises `ParseError` ``build.process.*`` for what init would refuse.
    """
    records = [
        *("a" + argument for argument in process.argv),
        *("e" + setting for setting in process.env),
        "d" + process.working_directory,
        "u" + process.user,
    ]
    data = VERSION_LINE + b"".join(_record(text) for text in records)
    if len(data) > MAX_SIZE:
        raise ParseError("build.process.size", f"arguments and environment exceed {MAX_SIZE} bytes")
    return data


def _record(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    if b"\0" in raw:
        raise ParseError("build.process.nul", "a NUL byte cannot be part of a process", field=text[:1])
    return raw + b"\0"
