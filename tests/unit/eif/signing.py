"""Keys and certificates for tests of signing: drawn anew, in any odd form."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CURVES: dict[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
START = datetime(2026, 11, 3, 5, 4, 3, tzinfo=UTC)
END = START + timedelta(days=365)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
AT = START + timedelta(days=30)
"""A time at which `certificate_of` is valid."""


def key_on(curve: str = "P-384") -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(CURVES[curve])


def key_pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    """As ``openssl ecparam -genkey`` writes it, or as an encrypted PKCS #8 file."""
    if password is None:
        form, encryption = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        return key.private_bytes(serialization.Encoding.PEM, form, encryption)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )


def certificate_of(
    key: ec.EllipticCurvePrivateKey,
    *,
    extensions: Sequence[x509.ExtensionType] = (),
    start: datetime = START,
    end: datetime = END,
    name: x509.Name = NAME,
) -> bytes:
    """Self-signed, in PEM, valid from ``start`` to ``end``."""
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=7,
        not_valid_before=start,
        not_valid_after=end,
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, hashes.SHA384()).public_bytes(serialization.Encoding.PEM)
