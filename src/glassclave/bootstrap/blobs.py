"""A bootstrap in memory, and one from a directory in the layout of AWS's blobs."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from glassclave.errors import LimitError, ParseError, UnavailableError, UsageError

KERNELS = {"bzImage": "x86_64", "Image": "aarch64"}
"""File name of the kernel to architecture, as AWS's packages name them."""

_MAX_BLOB = 256 << 20
_MAX_TEXT = 4 << 20
_MAX_CMDLINE = 4096
_CONFIG_TITLE = re.compile(rb"# (\w+)/\w+ (\d+(?:\.\d+)+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """What every image of one kind begins with: the part that PCR1 measures.

    ``name``: for people. ``architecture``: ``x86_64`` or ``aarch64``. ``cmdline``: without a newline at its
    end. ``nsm_module``: driver of the Nitro Secure Module, where the kernel has none built in. ``os_name``
    and ``kernel_version``: for the metadata section, e.g. ``Linux`` and ``6.12.117``; not measured.
    """

    name: str
    architecture: str
    kernel: bytes
    cmdline: bytes
    init: bytes
    kernel_version: str
    os_name: str
    nsm_module: bytes | None = None


def load_directory(path: Path) -> Bootstrap:
    """AWS's blobs, or anyone's: ``bzImage`` or ``Image``, ``cmdline``, ``init``; ``nsm.ko`` and the kernel's
    configuration (``bzImage.config``, or our ``kernel.config``) where they are there.

    White space around the command line is cut off, as nitro-cli does. Without a configuration the metadata
    says ``unknown``. Raises `UsageError` ``bootstrap.directory.*``, `UnavailableError`
    ``bootstrap.file.missing``, `LimitError` ``bootstrap.file.size``, `ParseError` ``bootstrap.cmdline``.
    """
    if not path.is_dir():
        raise UnavailableError("bootstrap.directory.missing", "is not a directory", source=str(path))
    kernels = [name for name in KERNELS if (path / name).exists()]
    if len(kernels) != 1:
        raise UsageError(
            "bootstrap.directory.kernel",
            "holds two kernels" if kernels else "holds no kernel: neither bzImage nor Image",
            source=str(path),
            hint="give the directory of one architecture, e.g. blobs/x86_64",
        )
    kernel = kernels[0]
    os_name, kernel_version = _system(path, kernel)
    return Bootstrap(
        name="custom",  # not the directory's name: no path of the host may reach an output
        architecture=KERNELS[kernel],
        kernel=_read(path / kernel, _MAX_BLOB),
        cmdline=_cmdline(path / "cmdline"),
        init=_read(path / "init", _MAX_BLOB),
        kernel_version=kernel_version,
        os_name=os_name,
        nsm_module=_read(path / "nsm.ko", _MAX_BLOB) if (path / "nsm.ko").exists() else None,
    )


def _cmdline(path: Path) -> bytes:
    text = _read(path, _MAX_CMDLINE).strip()
    if b"\n" in text or b"\0" in text:
        raise ParseError("bootstrap.cmdline", "must be one line of text", source=str(path))
    return text


def _system(path: Path, kernel: str) -> tuple[str, str]:
    """Operating system and version from the third line of a configuration (``# Linux/x86 6.12.117 …``)."""
    for name in (f"{kernel}.config", "kernel.config"):
        if (path / name).exists():
            for line in _read(path / name, _MAX_TEXT).splitlines()[:4]:
                title = _CONFIG_TITLE.match(line)
                if title is not None:
                    return title[1].decode(), title[2].decode()
    return "unknown", "unknown"


def _read(path: Path, limit: int) -> bytes:
    try:
        with open(path, "rb", opener=_open) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError("bootstrap.file.kind", "is not a regular file", source=str(path))
            data = file.read(limit + 1)
    except OSError as error:
        raise UnavailableError(
            "bootstrap.file.missing", f"cannot be read: {error.strerror}", source=str(path)
        ) from error
    if len(data) > limit:
        raise LimitError("bootstrap.file.size", f"is larger than {limit} bytes", source=str(path))
    if not data:
        raise ParseError("bootstrap.file.empty", "is empty", source=str(path))
    return data


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO must not hold us
