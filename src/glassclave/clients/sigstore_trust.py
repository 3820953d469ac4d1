"""Whom to trust: the public-good Sigstore through TUF, or a file that the user names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glassclave.errors import ParseError, UnavailableError
from glassclave.fields import Fields, parse_json
from glassclave.provenance.evidence import TrustRoot

if TYPE_CHECKING:
    from sigstore.models import ClientTrustConfig, TrustedRoot

CLIENT_TRUST_CONFIG = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
PUBLIC_GOOD = "Sigstore public good"
MAX_SIZE = 4 << 20


@dataclass(frozen=True, slots=True)
class Trust:
    """A root of trust, and where to sign; ``config`` is ``None`` for a file that holds only a root."""

    identity: TrustRoot
    root: TrustedRoot
    config: ClientTrustConfig | None
    authorities: tuple[tuple[bytes, ...], ...]
    """Each certificate authority's chain (DER, leaf side first), for cosign's chain annotation."""


def load_trust(config: bytes | None, *, source: str = "the trust configuration") -> Trust:
    """Trust of the public-good instance (``None``), or of a file: a ClientTrustConfig or a TrustedRoot.

    Raises `ParseError` ``trust.form``; `UnavailableError` ``trust.unavailable`` where TUF cannot be reached.
    """
    return _public_good() if config is None else _from_file(config, source)


def _public_good() -> Trust:
    from sigstore.errors import Error
    from sigstore.models import ClientTrustConfig

    try:
        config = ClientTrustConfig.production()
        text = config._inner.trusted_root.to_json()
    except (Error, OSError, ValueError) as error:
        raise UnavailableError(
            "trust.unavailable",
            f"Sigstore's trust root cannot be fetched: {error}",
            hint="check the connection, or name a file: --trust-config trusted_root.json",
        ) from error
    document = parse_json(text.encode(), source=PUBLIC_GOOD, limit=MAX_SIZE)
    identity = TrustRoot(name=PUBLIC_GOOD, sha256=_fingerprint(document), public_good=True)
    return Trust(identity, config.trusted_root, config, _authorities(document, PUBLIC_GOOD))


def _from_file(data: bytes, source: str) -> Trust:
    from sigstore.errors import Error
    from sigstore.models import ClientTrustConfig, TrustedRoot
    from sigstore_models.trustroot import v1 as trustroot_v1

    document = parse_json(data, source=source, limit=MAX_SIZE)
    top = Fields.of(document, source=source)
    whole = top.optional_text("mediaType") == CLIENT_TRUST_CONFIG
    root_document = top.value("trustedRoot") if whole else document
    try:
        config = ClientTrustConfig.from_json(data.decode()) if whole else None
        root = (
            config.trusted_root
            if config is not None
            else TrustedRoot(trustroot_v1.TrustedRoot.from_json(data))
        )
    except (Error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ParseError(
            "trust.form",
            f"is neither a ClientTrustConfig nor a TrustedRoot: {error}",
            source=source,
            hint="give sigstore's client trust configuration, or its trusted_root.json",
        ) from error
    authorities = _authorities(root_document, source)
    identity = TrustRoot(name=_name(authorities), sha256=_fingerprint(root_document), public_good=False)
    return Trust(identity, root, config, authorities)


def _fingerprint(document: object) -> str:
    """SHA-256 of the root's canonical JSON (RFC 8785): the same however the file is laid out."""
    import rfc8785

    return hashlib.sha256(rfc8785.dumps(document)).hexdigest()  # type: ignore[arg-type]  # JSON by construction


def _authorities(document: object, source: str) -> tuple[tuple[bytes, ...], ...]:
    import base64
    import binascii

    chains = []
    root = Fields.of(document, source=source)
    for authority in root.objects("certificateAuthorities", limit=64):
        certificates = authority.child("certChain").objects("certificates", limit=16)
        try:
            chains.append(
                tuple(base64.b64decode(entry.text("rawBytes"), validate=True) for entry in certificates)
            )
        except binascii.Error as error:
            raise ParseError("trust.form", "a certificate is not base64", source=source) from error
    return tuple(chains)


def _name(authorities: tuple[tuple[bytes, ...], ...]) -> str:
    """How people call a custom root: the subject of its last certificate."""
    from cryptography import x509

    for chain in authorities:
        try:
            subject = x509.load_der_x509_certificate(chain[-1]).subject
        except (ValueError, IndexError, x509.InvalidVersion):
            continue
        values = [str(attribute.value) for attribute in subject]
        if values:
            return ", ".join(values)
    return "unnamed"
