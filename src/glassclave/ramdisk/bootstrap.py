"""The first ramdisk: init, a mount point, and AWS's kernel module where a bootstrap brings it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from glassclave.image.tree import Kind
from glassclave.ramdisk.cpio import Buffer, CpioEntry, write_archive

LAYOUT_MTIME = 315532800
"""1980-01-01T00:00:00Z: the earliest time that zip tools accept."""


@dataclass(frozen=True, slots=True)
class BytesContent:
    """Bytes in memory as the content of a file."""

    data: bytes

    def chunks(self) -> Iterator[Buffer]:
        """See `Content`."""
        yield self.data


def bootstrap_ramdisk(init: bytes, nsm_module: bytes | None = None) -> Iterator[Buffer]:
    """Archive with ``dev`` (a directory), ``init`` and, where given, ``nsm.ko``, in byte order."""
    files = [(b"init", init)]
    if nsm_module is not None:
        files.append((b"nsm.ko", nsm_module))
    entries = [
        CpioEntry(name=b"dev", mode=Kind.DIRECTORY.value | 0o755, inode=1, links=2, mtime=LAYOUT_MTIME)
    ]
    for inode, (name, data) in enumerate(files, start=2):
        entries.append(
            CpioEntry(
                name=name,
                mode=Kind.FILE.value | 0o755,
                inode=inode,
                mtime=LAYOUT_MTIME,
                size=len(data),
                content=BytesContent(data),
            )
        )
    return write_archive(entries)
