"""The private key that signs an image, from a PEM file. It is never shown, and no error quotes any of it."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from glassclave import cose
from glassclave.errors import ParseError, UsageError

KEY_MAX_SIZE = 65536
"""Bytes of a key file, or of a file with its password, that are read."""


def parse_signing_key(
    pem: bytes, *, source: str, password: bytes | None = None
) -> ec.EllipticCurvePrivateKey:
    """Key on P-256, P-384 or P-521 in PEM: SEC 1 or PKCS #8, encrypted or not; ``source`` names the file.

    Raises `ParseError` ``eif.sign.key.form``; `UsageError` ``eif.sign.key.encrypted`` without a password
    where one is needed, ``eif.sign.key.password`` for a wrong or needless one, ``eif.sign.key`` and
    ``cose.key`` for a key that cannot sign images.
    """
    if b"-----BEGIN" not in pem:
        raise ParseError(
            "eif.sign.key.form",
            "is no private key in PEM",
            source=source,
            hint="convert it: openssl pkey -inform der -in KEY -out key.pem",
        )
    key = _load(pem, source, password)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UsageError(
            "eif.sign.key",
            "only elliptic curve keys sign enclave images",
            source=source,
            hint="make one: openssl ecparam -name secp384r1 -genkey -out key.pem",
        )
    try:
        cose.algorithm_of(key.curve)
    except UsageError as error:
        error.source = source
        raise
    return key


def _load(pem: bytes, source: str, password: bytes | None) -> object:
    # The library tells an encrypted key without password, and the reverse, by TypeError only.
    try:
        return load_pem_private_key(pem, password or None)
    except TypeError as error:
        if password:
            raise UsageError(
                "eif.sign.key.password", "a password is given and the key is not encrypted", source=source
            ) from error
        raise UsageError(
            "eif.sign.key.encrypted",
            "the key is encrypted",
            source=source,
            hint="name a file that holds its password: --key-password-file FILE",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if password:
            raise UsageError(
                "eif.sign.key.password", "cannot be read with this password", source=source
            ) from error
        raise ParseError(
            "eif.sign.key.form", "holds no private key that can be read", source=source
        ) from error
