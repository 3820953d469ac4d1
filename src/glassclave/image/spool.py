"""Scratch space for decoded layers: files without a name, gone with the process that holds them."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from glassclave.errors import UnavailableError

_MOUNTS = Path("/proc/self/mounts")
_MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SpoolFile:
    """One unlinked file, written once from its start, then mapped."""

    def __init__(self, file: BinaryIO, folder: Path) -> None:
        self._file = file
        self._folder = folder
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append. Raises `UnavailableError` ``image.spool.full`` or ``image.spool.unwritable``."""
        view = memoryview(data)
        self.size += len(view)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def mapped(self) -> memoryview:
        """All that was written, read-only; it stays readable when the file is closed."""
        if self.size == 0:
            return memoryview(b"")
        try:
            return memoryview(mmap.mmap(self._file.fileno(), self.size, access=mmap.ACCESS_READ))
        except OSError as error:
            raise _unwritable(self._folder, error) from error


def spool_folder(chosen: Path | None) -> Path:
    """Where decoded layers go: the folder that was chosen, or the system's for temporary files."""
    return Path(tempfile.gettempdir()) if chosen is None else chosen


@contextmanager
def open_spool(folder: Path) -> Iterator[SpoolFile]:
    """An empty file in ``folder``. Raises `UnavailableError` ``image.spool.*``."""
    with ExitStack() as stack:
        try:
            # Unbuffered: pieces are large, and an error belongs to the piece that met it.
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0))
        except OSError as error:
            raise _unwritable(folder, error) from error
        yield SpoolFile(file, folder)


def is_in_memory(folder: Path) -> bool:
    """Whether ``folder`` lies on a file system that is memory, which large layers would fill."""
    return file_system_type(folder) in _MEMORY_FILE_SYSTEMS


def file_system_type(folder: Path) -> str | None:
    """Type of the file system that holds ``folder``, where Linux's mount table (proc(5)) says so."""
    try:
        place = os.path.realpath(folder)
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    longest, found = "", None
    for line in lines:
        words = line.split(" ")
        point = words[1].replace("\\040", " ")
        inside = point == "/" or place == point or place.startswith(point + "/")
        if inside and len(point) >= len(longest):  # the later of two mounts on one point hides the earlier
            longest, found = point, words[2]
    return found


def _unwritable(folder: Path, error: OSError) -> UnavailableError:
    if error.errno in _NO_ROOM:
        return UnavailableError(
            "image.spool.full",
            f"has no room for the decoded layers: {error.strerror}",
            source=str(folder),
            hint="name a folder with more room: --spool-dir DIR",
        )
    return UnavailableError(
        "image.spool.unwritable",
        f"cannot hold the decoded layers: {error.strerror}",
        source=str(folder),
        hint="name a folder that can be written to: --spool-dir DIR",
    )
