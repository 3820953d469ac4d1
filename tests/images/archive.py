"""Reads the application's file tree out of an enclave image. Imports nothing of ours: an oracle for `build`.

The image's sections follow its 548 bytes of header; the last ramdisk is a plain cpio archive, "newc".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RAMDISK = 3
ROOT = "rootfs/"


@dataclass(frozen=True)
class Member:
    """One name of the archive; ``data`` of a hard link stands with one of its names only."""

    inode: int
    mode: int
    uid: int
    gid: int
    links: int
    mtime: int
    device: tuple[int, int]
    data: bytes


def last_ramdisk(image: Path) -> bytes:
    """The content of the last ramdisk section."""
    data, at, found = image.read_bytes(), 548, b""
    while at < len(data):
        kind, _flags, size = struct.unpack_from(">HHQ", data, at)
        if kind == RAMDISK:
            found = data[at + 12 : at + 12 + size]
        at += 12 + size
    return found


def _members(archive: bytes) -> Iterator[tuple[str, Member]]:
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        inode, mode, uid, gid, links, mtime, size, _, _, major, minor, length, _ = fields
        name = archive[at + 110 : at + 110 + length - 1].decode()
        start = -(-(at + 110 + length) // 4) * 4
        at = -(-(start + size) // 4) * 4
        if name == "TRAILER!!!":
            return
        yield name, Member(inode, mode, uid, gid, links, mtime, (major, minor), archive[start : start + size])


def read_root(image: Path) -> dict[str, Member]:
    """The application's root by path; every name of a hard link has the file's data."""
    found = {
        name.removeprefix(ROOT): member
        for name, member in _members(last_ramdisk(image))
        if name.startswith(ROOT)
    }
    contents = {member.inode: member.data for member in found.values() if member.data}
    return {
        name: Member(**{**vars(member), "data": contents.get(member.inode, b"")})
        for name, member in found.items()
    }
