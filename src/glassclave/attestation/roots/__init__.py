"""Trust anchors. AWS's commercial root is pinned here by the digest of its DER; it is the only default.

The us-gov root is shipped but off: its fingerprint could not be confirmed at a second, independent source.
Anything but the pinned root is *custom trust*, and every result says so.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from importlib import resources

from glassclave.attestation.chain import parse_certificate
from glassclave.digests import same_bytes
from glassclave.errors import ParseError, UnavailableError

AWS_G1_SHA256 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
"""SHA-256 of the DER of "AWS Nitro Enclaves Root-G1" (AWS user guide, "Verifying the root of trust")."""
AWS_US_GOV_SHA256 = "20bcd30a3e168ea03789e1c45912bc123c4de3c977b8a6e1c125c7929d668b3b"
"""Computed from the PEM of the AWS GovCloud user guide, not confirmed by a second source."""
US_GOV = "aws-us-gov"
"""What ``--attestation-root`` calls the shipped us-gov root."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustAnchor:
    """A root that documents may end in. ``custom`` is true for every root but AWS's pinned one."""

    name: str
    der: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """SHA-256 of the DER, hex."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def custom(self) -> bool:
        """Whether results must say ``UNDER CUSTOM TRUST``."""
        return self.sha256 != AWS_G1_SHA256


def aws_root() -> TrustAnchor:
    """AWS's commercial root, checked against the digest in this file."""
    return _shipped("aws-g1.pem", AWS_G1_SHA256, "AWS Nitro Enclaves Root-G1")


def us_gov_root() -> TrustAnchor:
    """The root of the aws-us-gov partition: custom trust until its fingerprint is confirmed."""
    return _shipped("aws-us-gov.pem", AWS_US_GOV_SHA256, "AWS us-gov root, fingerprint not confirmed")


def parse_root(data: bytes, *, source: str) -> TrustAnchor:
    """The root in a PEM or DER file, exactly one certificate, named by its subject.

    `ParseError` ``attestation.root.*`` names ``source``. AWS's own root is recognised by its digest.
    """
    der = _single_der(data, source)
    if same_bytes(hashlib.sha256(der).hexdigest().encode(), AWS_G1_SHA256.encode()):
        return aws_root()
    try:
        certificate = parse_certificate(der, place="root")
    except ParseError as error:
        raise ParseError("attestation.root.syntax", error.message, source=source) from error
    return TrustAnchor(name=certificate.common_name or certificate.subject_text, der=der)


def _single_der(data: bytes, source: str) -> bytes:
    if b"-----BEGIN" not in data:
        return data
    blocks = _PEM.findall(data)
    if len(blocks) != 1 or data.count(b"-----BEGIN") != 1:
        raise ParseError(
            "attestation.root.count", "must hold exactly one certificate and nothing else", source=source
        )
    try:
        return base64.b64decode(b"".join(blocks[0].split()), validate=True)
    except binascii.Error as error:
        raise ParseError("attestation.root.syntax", "is not PEM", source=source) from error


def _shipped(name: str, sha256: str, title: str) -> TrustAnchor:
    data = resources.files(__package__).joinpath(name).read_bytes()
    anchor = TrustAnchor(name=title, der=_single_der(data, name))
    if anchor.sha256 != sha256:
        raise UnavailableError(
            "attestation.root.damaged",
            "is not the root that this program pins",
            source=name,
            hint="install glassclave again: its files were changed",
        )
    return anchor
