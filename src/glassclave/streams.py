"""Seekable readers of known size, and files that appear whole or not at all."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from glassclave.errors import ParseError, UnavailableError

CHUNK_SIZE = 1 << 20
"""Bytes per read while streaming: large enough for full speed, small enough to be no memory."""


class ByteSource(Protocol):
    """Bytes of known size that can be read anywhere, from several threads at once."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; `ParseError` ``stream.truncated`` if they end early."""
        ...


class BytesSource:
    """Bytes in memory as a `ByteSource`."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        """See `ByteSource`."""
        part = self._data[offset : offset + length]
        if offset < 0 or len(part) != length:
            raise ParseError("stream.truncated", f"{length} bytes wanted, input ends", offset=offset)
        return part


class FileSource:
    """An open regular file as a `ByteSource` (positioned reads, so threads may share it)."""

    def __init__(self, file: BinaryIO, *, name: str) -> None:
        self._file = file
        self._fd = file.fileno()
        self.name = name
        self._size = os.fstat(self._fd).st_size

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""
        return self._size

    def fileno(self) -> int:
        """The open file's descriptor, to map it."""
        return self._fd

    def read_at(self, offset: int, length: int) -> bytes:
        """See `ByteSource`."""
        parts: list[bytes] = []
        wanted = length
        while wanted > 0:
            try:
                part = os.pread(self._fd, wanted, offset + length - wanted)
            except OSError as error:  # a failing disk, or a file of /sys that only looks regular
                raise UnavailableError(
                    "file.unreadable", f"cannot be read: {error.strerror}", source=self.name
                ) from error
            if not part:
                raise ParseError(
                    "stream.truncated", f"{length} bytes wanted, file ends", offset=offset, source=self.name
                )
            parts.append(part)
            wanted -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


@contextmanager
def open_source(path: Path) -> Iterator[FileSource]:
    """A regular file opened for reading; `UnavailableError` ``file.*`` where it cannot be."""
    try:
        # O_NONBLOCK: a FIFO given as input must not hang the tool; it is refused just below.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise UnavailableError(
            "file.unreadable", f"cannot be read: {error.strerror}", source=str(path)
        ) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UnavailableError("file.kind", "is not a regular file", source=str(path))
    with os.fdopen(fd, "rb") as file:
        yield FileSource(file, name=str(path))


def read_chunks(source: ByteSource, offset: int, length: int) -> Iterator[bytes]:
    """``length`` bytes of ``source`` from ``offset``, at most `CHUNK_SIZE` at a time."""
    end = offset + length
    while offset < end:
        part = source.read_at(offset, min(CHUNK_SIZE, end - offset))
        offset += len(part)
        yield part


def read_small_file(path: Path, *, limit: int) -> bytes:
    """A whole regular file of at most ``limit`` bytes."""
    with open_source(path) as source:
        if source.size > limit:
            raise UnavailableError(
                "file.size", f"has {source.size} bytes, at most {limit} are read", source=str(path)
            )
        return source.read_at(0, source.size)


def make_folder(path: Path) -> None:
    """``path`` and its parents, where they are not there; `UnavailableError` ``file.unwritable``."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(
            "file.unwritable", f"this folder cannot be made: {error.strerror}", source=str(path)
        ) from error


@contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of ``path`` only when the block ends without an error.

    Written to one fixed hidden name beside it, locked, synced, renamed: after a crash there is the old file
    or none, and the next run reuses and removes the leftover. `UnavailableError` ``file.*`` on failure.
    """
    _check_replaceable(path)
    partial = path.with_name(f".{path.name}.partial")
    file = _open_partial(partial, path)
    try:
        yield file
        file.flush()
        os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _unwritable(path, error) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        # Closing writes what is still buffered, which fails once more on a full disk: said already above.
        with suppress(OSError):
            file.close()
    _sync_directory(path.parent)


def _check_replaceable(path: Path) -> None:
    """Refuse to rename over what is no regular file: a device, a FIFO, a link (``-o /dev/null`` as root)."""
    try:
        # Without a name, and for "..", there is only a directory.
        named = path.name not in ("", "..")
        regular = named and stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unwritable(path, error) from error
    if not regular:
        raise UnavailableError(
            "file.kind",
            "is not a regular file and is not replaced",
            source=str(path),
            hint="name a new file, or one that may be replaced",
        )


def _unwritable(path: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        "file.unwritable",
        f"cannot be written: {error.strerror}",
        source=str(path),
        hint=None if path.parent.is_dir() else f"make its folder first: {path.parent}",
    )


def _open_partial(partial: Path, path: Path) -> BinaryIO:
    """The hidden file, opened, locked and empty."""
    while True:
        try:
            fd = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise _unwritable(path, error) from error
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            # Somebody put it there: writing would block on a FIFO, or empty the file of another name.
            os.close(fd)
            raise UnavailableError(
                "file.partial",
                "is in the way: it is no file of ours",
                source=str(partial),
                hint="look at it and remove it",
            )
        file = os.fdopen(fd, "r+b", buffering=CHUNK_SIZE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise UnavailableError(
                "file.busy", "is being written by another run", source=str(path), hint="wait for it to end"
            ) from error
        except OSError as error:  # a file system without locks
            file.close()
            raise _unwritable(path, error) from error
        if _still_named(fd, partial):
            os.ftruncate(fd, 0)
            return file
        file.close()  # another run renamed it between our open and our lock: it is a finished file now


def _still_named(fd: int, partial: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(partial, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _sync_directory(path: Path) -> None:
    # Some file systems cannot sync a directory, some directories cannot be read; the file itself is safe.
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
