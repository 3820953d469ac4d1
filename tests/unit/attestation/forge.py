"""A certificate authority of our own that makes documents as the hypervisor does, or with one thing bent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from glassclave.attestation.expectation import Expected
from glassclave.attestation.roots import TrustAnchor
from glassclave.cbor import encode
from glassclave.cose import sign_sign1
from glassclave.digests import pcr_of_digest

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
NONCE = bytes(range(32))
INSTANCE = "i-0123456789abcdef0"
MODULE = f"{INSTANCE}-enc019a0000000012ab"
PCRS = {0: b"\x10" * 48, 1: b"\x11" * 48, 2: b"\x12" * 48}
EXPECTED = Expected(pcrs=PCRS)
HASHES: dict[str, hashes.SHA384 | hashes.SHA256] = {"sha384": hashes.SHA384(), "sha256": hashes.SHA256()}
CURVES: dict[str, ec.EllipticCurve] = {"p384": ec.SECP384R1(), "p256": ec.SECP256R1()}


@cache
def key(number: int, curve: str = "p384") -> ec.EllipticCurvePrivateKey:
    """Always the same key for the same number."""
    return ec.derive_private_key(1000 + number, CURVES[curve])


@dataclass(frozen=True)
class Level:
    """One certificate of the chain, with everything that a test may want to bend."""

    name: str
    number: int
    life: tuple[timedelta, timedelta] = (timedelta(hours=-1), timedelta(hours=2))
    ca: bool | None = True
    ca_critical: bool = True
    path_length: int | None = None
    usages: frozenset[str] | None = frozenset({"digital_signature", "key_cert_sign", "crl_sign"})
    hash: str = "sha384"
    curve: str = "p384"
    extra: tuple[tuple[str, bool], ...] = ()
    issuer_name: str | None = None
    issuer_key: int | None = None


LEAF_USAGES = frozenset({"digital_signature", "content_commitment"})
CHAIN = (
    Level("test.nitro-enclaves", 0, life=(timedelta(days=-900), timedelta(days=900))),
    Level("region", 1, path_length=2),
    Level("zone", 2, path_length=1),
    Level("instance", 3, path_length=0),
    Level(f"{MODULE}.eu-west-1.aws", 4, ca=False, usages=LEAF_USAGES),
)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(names: frozenset[str]) -> x509.KeyUsage:
    every = [
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ]
    return x509.KeyUsage(**{name: name in names for name in every})


@cache
def certificate(level: Level, issuer: Level) -> bytes:
    """DER of one certificate."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(level.name))
        .issuer_name(_name(level.issuer_name or issuer.name))
        .public_key(key(level.number, level.curve).public_key())
        .serial_number(1 + level.number)
        .not_valid_before(NOW + level.life[0])
        .not_valid_after(NOW + level.life[1])
    )
    if level.ca is not None:
        basic = x509.BasicConstraints(ca=level.ca, path_length=level.path_length)
        builder = builder.add_extension(basic, critical=level.ca_critical)
    if level.usages is not None:
        builder = builder.add_extension(_usage(level.usages), critical=level.ca is True)
    for oid, critical in level.extra:
        unknown = x509.UnrecognizedExtension(ObjectIdentifier(oid), b"\x05\x00")
        builder = builder.add_extension(unknown, critical=critical)
    signer = key(issuer.number if level.issuer_key is None else level.issuer_key, issuer.curve)
    signed = builder.sign(signer, HASHES[level.hash], ecdsa_deterministic=True)
    return signed.public_bytes(Encoding.DER)


def chain(levels: tuple[Level, ...] = CHAIN) -> list[bytes]:
    """DER of every level, root first, leaf last."""
    issuers = (levels[0], *levels[:-1])
    return [certificate(level, issuer) for level, issuer in zip(levels, issuers, strict=True)]


@dataclass(frozen=True)
class Forge:
    """A document: `fields` replaces payload fields (``DROP`` removes one), `levels` the certificates."""

    levels: tuple[Level, ...] = CHAIN
    fields: dict[str, object] = field(default_factory=dict)
    signer: ec.EllipticCurvePrivateKey | None = None
    bend_payload: Callable[[bytes], bytes] = lambda payload: payload
    bend_bundle: Callable[[list[bytes]], list[bytes]] = lambda bundle: bundle

    def payload(self) -> bytes:
        """The payload before it is signed."""
        certificates = chain(self.levels)
        zeros = {index: bytes(48) for index in range(16)}
        values: dict[str, object] = {
            "module_id": MODULE,
            "digest": "SHA384",
            "timestamp": int(NOW.timestamp() * 1000),
            "pcrs": {**zeros, **PCRS, 4: pcr_of_digest(INSTANCE.encode())},
            "certificate": certificates[-1],
            "cabundle": self.bend_bundle(certificates[:-1]),
            "public_key": None,
            "user_data": None,
            "nonce": NONCE,
            **self.fields,
        }
        return encode({name: value for name, value in values.items() if value is not DROP})

    def document(self) -> bytes:
        """The whole document, signed by the leaf's key unless `signer` is another."""
        leaf = self.levels[-1]
        signer = self.signer or key(leaf.number, leaf.curve)
        return sign_sign1(self.bend_payload(self.payload()), signer)


DROP = object()
ROOT = TrustAnchor(name="test.nitro-enclaves", der=chain()[0])
