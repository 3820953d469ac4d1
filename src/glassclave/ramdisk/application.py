"""The application ramdisk of layout ``glassclave-1`` (``docs/spec/layout-glassclave-1.md``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from glassclave.errors import RefusedError
from glassclave.image.config import Process
from glassclave.image.tree import NO_CONTENT, Content, FileTree, Kind, Node
from glassclave.normalizers import Rule, rules
from glassclave.ramdisk.bootstrap import LAYOUT_MTIME, BytesContent
from glassclave.ramdisk.cpio import Buffer, CpioEntry, write_archive
from glassclave.ramdisk.normalized import normalized
from glassclave.ramdisk.process import encode_process

LAYOUT_NAME = "glassclave-1"
ROOT = b"rootfs"
FILE_CAPABILITIES = "security.capability"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutOptions:
    """What may be chosen about the layout; everything here is part of the recipe.

    ``mtime``: the one time that every entry gets (seconds since 1970), ``None`` keeps each file's own.
    """

    mtime: int | None = LAYOUT_MTIME
    drop_file_capabilities: bool = False


@dataclass(slots=True)
class LayoutReport:
    """What was made constant on the way; filled while the ramdisk streams.

    ``entries``: paths of the tree. ``normalized``: rule id to the number of files whose bytes it changed.
    """

    entries: int = 0
    times_changed: int = 0
    normalized: dict[str, int] = field(default_factory=dict)


def application_ramdisk(
    tree: FileTree, process: Process, options: LayoutOptions, report: LayoutReport
) -> Iterator[Buffer]:
    """The archive's bytes: ``process``, ``rootfs``, then every path of the tree, in raw byte order.

    Raises `RefusedError` ``build.file-capabilities`` where a file would lose capabilities in silence.
    """
    return write_archive(_entries(tree, process, options, report))


def applied_rules(options: LayoutOptions) -> tuple[Rule, ...]:
    """The normalizers that the layout applies: all of its own, or none where files keep their times."""
    return () if options.mtime is None else rules(LAYOUT_NAME)


def lost_attributes(tree: FileTree) -> Sequence[tuple[bytes, str]]:
    """Paths and names of extended attributes that a cpio archive cannot hold."""
    return [(path, name) for path, node in tree for name in node.attributes]


def check_attributes(tree: FileTree, options: LayoutOptions) -> None:
    """Refuse file capabilities unless their loss was asked for."""
    if options.drop_file_capabilities:
        return
    for path, name in lost_attributes(tree):
        if name == FILE_CAPABILITIES:
            raise RefusedError(
                "build.file-capabilities",
                "has file capabilities, which a ramdisk cannot hold",
                field=path.decode("utf-8", "backslashreplace"),
                hint="set them at start-up, run as root, or accept the loss: --drop-file-capabilities",
            )


def _entries(
    tree: FileTree, process: Process, options: LayoutOptions, report: LayoutReport
) -> Iterator[CpioEntry]:
    constant = LAYOUT_MTIME if options.mtime is None else options.mtime
    record = encode_process(process)
    yield CpioEntry(
        name=b"process",
        mode=Kind.FILE.value | 0o644,
        inode=1,
        mtime=constant,
        size=len(record),
        content=BytesContent(record),
    )
    yield CpioEntry(name=ROOT, mode=Kind.DIRECTORY.value | 0o755, inode=2, links=2, mtime=constant)
    yield from _tree_entries(tree, options, report)


def _tree_entries(tree: FileTree, options: LayoutOptions, report: LayoutReport) -> Iterator[CpioEntry]:
    linked = _linked(tree)
    active = applied_rules(options)
    inodes: dict[int, int] = {}
    next_inode = 3
    for path, node in tree:
        names = linked.get(id(node), 1)
        inode = inodes.get(id(node)) if names > 1 else None
        content, size = _data(node) if inode is None else (NO_CONTENT, 0)
        if inode is None:
            inode, next_inode = next_inode, next_inode + 1
            if names > 1:
                inodes[id(node)] = inode
        report.entries += 1
        mtime = node.mtime if options.mtime is None else options.mtime
        report.times_changed += mtime != node.mtime
        if active and size and node.kind is Kind.FILE:
            content = normalized(path, content, active, mtime=mtime, changed=report.normalized)
        yield CpioEntry(
            name=ROOT + b"/" + path,
            mode=node.kind.value | node.mode,
            inode=inode,
            links=2 if node.kind is Kind.DIRECTORY else names,
            uid=node.uid,
            gid=node.gid,
            mtime=mtime,
            size=size,
            device=node.device,
            content=content,
        )


def _linked(tree: FileTree) -> dict[int, int]:
    """How many names a node has, of those with several: nothing is kept of the many that have one.

    The kernel makes hard links of files and devices only; a symlink stands alone under each name.
    """
    seen: set[int] = set()
    again: list[int] = []
    for node in tree.nodes.values():
        if id(node) not in seen:
            seen.add(id(node))
        elif node.kind is not Kind.SYMLINK:
            again.append(id(node))
    return {key: count + 1 for key, count in Counter(again).items()}


def _data(node: Node) -> tuple[Content, int]:
    """What stands after the header: a file's bytes (once, with its first name) or a symlink's target."""
    if node.kind is Kind.SYMLINK:
        return BytesContent(node.target), len(node.target)
    if node.kind is Kind.FILE:
        return node.content, node.size
    return NO_CONTENT, 0
