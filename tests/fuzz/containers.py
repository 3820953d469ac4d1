"""Fuzzed: layers and archives. Headers of a tar get the checksum that they should have."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from glassclave.image import docker_archive, oci_layout
from glassclave.image.config import Process
from glassclave.image.decode import Meter, decode_layers
from glassclave.image.layers import Layer, merge_layers
from glassclave.image.oci_layout import Choice, StoredImage
from glassclave.image.store import ArchiveStore
from glassclave.image.tree import FileTree, Kind, Node
from glassclave.ramdisk.application import LayoutOptions, LayoutReport, application_ramdisk
from glassclave.ramdisk.listing import list_archive
from glassclave.streams import BytesSource
from tests.fuzz.words import words

BETWEEN = b"\xffLAYER\xff"
"""Stands between two layers of one input."""
MOST = 1 << 20


def layers(data: bytes) -> None:
    """Stacks of layers: a tree in which everything lies in a directory, or words."""
    parts = data.split(BETWEEN)[:8]
    words(lambda: _checked(_merged(parts)))
    repaired = [with_checksums(part) for part in parts]
    words(lambda: _checked(_merged(repaired)))


def _merged(parts: list[bytes]) -> FileTree:
    return merge_layers(Layer(memoryview(part), f"layer {n}") for n, part in enumerate(parts, start=1))


def _checked(tree: FileTree) -> None:
    for path, node in tree:
        above = path.rpartition(b"/")[0]
        assert not above or tree.nodes[above].kind is Kind.DIRECTORY, path
        assert _content_size(node) == node.size
    if tree.content_size() <= MOST:
        _written(tree)


def _written(tree: FileTree) -> None:
    """What is written of the tree is read back: every path, in order."""
    pieces = application_ramdisk(tree, Process(argv=("a",)), LayoutOptions(), LayoutReport())
    ramdisk = b"".join(pieces)
    listed = [entry.name for entry in list_archive(BytesSource(ramdisk), 0, len(ramdisk), name="f")]
    assert listed == [b"process", b"rootfs", *(b"rootfs/" + path for path, _ in tree)]


def _content_size(node: Node) -> int:
    return sum(len(piece) for piece in node.content.chunks())


def with_checksums(data: bytes) -> bytes:
    """``data`` as a tar: each block where a header must stand gets its checksum; sizes are followed."""
    blocks, at = bytearray(data), 0
    while at + 512 <= len(blocks):
        header = blocks[at : at + 512]
        if not any(header):
            break
        total = sum(header) - sum(header[148:156]) + 8 * 32
        blocks[at + 148 : at + 156] = b"%06o\0 " % total
        digits = bytes(header[124:136]).partition(b"\0")[0].strip(b" ")
        octal = digits.isdigit() and not set(digits) & set(b"89")
        at += 512 + (-(-int(digits, 8) // 512) * 512 if octal else 0)
    return bytes(blocks)


@cache
def _folder() -> Path:
    return Path(tempfile.gettempdir())


def archives(data: bytes) -> None:
    """``docker save`` and layouts in a tar, up to the tree that is in them."""
    for archive in (data, with_checksums(data)):
        words(lambda archive=archive: _image(archive, docker=True))  # type: ignore[misc]
        words(lambda archive=archive: _image(archive, docker=False))  # type: ignore[misc]


def _image(data: bytes, *, docker: bool) -> None:
    store = ArchiveStore(memoryview(data), "f")
    find = docker_archive.find_image if docker else oci_layout.find_image
    _unpacked(find(store, Choice()))


def _unpacked(image: StoredImage) -> None:
    meter = Meter(MOST, lambda _: None)
    tars = decode_layers(image.layers, _folder(), meter)
    _checked(merge_layers(Layer(tar, "layer") for tar in tars))
