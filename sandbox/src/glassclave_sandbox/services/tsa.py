"""A time-stamp authority (RFC 3161): ``POST /api/v1/timestamp``, request and answer in DER.

The token is CMS SignedData (RFC 5652 §5) with one signer, whose certificate is included when asked for.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from glassclave_sandbox.services import der
from glassclave_sandbox.services.ca import Authority, make_root, make_timestamp_leaf
from glassclave_sandbox.services.server import Answer, RefusedRequestError, Request

POLICY = "1.3.6.1.4.1.57264.2"
DIGEST_SIZES = {
    "2.16.840.1.101.3.4.2.1": 32,
    "2.16.840.1.101.3.4.2.2": 48,
    "2.16.840.1.101.3.4.2.3": 64,
}
"""SHA-256, SHA-384 and SHA-512; shorter hashes are refused."""
_SHA256 = "2.16.840.1.101.3.4.2.1"
_ECDSA_SHA256 = "1.2.840.10045.4.3.2"
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
_CERTIFICATE_SET = 0xA0
_SIGNED_ATTRIBUTES = 0xA0


@dataclass(frozen=True, slots=True)
class Query:
    """A TimeStampReq: the imprint as encoded, the nonce as encoded, and whether to send the certificate."""

    imprint: bytes
    nonce: bytes
    wants_certificate: bool


def parse_query(data: bytes) -> Query:
    """TimeStampReq (RFC 3161 §2.4.1); ``ValueError`` for anything this authority does not stamp."""
    version, imprint, *rest = der.read(der.read_one(data, der.SEQUENCE).content)
    if version.encoded != der.integer(1):
        raise ValueError("only version 1 of requests is known")
    algorithm, digest = der.read(imprint.content)
    known = {der.object_identifier(oid): size for oid, size in DIGEST_SIZES.items()}
    oid = der.read(algorithm.content)[0].encoded
    if digest.tag != der.OCTET_STRING or known.get(oid) != len(digest.content):
        raise ValueError("the imprint is not SHA-256, SHA-384 or SHA-512")
    nonce, certificate = b"", False
    for value in rest:
        if value.tag == der.OBJECT_IDENTIFIER and value.encoded != der.object_identifier(POLICY):
            raise ValueError("another policy is asked for")
        if value.tag == der.INTEGER:
            nonce = value.encoded
        elif value.tag == der.BOOLEAN:
            certificate = value.content == b"\xff"
    return Query(imprint.encoded, nonce, certificate)


@dataclass(frozen=True, slots=True)
class TimestampAuthority:
    """A root, the certificate that signs, and a clock."""

    root: Authority
    leaf: Authority
    clock: Callable[[], datetime]

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The certificates, the one that signs first."""
        return (self.leaf.certificate, self.root.certificate)

    def answer(self, request: Request) -> Answer:
        """``POST /api/v1/timestamp``: 201 with a TimeStampResp, 400 for what it does not stamp."""
        try:
            query = parse_query(request.document())
        except ValueError as error:
            raise RefusedRequestError(400, f"not a time-stamp request: {error}") from error
        status = der.sequence(der.integer(0))  # granted
        return Answer(201, der.sequence(status, self._token(query)), "application/timestamp-reply")

    def _token(self, query: Query) -> bytes:
        info = der.sequence(
            der.integer(1),
            der.object_identifier(POLICY),
            query.imprint,
            der.integer(secrets.randbits(127) | 1),
            der.generalized_time(self.clock()),
            query.nonce,
        )
        certificates = b""
        if query.wants_certificate:
            certificates = der.encode(_CERTIFICATE_SET, self.leaf.certificate.public_bytes(Encoding.DER))
        signed = der.sequence(
            der.integer(3),
            der.set_of([_algorithm(_SHA256)]),
            der.sequence(der.object_identifier(_TST_INFO), der.explicit(0, der.octets(info))),
            certificates,
            der.set_of([self._signer(info)]),
        )
        return der.sequence(der.object_identifier(_SIGNED_DATA), der.explicit(0, signed))

    def _signer(self, info: bytes) -> bytes:
        certificate = self.leaf.certificate
        attributes = [
            _attribute(_CONTENT_TYPE, der.object_identifier(_TST_INFO)),
            _attribute(_MESSAGE_DIGEST, der.octets(hashlib.sha256(info).digest())),
            _attribute(_SIGNING_CERTIFICATE_V2, _signing_certificate(certificate)),
        ]
        # Signed as a SET, sent with the tag [0] (RFC 5652 §5.4).
        signature = self.leaf.key.sign(der.set_of(attributes), ec.ECDSA(SHA256()))
        issuer = der.sequence(certificate.issuer.public_bytes(), der.integer(certificate.serial_number))
        return der.sequence(
            der.integer(1),
            issuer,
            _algorithm(_SHA256),
            der.set_of(attributes, tag=_SIGNED_ATTRIBUTES),
            _algorithm(_ECDSA_SHA256),
            der.octets(signature),
        )


def make_timestamp_authority(clock: Callable[[], datetime]) -> TimestampAuthority:
    """New keys, named after today."""
    at = clock()
    root = make_root(f"SANDBOX time-stamp root {at:%Y-%m-%d}", at=at)
    leaf = make_timestamp_leaf(root, f"SANDBOX time-stamp authority {at:%Y-%m-%d}", at=at)
    return TimestampAuthority(root, leaf, clock)


def _algorithm(oid: str) -> bytes:
    return der.sequence(der.object_identifier(oid))


def _attribute(oid: str, value: bytes) -> bytes:
    return der.sequence(der.object_identifier(oid), der.set_of([value]))


def _signing_certificate(certificate: x509.Certificate) -> bytes:
    """SigningCertificateV2: SHA-256 of the certificate, the default algorithm left out (RFC 5035 §3)."""
    digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    return der.sequence(der.sequence(der.sequence(der.octets(digest))))
