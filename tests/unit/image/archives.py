"""Tar archives for tests, made member by member: what a real writer does, and what none would."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

from glassclave.image.layers import Layer, merge_layers
from glassclave.image.tree import FileTree, Kind

LETTERS = {
    Kind.DIRECTORY: "d",
    Kind.FILE: "f",
    Kind.SYMLINK: "l",
    Kind.CHARACTER: "c",
    Kind.BLOCK: "b",
    Kind.FIFO: "p",
}
_TYPES = {
    "d": tarfile.DIRTYPE,
    "l": tarfile.SYMTYPE,
    "h": tarfile.LNKTYPE,
    "c": tarfile.CHRTYPE,
    "b": tarfile.BLKTYPE,
    "p": tarfile.FIFOTYPE,
    "f": tarfile.REGTYPE,
}


def member(
    name: str,
    kind: str = "f",
    value: bytes | str | tuple[int, int] = b"",
    *,
    mode: int | None = None,
    uid: int = 0,
    gid: int = 0,
    mtime: float = 0,
    pax: Mapping[str, str] | None = None,
) -> tuple[tarfile.TarInfo, bytes]:
    """A member: ``value`` is a file's bytes, a link's target or a device's numbers."""
    info = tarfile.TarInfo(name)
    info.type = _TYPES[kind]
    info.mode = (0o755 if kind == "d" else 0o644) if mode is None else mode
    info.uid, info.gid, info.mtime = uid, gid, mtime
    info.pax_headers = dict(pax or {})
    data = b""
    if isinstance(value, bytes):
        data = value
        info.size = len(value)
    elif isinstance(value, str):
        info.linkname = value
    else:
        info.devmajor, info.devminor = value
    return info, data


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive of ``members`` in their order."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def merged(*layers: bytes) -> FileTree:
    """The tree of uncompressed layers."""
    return merge_layers(Layer(memoryview(data), f"layer {n}") for n, data in enumerate(layers, start=1))


def content(tree: FileTree, path: bytes) -> bytes:
    """A file's bytes."""
    return b"".join(tree.nodes[path].content.chunks())


def listing(tree: FileTree) -> dict[str, str]:
    """Path to ``d``, ``f…`` with its bytes, ``l→target`` and so on."""
    result = {}
    for path, node in tree:
        text = LETTERS[node.kind]
        if node.kind is Kind.FILE:
            text += " " + content(tree, path).decode()
        elif node.kind is Kind.SYMLINK:
            text += " " + node.target.decode()
        result[path.decode()] = text
    return result
