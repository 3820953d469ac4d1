"""What the boot tests share: a small image around a static busybox, and one run of it in QEMU."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from glassclave.bootstrap import load_shipped
from glassclave.eif.format import Architecture
from glassclave.eif.metadata import Metadata, build_metadata
from glassclave.eif.writer import ImagePlan, write_image
from glassclave.errors import UnavailableError
from glassclave.image.config import Process
from glassclave.image.tree import Kind
from glassclave.ramdisk.bootstrap import BytesContent, bootstrap_ramdisk
from glassclave.ramdisk.cpio import Buffer, CpioEntry, write_archive
from glassclave.ramdisk.process import encode_process
from glassclave_sandbox.machine import Machine
from glassclave_sandbox.qemu import find_qemu

SECONDS = 120.0
PASSWD = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"
GROUP = b"root:x:0:\napp:x:1001:\nvideo:x:44:app\nother:x:45:apple\n"


@dataclass(frozen=True)
class File:
    """A file, directory (no data, mode of a directory) or symlink of a test image."""

    data: bytes = b""
    mode: int = Kind.FILE.value | 0o755


DIRECTORY = File(mode=Kind.DIRECTORY.value | 0o755)


@functools.cache
def qemu() -> Path:
    """QEMU with the nitro-enclave machine, or the test is skipped with the reason."""
    try:
        program = find_qemu(os.environ)
    except UnavailableError as error:
        pytest.skip(f"{error.message}: {error.hint}")
    machines = subprocess.run([program, "-M", "help"], capture_output=True, text=True, check=False).stdout
    if "nitro-enclave" not in machines:
        pytest.skip(f"{program} has no nitro-enclave machine")
    return program


@functools.cache
def busybox() -> bytes:
    """A statically linked busybox of this machine, or the test is skipped with the reason."""
    found = shutil.which("busybox")
    data = Path(found).read_bytes() if found else b""
    if data and b"/ld-linux" not in data[:4096]:
        return data
    pytest.skip("no statically linked busybox on PATH (Debian: apt-get install busybox-static)")


def small_root() -> dict[str, File]:
    """A root directory with a shell, two users and nothing else."""
    return {
        "bin": DIRECTORY,
        "bin/busybox": File(busybox()),
        "bin/sh": File(b"busybox", Kind.SYMLINK.value | 0o777),
        "etc": DIRECTORY,
        "etc/group": File(GROUP, Kind.FILE.value | 0o644),
        "etc/passwd": File(PASSWD, Kind.FILE.value | 0o644),
    }


def shell(script: str, *, user: str = "0", working_directory: str = "/") -> bytes:
    """The file ``process`` for a shell script."""
    settings = ("PATH=/bin", "TWO_LINES=one\ntwo")
    argv = ("sh", "-c", script)
    return encode_process(Process(argv=argv, env=settings, user=user, working_directory=working_directory))


def _ramdisk(process: bytes | None, root: Mapping[str, File] | None) -> Iterator[Buffer]:
    files = {} if process is None else {"process": File(process, Kind.FILE.value | 0o644)}
    if root is not None:
        files |= {"rootfs": DIRECTORY} | {f"rootfs/{name}": file for name, file in root.items()}
    return write_archive(
        CpioEntry(
            name=name.encode(),
            mode=files[name].mode,
            inode=inode,
            mtime=0,
            size=len(files[name].data),
            content=BytesContent(files[name].data),
        )
        for inode, name in enumerate(sorted(files), start=1)
    )


def write_enclave(path: Path, process: bytes | None, root: Mapping[str, File] | None) -> Path:
    """An image of the shipped bootstrap and this process and root directory; ``None`` leaves one out."""
    shipped = load_shipped("x86_64")
    metadata = Metadata(
        image_name="test",
        image_version="0",
        build_time="1980-01-01T00:00:00Z",
        build_tool="glassclave",
        build_tool_version="0",
        operating_system=shipped.os_name,
        kernel_version=shipped.kernel_version,
    )
    plan = ImagePlan(
        architecture=Architecture.X86_64,
        kernel=[shipped.kernel],
        cmdline=shipped.cmdline,
        metadata=build_metadata(metadata),
        ramdisks=[bootstrap_ramdisk(shipped.init), _ramdisk(process, root)],
    )
    with path.open("w+b") as file:
        write_image(file, plan, file_digests=False)
    return path


def boot(folder: Path, process: bytes | None, root: Mapping[str, File] | None = None) -> str:
    """The console of an enclave that ran to its end; ``root`` is `small_root` where none is given."""
    program = qemu()
    return run(program, write_enclave(folder / "test.eif", process, small_root() if root is None else root))


def run(program: Path, image: Path) -> str:
    """The console of an image that was run to its end."""
    with Machine(image, qemu=program) as machine:
        assert machine.wait(SECONDS), f"still running after {SECONDS} s:\n{machine.console}"
        assert machine.heartbeat_answered, machine.console
        return machine.console.replace("\r\n", "\n")


def messages(console: str) -> list[str]:
    """What init said, in order, without its name."""
    name = "glassclave-init: "
    return [line.removeprefix(name) for line in console.splitlines() if line.startswith(name)]
