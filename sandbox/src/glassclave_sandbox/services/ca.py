"""The certificate authority of one run, in Fulcio's shape: root, intermediate, and ten-minute leaves.

Leaf: Fulcio's certificate specification (docs/certificate-specification.md): empty subject, one critical SAN,
digitalSignature, codeSigning, claims as extensions 1.3.6.1.4.1.57264.1.N, and the CT log's SCT embedded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from glassclave_sandbox.services import der
from glassclave_sandbox.services.ct import SCT_LIST, CertificateLog

ORGANIZATION = "Glassclave SANDBOX"
LEAF_LIFETIME = timedelta(minutes=10)
BACKDATED = timedelta(days=1)
CA_LIFETIME = timedelta(days=3650)
CLAIM_ARC = "1.3.6.1.4.1.57264.1"
LAST_RAW_CLAIM = 6
"""Claims 1 to 6 are raw UTF-8; those from 8 on are DER UTF8Strings (Fulcio, docs/oid-info.md)."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM)


@dataclass(frozen=True, slots=True)
class SigningAuthority:
    """What Fulcio has: a root and the intermediate that signs."""

    root: Authority
    intermediate: Authority

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The authorities, the one that signs first."""
        return (self.intermediate.certificate, self.root.certificate)

    def issue(
        self,
        key: ec.EllipticCurvePublicKey,
        san: str,
        claims: Mapping[int, str],
        *,
        at: datetime,
        log: CertificateLog,
    ) -> x509.Certificate:
        """A leaf for ``key`` and the URI ``san``, valid ten minutes from ``at``, with the log's SCT in it."""
        builder = self._leaf(key, san, at)
        for number, text in claims.items():
            value = text.encode() if number <= LAST_RAW_CLAIM else der.utf8(text)
            claim = x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{CLAIM_ARC}.{number}"), value)
            builder = builder.add_extension(claim, critical=False)
        # What an SCT covers is the TBS without the SCT (RFC 6962 §3.2), and everyone who checks cuts it out
        # and encodes the rest anew: it is the last extension, so that the rest stays as it was.
        bare = builder.sign(self.intermediate.key, SHA384())
        scts = log.sct_list(bare, self.intermediate.certificate, at=at)
        return builder.add_extension(x509.UnrecognizedExtension(SCT_LIST, scts), critical=False).sign(
            self.intermediate.key, SHA384()
        )

    def _leaf(self, key: ec.EllipticCurvePublicKey, san: str, at: datetime) -> x509.CertificateBuilder:
        signer = self.intermediate.key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.intermediate.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(at)
            .not_valid_after(at + LEAF_LIFETIME)
            .add_extension(key_usage(signs_data=True, signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(san)]), critical=True)
        )


def make_signing_authority(*, at: datetime) -> SigningAuthority:
    """New keys for a root and an intermediate, named after the day of ``at``."""
    root = make_root(f"SANDBOX certificate root {at:%Y-%m-%d}", at=at)
    intermediate = make_intermediate(root, f"SANDBOX certificate authority {at:%Y-%m-%d}", at=at)
    return SigningAuthority(root, intermediate)


def make_root(name: str, *, at: datetime) -> Authority:
    """A self-signed root."""
    key = ec.generate_private_key(ec.SECP384R1())
    builder = authority_builder(name, name, key.public_key(), at, path_length=1)
    return Authority(builder.sign(key, SHA384()), key)


def make_intermediate(root: Authority, name: str, *, at: datetime) -> Authority:
    """An authority under ``root`` that signs code signing certificates only."""
    key = ec.generate_private_key(ec.SECP384R1())
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key())
    builder = (
        authority_builder(name, common_name(root.certificate), key.public_key(), at, path_length=0)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(identifier, critical=False)
    )
    return Authority(builder.sign(root.key, SHA384()), key)


def make_timestamp_leaf(root: Authority, name: str, *, at: datetime) -> Authority:
    """A certificate that signs time-stamps and nothing else: a single, critical purpose (RFC 3161 §2.3)."""
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key())
    builder = (
        certificate_builder(name, common_name(root.certificate), key.public_key(), at)
        .add_extension(key_usage(signs_data=True, signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .add_extension(identifier, critical=False)
    )
    return Authority(builder.sign(root.key, SHA384()), key)


def authority_builder(
    name: str, issuer: str, key: ec.EllipticCurvePublicKey, at: datetime, *, path_length: int
) -> x509.CertificateBuilder:
    """What every CA certificate of ours has."""
    return (
        certificate_builder(name, issuer, key, at)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(key_usage(signs_data=False, signs_certificates=True), critical=True)
    )


def certificate_builder(
    name: str, issuer: str, key: ec.EllipticCurvePublicKey, at: datetime
) -> x509.CertificateBuilder:
    """Names, key, a serial number, and a life that began a day ago."""
    return (
        x509.CertificateBuilder()
        .subject_name(distinguished_name(name))
        .issuer_name(distinguished_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - BACKDATED)
        .not_valid_after(at + CA_LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def distinguished_name(common: str) -> x509.Name:
    """Organization and common name."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common name."""
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def key_usage(*, signs_data: bool, signs_certificates: bool) -> x509.KeyUsage:
    """Key usage with at most these two purposes (and CRLs with certificates)."""
    return x509.KeyUsage(
        digital_signature=signs_data,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
