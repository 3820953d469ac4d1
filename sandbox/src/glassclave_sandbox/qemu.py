"""QEMU's `nitro-enclave` machine: where the program is, what it needs, how it is started."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from glassclave.errors import UnavailableError, UsageError
from glassclave_sandbox.names import DEFAULT_INSTANCE

PROGRAM = "qemu-system-x86_64"
VARIABLE = "GLASSCLAVE_QEMU"
WHAT_TO_DO = (
    f"it must be QEMU 9.2 or later, built with libcbor, so that `{PROGRAM} -M help` lists nitro-enclave; "
    f"name it with --qemu PATH or {VARIABLE}, or put it on PATH"
)

_SYSTEM_FIRMWARE = (Path("/usr/share/qemu"), Path("/usr/share/seabios"))
_FIRMWARE_BESIDE_PROGRAM = ("pc-bios", "share/qemu", "../share/qemu", "../share/seabios", "../pc-bios")

MEBIBYTE = 1 << 20
_LEAST_MEMORY = 256 * MEBIBYTE
_MEMORY_PER_IMAGE = 4
"""Nitro asks for four times the image's size; so does this machine, so that what boots here boots there."""


def find_qemu(environ: Mapping[str, str]) -> Path:
    """The program named by ``GLASSCLAVE_QEMU``, else ``qemu-system-x86_64`` on PATH.

    Raises `UnavailableError` ``sandbox.qemu.missing``.
    """
    named = environ.get(VARIABLE)
    if named:
        return require_program(Path(named))
    found = shutil.which(PROGRAM, path=environ.get("PATH"))
    if found is None:
        raise UnavailableError("sandbox.qemu.missing", "QEMU was not found", hint=WHAT_TO_DO)
    return Path(found)


def require_program(path: Path) -> Path:
    """``path``, if a program is there; else `UnavailableError` ``sandbox.qemu.missing``."""
    if shutil.which(str(path.absolute())) is None:
        raise UnavailableError(
            "sandbox.qemu.missing", "there is no program that can be run", source=str(path), hint=WHAT_TO_DO
        )
    return path.absolute()


def default_memory(image_size: int) -> int:
    """Bytes of memory for an image of ``image_size`` bytes, a whole number of MiB."""
    wanted = max(_LEAST_MEMORY, _MEMORY_PER_IMAGE * image_size)
    return -(-wanted // MEBIBYTE) * MEBIBYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The instance that the enclave believes to run on: PCR3 (zero without role) and PCR4 come from it."""

    role: str | None = None
    instance: str = DEFAULT_INSTANCE


def _option(name: str, value: str | None) -> str:
    """A key of an option list; a comma in a value is written twice."""
    return "" if value is None else f",{name}={value.replace(',', ',,')}"


def firmware_directories(program: Path) -> tuple[Path, ...]:
    """Directories that hold SeaBIOS and QEMU's option ROMs, system first, then beside the program."""
    beside = (program.resolve().parent / name for name in _FIRMWARE_BESIDE_PROGRAM)
    return tuple(path for path in (*_SYSTEM_FIRMWARE, *beside) if path.is_dir())


def command_line(
    program: Path, image: Path, *, memory: int, vsock_fd: int, parent: Parent, identity: str
) -> list[str]:
    """QEMU's arguments. ``memory`` in bytes; ``vsock_fd`` is inherited; ``identity``: its module id."""
    for value in (parent.role, parent.instance, identity):
        if value is not None and ("\0" in value or not value):
            raise UsageError("sandbox.option", "an empty value, or one with a NUL in it, cannot be passed on")
    machine = (
        "nitro-enclave,vsock=vsock"
        + _option("id", identity)
        + _option("parent-role", parent.role)
        + _option("parent-id", parent.instance)
    )
    arguments = [str(program)]
    for directory in firmware_directories(program):
        arguments += ["-L", str(directory)]
    return [
        *arguments,
        *("-M", machine),
        *("-accel", "tcg"),
        *("-cpu", "max"),
        *("-m", f"{memory // MEBIBYTE}M"),
        *("-display", "none", "-monitor", "none", "-serial", "stdio"),
        "-no-reboot",
        # Images say reboot=k, as Nitro wants it. This machine has no keyboard controller: the guest would try
        # it for more than a second, then jump into the BIOS, where it may hang. QEMU puts this behind the
        # image's own command line; no PCR covers it.
        *("-append", "reboot=t"),
        *("-kernel", str(image)),
        *("-chardev", f"socket,id=vsock,fd={vsock_fd}"),
    ]
