"""What the flows need of a Sigstore. `glassclave.clients.sigstore` implements it; tests bring fakes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from glassclave.provenance.claims import Claims
from glassclave.provenance.cosign import LegacySignature


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRoot:
    """Whom signatures must lead to. ``sha256``: hex, of the trusted root's RFC 8785 form."""

    name: str
    sha256: str
    public_good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedSignature:
    """A signature that holds: by whom, when, over what, and where it is logged.

    ``kind``: ``cosign`` (`.sig`) or ``bundle``. ``payload``: the exact bytes that are signed (the simple
    signing document, or the in-toto statement); they are not interpreted yet.
    """

    kind: str
    claims: Claims
    signed_at: datetime
    log_index: int
    payload_type: str
    payload: bytes
    certificate_der: bytes


class SignatureVerifier(Protocol):
    """Judges signatures under one trust root, each at the signed time in its own evidence."""

    @property
    def trust(self) -> TrustRoot:
        """The root that is demanded."""
        ...

    def verify_bundle(self, bundle: bytes) -> VerifiedSignature:
        """A DSSE bundle. Raises `RefusedError` or `ParseError` ``signature.*``."""
        ...

    def verify_legacy(self, signature: LegacySignature) -> VerifiedSignature:
        """A signature in cosign's `.sig` layout. Raises as `verify_bundle`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPayload:
    """A `.sig` signature that was just made, and its place in the log."""

    signature: LegacySignature
    log_index: int


class Signer(Protocol):
    """Signs with one certificate."""

    @property
    def claims(self) -> Claims:
        """What the certificate says."""
        ...

    def sign_payload(self, payload: bytes) -> SignedPayload:
        """A signature for cosign's `.sig` layout."""
        ...

    def sign_statement(self, statement: bytes) -> bytes:
        """A bundle over an in-toto statement."""
        ...
