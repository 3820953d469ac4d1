"""``bootstrap.lock.json``: what the shipped kernel and init were made from, and the hash of each result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from glassclave.digests import parse_hex, same_bytes, sha256_digest
from glassclave.errors import ParseError, RefusedError
from glassclave.fields import Fields, parse_json

SCHEMA = "glassclave-bootstrap-lock-1"
FILES = ("bzImage", "cmdline", "init", "kernel.config")
_SIZE_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class LockedFile:
    """A result: hex SHA-256 and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The part of a lock that the program reads; ``source_*`` name Debian's source package.

    ``files`` has the keys of `FILES`.
    """

    name: str
    architecture: str
    os_name: str
    kernel_version: str
    source_package: str
    source_version: str
    source_file: str
    source_sha256: str
    files: Mapping[str, LockedFile]


def parse_lock(data: bytes, *, source: str) -> Lock:
    """A lock from its JSON. Raises `ParseError` ``bootstrap.lock.*``, ``json.*``, ``field.*``."""
    top = Fields.of(parse_json(data, source=source, limit=_SIZE_LIMIT), source=source)
    if top.text("schema") != SCHEMA:
        raise ParseError("bootstrap.lock.schema", f"must be {SCHEMA}", field="schema", source=source)
    origin, results = top.child("source"), top.child("results")
    return Lock(
        name=top.text("name"),
        architecture=top.text("architecture"),
        os_name=top.text("os_name"),
        kernel_version=top.text("kernel_version"),
        source_package=origin.text("package"),
        source_version=origin.text("version"),
        source_file=origin.text("file"),
        source_sha256=_sha256(origin, "sha256"),
        files={name: _file(results.child(name)) for name in FILES},
    )


def _sha256(fields: Fields, name: str) -> str:
    return parse_hex(fields.text(name), field=fields.at(name), size=32).hex()


def _file(fields: Fields) -> LockedFile:
    return LockedFile(_sha256(fields, "sha256"), fields.integer("size"))


def check_file(lock: Lock, name: str, data: bytes) -> bytes:
    """``data``, if it is what the lock says of ``name``; `RefusedError` ``bootstrap.file.digest`` if not."""
    wanted = "sha256:" + lock.files[name].sha256
    found = sha256_digest(data)
    if not same_bytes(wanted.encode(), found.encode()):
        raise RefusedError(
            "bootstrap.file.digest",
            f"is not the file that was released: expected {wanted}, got {found}",
            source=name,
            hint="install glassclave again",
        )
    return data
