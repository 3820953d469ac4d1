"""Whom to trust: the public-good Sigstore through TUF, or a file that the user names."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glassclave.clients.clock import now
from glassclave.clients.sigstore_keys import Authority, TrustedKeys, odd_names_pass, read_keys
from glassclave.errors import LimitError, ParseError, UnavailableError
from glassclave.fields import Fields, parse_json
from glassclave.provenance.evidence import TrustRoot

if TYPE_CHECKING:
    from sigstore.models import ClientTrustConfig, TrustedRoot

CLIENT_TRUST_CONFIG = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
PUBLIC_GOOD = "Sigstore public good"
MAX_SIZE = 4 << 20
MAX_VALUES = 4000
"""The public root has some 150; a bundle of Sigstore's some 60."""
_WANTED = "give sigstore's client trust configuration, or its trusted_root.json"


@dataclass(frozen=True, slots=True)
class Trust:
    """A root of trust, and where to sign; ``config`` is ``None`` for a file that holds only a root."""

    identity: TrustRoot
    root: TrustedRoot
    config: ClientTrustConfig | None
    keys: TrustedKeys


def load_trust(config: bytes | None, *, source: str = "the trust configuration") -> Trust:
    """Trust of the public-good instance (``None``), or of a file: a ClientTrustConfig or a TrustedRoot.

    Raises `ParseError` ``trust.form``; `UnavailableError` ``trust.unavailable`` where TUF cannot be reached,
    ``trust.clock``.
    """
    with odd_names_pass():
        return _public_good() if config is None else _from_file(config, source)


def _public_good() -> Trust:
    from sigstore.errors import Error

    try:
        root, config = tuf_targets()
    except (Error, OSError) as error:
        raise UnavailableError(
            "trust.unavailable",
            f"Sigstore's trust root cannot be fetched: {error}",
            hint="check the connection, or name a file: --trust-config trusted_root.json",
        ) from error
    documents = {
        "mediaType": CLIENT_TRUST_CONFIG,
        "trustedRoot": parse_json(root, source=PUBLIC_GOOD, limit=MAX_SIZE),
        "signingConfig": parse_json(config, source=PUBLIC_GOOD, limit=MAX_SIZE),
    }
    return _read(documents, PUBLIC_GOOD, public_good=True)


def tuf_targets(*, offline: bool = False) -> tuple[bytes, bytes]:
    """Trusted root and signing configuration of the public-good Sigstore, as its TUF repository holds them.

    ``offline``: what the library ships or its cache holds, unverified; for tests alone. Private to
    sigstore-python, whose public way hands out a root that is no longer byte for byte the published one: its
    fingerprint would differ from that of the same root given as a file.
    """
    from sigstore._internal.tuf import DEFAULT_TUF_URL, TrustUpdater

    updater = TrustUpdater(DEFAULT_TUF_URL, offline)
    paths = (updater.get_trusted_root_path(), updater.get_signing_config_path())
    root, config = (Path(path).read_bytes() for path in paths)
    return root, config


def library_words(error: BaseException) -> str:
    """What the library says, on one line and short: pydantic's errors have lines for every field."""
    return " ".join(str(error)[:2000].split())[:300]


def refuse_many_values(data: bytes, code: str) -> None:
    """Before a document goes to the library, which keeps hundreds of bytes for every value that is wrong.

    Commas are an upper bound of values, but for one in each array or object. `LimitError` with ``code``.
    """
    if data.count(b",") > MAX_VALUES or data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise LimitError(code, f"holds more than {MAX_VALUES:,} values")


def _from_file(data: bytes, source: str) -> Trust:
    try:
        refuse_many_values(data, "trust.form")
        document = parse_json(data, source=source, limit=MAX_SIZE)
    except ParseError as error:
        error.source, error.hint = source, _WANTED
        raise
    return _read(document, source, public_good=False)


def _read(document: object, source: str, *, public_good: bool) -> Trust:
    """The library reads the very document that is fingerprinted: no second spelling of a key gets past."""
    from sigstore.errors import Error
    from sigstore.models import ClientTrustConfig, TrustedRoot
    from sigstore_models.trustroot import v1 as trustroot_v1

    top = Fields.of(document, source=source)
    whole = top.optional_text("mediaType") == CLIENT_TRUST_CONFIG
    root_document = top.value("trustedRoot") if whole else document
    try:
        config = ClientTrustConfig.from_json(json.dumps(document)) if whole else None
        root = TrustedRoot(trustroot_v1.TrustedRoot.from_json(json.dumps(root_document)))
        sha256 = _fingerprint(root_document)
    except (Error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ParseError(
            "trust.form",
            f"is neither a ClientTrustConfig nor a TrustedRoot: {library_words(error)}",
            source=source,
            hint=_WANTED,
        ) from error
    keys = read_keys(root_document, source)
    _refuse_an_early_clock(keys, source)
    name = PUBLIC_GOOD if public_good else _name(keys.authorities)
    return Trust(TrustRoot(name=name, sha256=sha256, public_good=public_good), root, config, keys)


def _refuse_an_early_clock(keys: TrustedKeys, source: str) -> None:
    """The library leaves out every authority that is not in use yet: each signature would seem to be bad."""
    at = now()
    starts = [authority.window.start for authority in keys.authorities]
    if all(start is not None and start > at for start in starts):
        raise UnavailableError(
            "trust.clock",
            f"no key of the trust root is in use yet, by the clock of this machine: it says {at:%Y-%m-%d}",
            source=source,
            hint="set the clock; with a wrong one, nothing can be signed or judged",
        )


def _fingerprint(document: object) -> str:
    """SHA-256 of the root's canonical JSON (RFC 8785): the same however the file is laid out."""
    import rfc8785

    return hashlib.sha256(rfc8785.dumps(document)).hexdigest()  # type: ignore[arg-type]  # JSON by construction


def _name(authorities: tuple[Authority, ...]) -> str:
    """How people call a custom root: organization and name of its last certificate."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    for authority in authorities:
        try:
            subject = x509.load_der_x509_certificate(authority.chain[-1]).subject
        except (ValueError, TypeError, IndexError, x509.InvalidVersion):
            continue
        telling = (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
        values = [str(one.value) for oid in telling for one in subject.get_attributes_for_oid(oid)]
        if values:
            return ", ".join(values)
    return "unnamed"
