"""The certificate chain: a walk in fixed order from the pinned root to the leaf, every check written out.

No path building: the bundle's order is part of the format (root first, "attestation process" §3.2.3.1), so
certificates that do not belong to the path cannot be smuggled in, and only byte equality makes a root.
Revocation is not checked, as AWS specifies. The checks follow RFC 5280 §6.1 and AWS's list.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from glassclave.errors import ParseError, RefusedError

_UNREADABLE = (
    ValueError,
    TypeError,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
    UnsupportedAlgorithm,
)
_LEAF = "certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What the walk needs of a certificate, read at once: the library parses fields only when asked for them.

    ``place``: its path in the document (``cabundle[1]``). ``ca`` and ``ca_critical``: of basicConstraints,
    ``None`` without that extension. ``strange``: critical extensions that this code does not understand.
    """

    place: str
    der: bytes = field(repr=False)
    parsed: x509.Certificate = field(repr=False)
    version: x509.Version
    algorithm: x509.ObjectIdentifier
    subject: x509.Name = field(repr=False)
    common_name: str | None
    not_before: datetime
    not_after: datetime
    key: object = field(repr=False)
    ca: bool | None
    ca_critical: bool
    path_length: int | None
    signs_certificates: bool
    signs_data: bool
    strange: tuple[str, ...]

    @property
    def subject_text(self) -> str:
        """The whole name as people read it (RFC 4514), written only where somebody asks for it."""
        return self.subject.rfc4514_string()

    @property
    def sha256(self) -> str:
        """SHA-256 of the DER, hex."""
        return hashlib.sha256(self.der).hexdigest()


def parse_certificate(der: bytes, *, place: str) -> Certificate:
    """One DER certificate; `ParseError` ``attestation.chain.certificate`` when it cannot be read whole."""
    return _parsed([(place, der)])[0]


def _parsed(certificates: Iterable[tuple[str, bytes]]) -> list[Certificate]:
    with warnings.catch_warnings():
        # The library warns of oddities in foreign certificates; what matters is checked below.
        warnings.simplefilter("ignore")
        return [_certificate(der, place) for place, der in certificates]


@lru_cache(maxsize=64)
def _certificate(der: bytes, place: str) -> Certificate:
    """Remembered: the documents of one host share all authorities, those of one enclave the leaf too. Only
    what stands in a certificate is, never a judgement of it."""
    try:
        return _read(x509.load_der_x509_certificate(der), der, place)
    except _UNREADABLE as error:
        raise ParseError(
            "attestation.chain.certificate", "is not a readable X.509 certificate", field=place
        ) from error


def _read(parsed: x509.Certificate, der: bytes, place: str) -> Certificate:
    basic = usage = None
    strange: list[str] = []
    basic_critical = False
    for extension in parsed.extensions:
        if isinstance(extension.value, x509.BasicConstraints):
            basic, basic_critical = extension.value, extension.critical
        elif isinstance(extension.value, x509.KeyUsage):
            usage = extension.value
        elif extension.critical:
            strange.append(extension.oid.dotted_string)
    names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Certificate(
        place=place,
        der=der,
        parsed=parsed,
        version=parsed.version,
        algorithm=parsed.signature_algorithm_oid,
        subject=parsed.subject,
        common_name=str(names[0].value) if len(names) == 1 else None,
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        key=parsed.public_key(),
        ca=None if basic is None else basic.ca,
        ca_critical=basic_critical,
        path_length=None if basic is None else basic.path_length,
        signs_certificates=usage is not None and usage.key_cert_sign,
        signs_data=usage is not None and usage.digital_signature,
        strange=tuple(strange),
    )


def parse_chain(cabundle: Sequence[bytes], certificate: bytes) -> tuple[Certificate, ...]:
    """The certificates of a document, root first, leaf last."""
    bundle = [(f"cabundle[{index}]", der) for index, der in enumerate(cabundle)]
    return tuple(_parsed([*bundle, (_LEAF, certificate)]))


def verify_path(chain: Sequence[Certificate]) -> None:
    """Return when every certificate was rightly issued by the one before it; the root must be pinned already.

    Raises `RefusedError` ``attestation.chain.*`` naming the first certificate that breaks a rule. Says
    nothing about time: `verify_validity` does.
    """
    *authorities, leaf = chain
    for certificate in chain:
        _verify_form(certificate)
    for index, authority in enumerate(authorities):
        _verify_authority(authority, below=len(authorities) - 1 - index)
    _verify_leaf(leaf)
    for issuer, certificate in pairwise(chain):
        _verify_issued(certificate, issuer)


def verify_validity(chain: Sequence[Certificate], at: datetime) -> None:
    """Return when ``at`` (aware) lies inside the validity of every certificate, root included."""
    for certificate in chain:
        if at < certificate.not_before:
            raise RefusedError(
                "attestation.chain.not-yet-valid",
                f"{certificate.place} is valid only from {certificate.not_before:%Y-%m-%d %H:%M:%SZ}",
                field=certificate.place,
            )
        if at > certificate.not_after:
            raise RefusedError(
                "attestation.chain.expired",
                f"{certificate.place} was valid only until {certificate.not_after:%Y-%m-%d %H:%M:%SZ}",
                field=certificate.place,
            )


def _refused(rule: str, certificate: Certificate, message: str) -> RefusedError:
    return RefusedError(
        f"attestation.chain.{rule}", f"{certificate.place} {message}", field=certificate.place
    )


def _verify_form(certificate: Certificate) -> None:
    """What AWS writes in every certificate: version 3, P-384, ECDSA with SHA-384."""
    if certificate.version is not x509.Version.v3:
        raise _refused("version", certificate, "is not an X.509 version 3 certificate")
    if not isinstance(certificate.key, ec.EllipticCurvePublicKey) or not isinstance(
        certificate.key.curve, ec.SECP384R1
    ):
        raise _refused("key", certificate, "has a key that is not on P-384")
    if certificate.algorithm != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
        raise _refused("algorithm", certificate, "is not signed with ECDSA and SHA-384")
    if certificate.strange:
        raise _refused(
            "critical-extension",
            certificate,
            f"has a critical extension that is not understood ({certificate.strange[0]})",
        )


def _verify_authority(certificate: Certificate, *, below: int) -> None:
    """``below``: authorities between this one and the leaf (RFC 5280 §4.2.1.9, §4.2.1.3)."""
    if not certificate.ca or not certificate.ca_critical:
        raise _refused("authority", certificate, "issued a certificate without being an authority")
    if certificate.path_length is not None and certificate.path_length < below:
        raise _refused(
            "path-length",
            certificate,
            f"allows {certificate.path_length} authorities below it, there are {below}",
        )
    if not certificate.signs_certificates:
        raise _refused("key-usage", certificate, "has a key that is not meant to sign certificates")


def _verify_leaf(certificate: Certificate) -> None:
    if certificate.ca:
        raise _refused("authority", certificate, "is an authority, not an enclave's certificate")
    if certificate.path_length is not None:
        raise _refused("path-length", certificate, "has a path length, which only authorities have")
    if not certificate.signs_data or certificate.signs_certificates:
        raise _refused("key-usage", certificate, "has a key that is not meant to sign data, and data only")


def _verify_issued(certificate: Certificate, issuer: Certificate) -> None:
    try:
        # Compares names, inner and outer algorithm, and the signature over the bytes as they stand.
        certificate.parsed.verify_directly_issued_by(issuer.parsed)
    except (ValueError, TypeError, InvalidSignature) as error:
        if not _names(certificate, issuer):
            raise _refused("name", certificate, f"does not name {issuer.place} as its issuer") from error
        raise _refused("signature", certificate, f"was not signed by {issuer.place}") from error


def _names(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether it names its issuer: read only to say what is wrong, for a tenth of the whole walk's time."""
    try:
        return certificate.parsed.issuer == issuer.subject
    except _UNREADABLE:
        return False
