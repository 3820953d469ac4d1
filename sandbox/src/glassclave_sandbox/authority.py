"""A root and the certificates under it, shaped like those of AWS's Nitro hypervisors, made for one run.

Shape (measured on 140 genuine documents): P-384 and SHA-384 everywhere; root 30 years, region 20 days, zone 6
days, instance 24 hours, leaf 3 hours, each backdated a little; path lengths none, 2, 1, 0; the leaf's key
usage is not critical and it has no other extension. Common names follow AWS's pattern, because verifiers read
the region there; every other part of every name says SANDBOX.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from glassclave_sandbox.names import require_aware

ROOT_NAME = "sandbox.nitro-enclaves"

_HOUR = timedelta(hours=1)
_LEAF_BACKDATED = timedelta(seconds=3)
_CRL = "http://crl.glassclave-sandbox.invalid/{}.crl"
"""AWS names revocation lists that its own text does not use; ``.invalid`` cannot be asked (RFC 6761)."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate in PEM, as ``--attestation-root`` takes it."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def sha256(self) -> str:
        """SHA-256 of the DER, hex."""
        return hashlib.sha256(self.der).hexdigest()


@dataclass(frozen=True, slots=True)
class Chain:
    """Root, region, zone, instance, and the leaf that signs documents."""

    authorities: tuple[Issuer, ...]
    leaf: Issuer

    @property
    def cabundle(self) -> list[bytes]:
        """The authorities in DER, root first."""
        return [authority.der for authority in self.authorities]


def make_root(*, at: datetime) -> Issuer:
    """A new test root, valid from an hour before ``at`` for 30 years. Not AWS's: its name says SANDBOX."""
    require_aware(at)
    key = ec.generate_private_key(ec.SECP384R1())
    name = _name(ROOT_NAME)
    builder = (
        _builder(name, name, key, at - _HOUR, at + timedelta(days=10957))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(signs_data=True, signs_certificates=True, signs_crls=True), critical=True)
    )
    return Issuer(builder.sign(key, SHA384()), key)


def make_chain(root: Issuer, *, at: datetime, module_id: str, instance_id: str, region: str) -> Chain:
    """New keys and certificates from ``root`` down to the leaf for ``module_id``, issued at ``at``."""
    require_aware(at)
    regional = _authority(
        root, f"{_tag()}.{region}.aws.nitro-enclaves", at - _HOUR, at + timedelta(days=20), 2
    )
    zonal = _authority(
        regional,
        f"{_tag()}.zonal.{region}.aws.nitro-enclaves",
        at - _HOUR,
        at + timedelta(days=5, hours=12),
        1,
    )
    instance = _instance(zonal, f"{instance_id}.{region}.aws.nitro-enclaves", at)
    return Chain((root, regional, zonal, instance), _leaf(instance, f"{module_id}.{region}.aws", at))


def _authority(issuer: Issuer, name: str, start: datetime, end: datetime, path_length: int) -> Issuer:
    key = ec.generate_private_key(ec.SECP384R1())
    builder = (
        _builder(_name(name), issuer.certificate.subject, key, start, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_issued_by(issuer), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(signs_data=True, signs_certificates=True, signs_crls=True), critical=True)
        .add_extension(_revocation_list(issuer), critical=False)
    )
    return Issuer(builder.sign(issuer.key, SHA384()), key)


def _instance(issuer: Issuer, name: str, at: datetime) -> Issuer:
    key = ec.generate_private_key(ec.SECP384R1())
    builder = (
        _builder(_name(name), issuer.certificate.subject, key, at - _HOUR, at + 23 * _HOUR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_data=False, signs_certificates=True, signs_crls=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_issued_by(issuer), critical=False)
    )
    return Issuer(builder.sign(issuer.key, SHA384()), key)


def _leaf(issuer: Issuer, name: str, at: datetime) -> Issuer:
    key = ec.generate_private_key(ec.SECP384R1())
    usage = _usage(signs_data=True, signs_certificates=False, signs_crls=False, non_repudiation=True)
    builder = (
        _builder(_name(name), issuer.certificate.subject, key, at - _LEAF_BACKDATED, at + 3 * _HOUR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=False)
    )
    return Issuer(builder.sign(issuer.key, SHA384()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # X.509 times have whole seconds; cut here, so that a leaf is never valid only after its document.
        .not_valid_before(start.replace(microsecond=0))
        .not_valid_after(end.replace(microsecond=0))
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Glassclave SANDBOX"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "SANDBOX"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _tag() -> str:
    """Sixteen hex digits, as AWS puts before a region's name."""
    return f"{x509.random_serial_number():040x}"[-16:]


def _issued_by(issuer: Issuer) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())


def _revocation_list(issuer: Issuer) -> x509.CRLDistributionPoints:
    place = x509.UniformResourceIdentifier(_CRL.format(issuer.sha256[:16]))
    return x509.CRLDistributionPoints([x509.DistributionPoint([place], None, None, None)])


def _usage(
    *, signs_data: bool, signs_certificates: bool, signs_crls: bool, non_repudiation: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs_data,
        content_commitment=non_repudiation,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_crls,
        encipher_only=False,
        decipher_only=False,
    )
