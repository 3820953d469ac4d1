"""The kernel and init that come with this package, checked against their lock on every load."""

from __future__ import annotations

import importlib.resources
from importlib.resources.abc import Traversable

from glassclave.bootstrap.blobs import Bootstrap
from glassclave.bootstrap.lock import Lock, check_file, parse_lock
from glassclave.errors import ParseError, UnavailableError, UsageError

LOCK_NAME = "bootstrap.lock.json"


def shipped_architectures() -> tuple[str, ...]:
    """Architectures with a shipped bootstrap, sorted."""
    return tuple(sorted(folder.name for folder in _data().iterdir() if folder.joinpath(LOCK_NAME).is_file()))


def shipped_lock(architecture: str) -> Lock:
    """The lock of the shipped bootstrap. Raises `UsageError` ``bootstrap.architecture``."""
    return read_lock(_folder(architecture), architecture)


def load_shipped(architecture: str) -> Bootstrap:
    """The shipped bootstrap for ``x86_64``.

    Raises `UsageError` ``bootstrap.architecture``; `RefusedError` ``bootstrap.file.digest`` for a file that
    is not the released one; `UnavailableError` ``bootstrap.file.missing``; `ParseError` ``bootstrap.lock.*``.
    """
    return load_locked(_folder(architecture), architecture)


def load_locked(folder: Traversable, architecture: str) -> Bootstrap:
    """A bootstrap from a folder with a lock; errors as `load_shipped`."""
    lock = read_lock(folder, architecture)
    files = {name: check_file(lock, name, _read(folder, name)) for name in lock.files}
    return Bootstrap(
        name=lock.name,
        architecture=lock.architecture,
        kernel=files["bzImage"],
        cmdline=files["cmdline"],
        init=files["init"],
        kernel_version=lock.kernel_version,
        os_name=lock.os_name,
    )


def read_lock(folder: Traversable, architecture: str) -> Lock:
    """The lock in ``folder``, which must be of ``architecture``."""
    lock = parse_lock(_read(folder, LOCK_NAME), source=LOCK_NAME)
    if lock.architecture != architecture:
        raise ParseError(
            "bootstrap.lock.architecture", f"is {lock.architecture}, not {architecture}", field="architecture"
        )
    return lock


def _data() -> Traversable:
    return importlib.resources.files("glassclave.bootstrap").joinpath("data")


def _folder(architecture: str) -> Traversable:
    shipped = shipped_architectures()
    if architecture not in shipped:
        raise UsageError(
            "bootstrap.architecture",
            f"no kernel and init are shipped for {architecture}, only for {', '.join(shipped)}",
            hint="bring your own: --bootstrap DIR with a kernel, init and cmdline",
        )
    return _data().joinpath(architecture)


def _read(folder: Traversable, name: str) -> bytes:
    try:
        return folder.joinpath(name).read_bytes()
    except OSError as error:
        raise UnavailableError(
            "bootstrap.file.missing",
            f"cannot be read: {error.strerror}",
            source=name,
            hint="install glassclave again",
        ) from error
