"""Log keys: what public logs sign with (ECDSA on P-256, SHA-256) and how they are named."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


@dataclass(frozen=True, slots=True)
class LogKey:
    """The key of a log."""

    private: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def spki(self) -> bytes:
        """The public key, DER SubjectPublicKeyInfo."""
        return self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def pem(self) -> bytes:
        """The public key in PEM."""
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def log_id(self) -> bytes:
        """The log's name: SHA-256 of its public key (RFC 6962 §3.2)."""
        return hashlib.sha256(self.spki).digest()

    def sign(self, data: bytes) -> bytes:
        """ECDSA over SHA-256 of ``data``, DER."""
        return self.private.sign(data, ec.ECDSA(SHA256()))


def make_log_key() -> LogKey:
    """A new key."""
    return LogKey(ec.generate_private_key(ec.SECP256R1()))
