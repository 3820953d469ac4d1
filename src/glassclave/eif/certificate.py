"""The signing certificate inside an image, and the words that OpenSSL and ``describe-eif`` have for it."""

from __future__ import annotations

import binascii
import re
import unicodedata
import warnings
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from glassclave.errors import ParseError, RefusedError

_PEM = re.compile(
    rb"^-----BEGIN CERTIFICATE-----[ \t]*\r?\n(.*?)^-----END CERTIFICATE-----", re.DOTALL | re.MULTILINE
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ATTRIBUTES = {
    "2.5.4.3": "commonName",
    "2.5.4.4": "surname",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "countryName",
    "2.5.4.7": "localityName",
    "2.5.4.8": "stateOrProvinceName",
    "2.5.4.9": "streetAddress",
    "2.5.4.10": "organizationName",
    "2.5.4.11": "organizationalUnitName",
    "2.5.4.12": "title",
    "2.5.4.13": "description",
    "2.5.4.15": "businessCategory",
    "2.5.4.17": "postalCode",
    "2.5.4.41": "name",
    "2.5.4.42": "givenName",
    "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier",
    "2.5.4.46": "dnQualifier",
    "2.5.4.65": "pseudonym",
    "2.5.4.97": "organizationIdentifier",
    "1.2.840.113549.1.9.1": "emailAddress",
    "1.2.840.113549.1.9.2": "unstructuredName",
    "0.9.2342.19200300.100.1.1": "userId",
    "0.9.2342.19200300.100.1.25": "domainComponent",
}
_ALGORITHMS = {
    "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.2.840.10045.4.3.1": "ecdsa-with-SHA224",
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
    "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
    "1.2.840.113549.1.1.10": "rsassaPss",
    "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
    "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
    "1.2.840.113549.1.1.14": "sha224WithRSAEncryption",
    "1.3.101.112": "ED25519",
    "1.3.101.113": "ED448",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningCertificate:
    """First certificate of a signature section. Claims of its maker: nothing here is verified.

    ``issuer``: OpenSSL long name of an attribute (dotted number where it has none) to its text, sorted;
    ``signature`` is the certificate's own. Times are aware, UTC.
    """

    der: bytes
    issuer: dict[str, str]
    algorithm: str
    not_before: datetime
    not_after: datetime
    signature: bytes
    public_key: ec.EllipticCurvePublicKey


def parse_certificate(pem: bytes) -> SigningCertificate:
    """First certificate of a PEM file; text around it, CRLF and further certificates are allowed.

    Raises `ParseError` ``eif.certificate.pem``, ``eif.certificate.der``, ``eif.certificate.key``.
    """
    der = _first_der(pem)
    try:
        # Odd names and serial numbers are the business of the issuer, not a warning of ours.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            certificate = x509.load_der_x509_certificate(der)
            issuer = {_attribute_name(item): _attribute_text(item) for item in certificate.issuer}
            algorithm = certificate.signature_algorithm_oid.dotted_string
            not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            signature = certificate.signature
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        # TypeError: a name with a bit string in it, for one.
        raise ParseError("eif.certificate.der", "the certificate is not readable X.509") from error
    return SigningCertificate(
        der=der,
        issuer=dict(sorted(issuer.items())),
        algorithm=_ALGORITHMS.get(algorithm, algorithm),
        not_before=not_before,
        not_after=not_after,
        signature=signature,
        public_key=_public_key(certificate),
    )


def count_certificates(pem: bytes) -> int:
    """How many certificates a PEM file holds; AWS's tools use the first and keep the file as it is."""
    return len(_PEM.findall(pem))


def check_validity(certificate: SigningCertificate, *, at: datetime) -> None:
    """Refuse a certificate outside its dates, as the hypervisor does at launch (nitro-cli issue 243).

    Raises `RefusedError` ``eif.certificate.not-yet-valid``, ``eif.certificate.expired``.
    """
    hint = "an enclave with it would not start; have a new certificate made"
    if at < certificate.not_before:
        day = f"{certificate.not_before:%Y-%m-%d %H:%M:%SZ}"
        raise RefusedError(
            "eif.certificate.not-yet-valid", f"the signing certificate is valid from {day} only", hint=hint
        )
    if at > certificate.not_after:
        day = f"{certificate.not_after:%Y-%m-%d %H:%M:%SZ}"
        raise RefusedError(
            "eif.certificate.expired", f"the signing certificate has expired on {day}", hint=hint
        )


def openssl_time(moment: datetime) -> str:
    """A UTC time as OpenSSL prints it: ``Nov  3 05:41:21 2026 GMT``. Independent of the locale."""
    return f"{_MONTHS[moment.month - 1]} {moment.day:2} {moment:%H:%M:%S} {moment.year} GMT"


def _first_der(pem: bytes) -> bytes:
    match = _PEM.search(pem)
    if match is None:
        raise ParseError(
            "eif.certificate.pem",
            "the signing certificate is not PEM",
            hint="convert it: openssl x509 -inform der -in CERTIFICATE -out certificate.pem",
        )
    try:
        return binascii.a2b_base64(b"".join(match[1].split()), strict_mode=True)
    except binascii.Error as error:
        raise ParseError("eif.certificate.pem", "the signing certificate is not base64 inside") from error


def _public_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    try:
        key = certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ParseError("eif.certificate.key", "the certificate's key is not readable") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ParseError("eif.certificate.key", "the certificate's key is not an elliptic curve key")
    return key


def _attribute_name(attribute: x509.NameAttribute[str | bytes]) -> str:
    number = attribute.oid.dotted_string
    return _ATTRIBUTES.get(number, number)


def _attribute_text(attribute: x509.NameAttribute[str | bytes]) -> str:
    """The text as ``describe-eif`` prints it: Rust's debug form without its quotation marks."""
    value = attribute.value
    text = value if isinstance(value, str) else value.decode("latin-1")
    return "".join(_debug_form(char) for char in text)


def _debug_form(char: str) -> str:
    known = {"\\": "\\\\", '"': "\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
    if char in known:
        return known[char]
    hidden = not char.isprintable() or unicodedata.category(char) in ("Mn", "Me")
    return f"\\u{{{ord(char):x}}}" if hidden else char
