"""A test root of attestation kept in a folder, so that several documents can be signed under one root."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from glassclave.errors import ParseError, UnavailableError
from glassclave.streams import read_small_file
from glassclave_sandbox.authority import Issuer, make_root

CERTIFICATE = "attestation-root.pem"
"""What ``--attestation-root`` takes."""
KEY = "attestation-root.key"
_LIMIT = 65536


def open_root(folder: Path, *, at: datetime) -> Issuer:
    """The root in ``folder``; made at ``at`` where there is none yet.

    Raises `UnavailableError` ``sandbox.root``, `ParseError` ``sandbox.root.form``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / KEY).exists():
            return _make(folder, at)
    except OSError as error:
        raise UnavailableError(
            "sandbox.root", f"no root can be kept there: {error.strerror}", source=str(folder)
        ) from error
    return _load(folder)


def _make(folder: Path, at: datetime) -> Issuer:
    root = make_root(at=at)
    key = root.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / CERTIFICATE).write_bytes(root.pem)
    # The key last: it says that the pair is whole.
    descriptor = os.open(folder / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
    return root


def _load(folder: Path) -> Issuer:
    certificate = read_small_file(folder / CERTIFICATE, limit=_LIMIT)
    key = read_small_file(folder / KEY, limit=_LIMIT)
    try:
        loaded = load_pem_private_key(key, None)
        root = x509.load_pem_x509_certificate(certificate)
    except (ValueError, TypeError) as error:
        raise ParseError("sandbox.root.form", f"is no test root: {error}", source=str(folder)) from error
    if not isinstance(loaded, ec.EllipticCurvePrivateKey) or loaded.public_key() != root.public_key():
        raise ParseError("sandbox.root.form", "key and certificate are not a pair", source=str(folder))
    return Issuer(root, loaded)
