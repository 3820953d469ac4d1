"""What is wrong, or only odd, with a certificate that is to sign an image.

AWS's tools sign with any certificate whose key they can use. The hypervisor looks at its dates when the
enclave starts (nitro-cli issue 243), and whoever expects PCR8 expects these bytes for as long as it is valid:
what is noticed here, before anything is signed, costs nobody a launch.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from glassclave.eif.certificate import (
    SigningCertificate,
    check_validity,
    count_certificates,
    parse_certificate,
)
from glassclave.errors import ParseError, UsageError
from glassclave.results import Finding, Severity

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

_WHERE = "signing certificate"
_BROKEN_HASHES = frozenset(
    {
        "ecdsa-with-SHA1",
        "sha1WithRSAEncryption",
        "1.2.840.113549.1.1.4",  # md5WithRSAEncryption
        "1.2.840.10040.4.3",  # dsa-with-sha1
    }
)


def lint_certificate(pem: bytes, *, at: datetime) -> tuple[SigningCertificate, tuple[Finding, ...]]:
    """The one certificate of a PEM file, fit to sign at ``at`` (aware), and what is odd about it.

    Raises `UsageError` ``eif.certificate.count`` where there is not exactly one; `RefusedError`
    ``eif.certificate.not-yet-valid``, ``eif.certificate.expired``; `ParseError` ``eif.certificate.pem``,
    ``eif.certificate.der``, ``eif.certificate.key``, ``eif.certificate.extensions``.
    """
    count = count_certificates(pem)
    if count > 1:
        # AWS's tools store the file as it is and use the first: a reader of the file sees others, too.
        raise UsageError(
            "eif.certificate.count",
            f"the certificate file holds {count} certificates, PCR8 is of one",
            hint="keep the signing certificate alone: openssl x509 -in CHAIN.pem -out certificate.pem",
        )
    certificate = parse_certificate(pem)
    check_validity(certificate, at=at)
    return certificate, tuple(_oddities(certificate))


def _oddities(certificate: SigningCertificate) -> Iterator[Finding]:
    curve = certificate.public_key.curve
    if not isinstance(curve, ec.SECP384R1):
        yield _warning(
            "eif.certificate.curve", f"its key is on {curve.name}; AWS's guide and its examples have P-384"
        )
    if certificate.algorithm in _BROKEN_HASHES:
        yield _warning("eif.certificate.sha1", "it is signed with a broken hash (SHA-1 or MD5)")
    extensions = _extensions(certificate.der)
    constraints = _find(extensions, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        # What `openssl req -x509` writes unasked: harmless, for nobody follows a chain to it.
        yield Finding(
            code="eif.certificate.ca",
            severity=Severity.NOTE,
            message="it says that it may issue certificates (CA:TRUE)",
            where=_WHERE,
        )
    usage = _find(extensions, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        yield _warning("eif.certificate.usage", "its key usage does not allow digital signatures")


def _extensions(der: bytes) -> x509.Extensions:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return x509.load_der_x509_certificate(der).extensions
    except (
        ValueError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise ParseError(
            "eif.certificate.extensions", "the extensions of the certificate are not readable"
        ) from error


def _find(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _warning(code: str, message: str) -> Finding:
    return Finding(code=code, severity=Severity.WARNING, message=message, where=_WHERE)
