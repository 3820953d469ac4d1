"""Case 20: the ramdisks of the real nitro-cli and linuxkit are listed as the reference (§5) has them."""

from __future__ import annotations

import hashlib
import json
import posixpath
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from glassclave.bootstrap.blobs import load_directory
from glassclave.eif.format import METADATA_MAX_SIZE, SectionType
from glassclave.eif.metadata import parse_metadata
from glassclave.eif.reader import EnclaveImage, read_image
from glassclave.ramdisk.listing import ListedEntry, list_archive
from glassclave.streams import open_source

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "nitro-cli"
BLOBS = VECTORS / "blobs"
CONSTANT_TIME = 1492533000  # 2017-04-18T16:30:00Z: of all that linuxkit makes itself
FIRST_INODE = 721
DIRECTORY = stat.S_IFDIR | 0o755
HOSTS = "43037ff87af87fda11c4377e963593a0f55e513702779db721c6ce574c06e88e"  # of linuxkit's own /etc/hosts
DROPPED = {".dockerenv", "Dockerfile", "dev/console", "dev/pts", "dev/shm", "etc/hostname"}
TOUCHED = {"dev/", "dev/pts/", "dev/shm/", "etc/", "etc/mtab", "proc/", "sys/"}
SPECIAL = ("dev", "dev/pts", "dev/shm", "etc", "etc/hosts", "etc/mtab", "etc/resolv.conf", "proc", "sys")
KINDS = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.LNKTYPE: stat.S_IFLNK,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


@pytest.fixture(params=["s1", "g1", "g2", "g3"])
def folder(request: pytest.FixtureRequest) -> Path:
    """One image of nitro-cli 1.5.2, and what Docker exported for it."""
    return VECTORS / str(request.param)


def listed(folder: Path, ramdisk: int) -> list[ListedEntry]:
    with open_source(folder / "nitro-cli.eif") as source:
        section = read_image(source, name="x").of_type(SectionType.RAMDISK)[ramdisk]
        return list(list_archive(source, section.data_offset, section.size, name="x"))


def entry(name: str, mode: int, data: bytes | str = b"", **values: int) -> ListedEntry:
    """What linuxkit makes of it; ``data`` as text is a SHA-256, of ``size`` bytes."""
    digest = bytes.fromhex(data) if isinstance(data, str) else hashlib.sha256(data).digest()
    return ListedEntry(
        name=name.encode("utf-8", "surrogateescape"),
        inode=0,
        mode=mode,
        uid=values.get("uid", 0),
        gid=values.get("gid", 0),
        links=2 if stat.S_ISDIR(mode) else 1,
        mtime=values.get("mtime", CONSTANT_TIME),
        device=(values.get("major", 0), values.get("minor", 0)),
        size=values.get("size", 0) if isinstance(data, str) else len(data),
        sha256=digest,
    )


def of_export(archive: tarfile.TarFile, member: tarfile.TarInfo) -> ListedEntry | None:
    """One entry of Docker's export in the ramdisk; ``None`` where it is dropped (§5.4, step 2)."""
    name = member.name + ("/" if member.isdir() else "")
    if name in DROPPED:
        return None
    file = archive.extractfile(member) if member.isreg() else None
    data = b"" if file is None else file.read()
    mode, mtime = KINDS[member.type] | (member.mode & 0xFFF), int(member.mtime)
    if member.issym():
        data = member.linkname.encode("utf-8", "surrogateescape")
    elif member.islnk():  # becomes a symlink with the mode of the file
        target = posixpath.relpath(member.linkname, posixpath.dirname(member.name))
        data = target.encode("utf-8", "surrogateescape")
    owner = {"uid": member.uid, "gid": member.gid}
    if name == "etc/hosts":
        return entry(f"rootfs/{name}", mode, HOSTS, size=160, **owner)
    if name == "etc/resolv.conf":
        mode, data, mtime = stat.S_IFLNK | member.mode, b"/run/resolvconf/resolv.conf", CONSTANT_TIME
    return entry(
        f"rootfs/{name}",
        mode,
        data,
        mtime=CONSTANT_TIME if name in TOUCHED else mtime,
        major=member.devmajor if member.isdev() and not member.isfifo() else 0,
        minor=member.devminor if member.isdev() and not member.isfifo() else 0,
        **owner,
    )


def of_linuxkit(name: str) -> ListedEntry:
    """What it adds where the export has none (§5.4, step 3)."""
    links = {"etc/mtab": (0o755, b"/proc/mounts"), "etc/resolv.conf": (0o644, b"/run/resolvconf/resolv.conf")}
    if name in links:
        mode, target = links[name]
        return entry(f"rootfs/{name}", stat.S_IFLNK | mode, target)
    if name == "etc/hosts":
        return entry(f"rootfs/{name}", stat.S_IFREG | 0o644, HOSTS, size=160)
    return entry(f"rootfs/{name}", DIRECTORY)


def customer(folder: Path) -> Iterator[ListedEntry]:
    """The second ramdisk, up to ``cmd`` and ``env``."""
    yield entry("rootfs", DIRECTORY)
    seen = set()
    with tarfile.open(folder / "export.tar.xz") as archive:
        for member in archive:
            found = of_export(archive, member)
            if found is not None:
                seen.add(member.name)
                yield found
    yield from (of_linuxkit(name) for name in SPECIAL if name not in seen)
    for name in ("", "/dev", "/run", "/sys", "/var", "/proc", "/tmp"):
        yield entry(f"rootfs{name}", DIRECTORY)


def numbered(entries: list[ListedEntry]) -> list[ListedEntry]:
    """With linuxkit's numbers: one inode for each header, repeated names too."""
    return [replace(one, inode=FIRST_INODE + number) for number, one in enumerate(entries)]


def test_case_20_the_bootstrap_ramdisk(folder: Path) -> None:
    made = [
        entry("dev", DIRECTORY),
        *(entry(name, stat.S_IFREG | 0o755, (BLOBS / name).read_bytes()) for name in ("init", "nsm.ko")),
    ]
    assert listed(folder, 0) == numbered(made)


def test_case_20_the_customer_ramdisk(folder: Path) -> None:
    found = listed(folder, 1)
    with tarfile.open(folder / "docker.tar.xz") as archive:
        manifest = json.loads(read(archive, "manifest.json"))
        config = json.loads(read(archive, manifest[0]["Config"]))["config"]
    lines = {"cmd": config["Cmd"], "env": config["Env"]}
    made = [*customer(folder)]
    for name, values in lines.items():
        made.append(entry(name, stat.S_IFREG | 0o644, "".join(f"{one}\n" for one in values).encode()))
    assert found == numbered(made)


def read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def test_case_20_kernel_and_command_line_are_the_blobs(folder: Path) -> None:
    """The command line without the newline of its file; the kernel's version from its configuration."""
    blobs = load_directory(BLOBS)
    assert (BLOBS / "cmdline").read_bytes() == blobs.cmdline + b"\n"
    with open_source(folder / "nitro-cli.eif") as source:
        image = read_image(source, name="x")
        assert data(image, SectionType.KERNEL) == blobs.kernel
        assert data(image, SectionType.CMDLINE) == blobs.cmdline
        metadata = parse_metadata(data(image, SectionType.METADATA))
    assert metadata is not None
    assert (metadata.operating_system, metadata.kernel_version) == (blobs.os_name, blobs.kernel_version)


def data(image: EnclaveImage, kind: SectionType) -> bytes:
    (section,) = image.of_type(kind)
    return image.data(section, limit=METADATA_MAX_SIZE)


def test_a_changed_byte_of_a_ramdisk_is_another_entry() -> None:
    entries = listed(VECTORS / "s1", 0)
    changed = numbered([entry("dev", DIRECTORY), entry("init", stat.S_IFREG | 0o755, b"x")])
    assert entries[0] == changed[0]
    assert entries[1] != changed[1]
