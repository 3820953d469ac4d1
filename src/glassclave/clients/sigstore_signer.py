"""Keyless signing: one certificate for all signatures of an artifact (Fulcio, Rekor v1, TSA)."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from glassclave.clients.sigstore_trust import Trust
from glassclave.clients.sigstore_verifier import SigstoreVerifier
from glassclave.errors import GlassclaveError, UnavailableError, UsageError
from glassclave.fields import Fields, parse_json
from glassclave.provenance.claims import Claims, parse_claims
from glassclave.provenance.cosign import LegacySignature
from glassclave.provenance.evidence import SignedPayload

_Result = TypeVar("_Result")
_TOKEN = re.compile(r"eyJ[\w.+/=-]{16,}")
"""The beginning of every JSON object in base64: a token, or a part of one."""


def check_signing(trust: Trust, token: str) -> None:
    """Whether a certificate can be asked for, without asking: before anything is pushed.

    Raises `UsageError` ``sign.config.none``, ``sign.identity.form``.
    """
    _services(trust)
    _identity(token)


@contextmanager
def open_signer(trust: Trust, token: str) -> Iterator[SigstoreSigner]:
    """A signer with a certificate for ``token``. Raises `UnavailableError` ``sign.*``, `UsageError`."""
    from sigstore.sign import SigningContext

    from glassclave.clients.sigstore_http import bound_sessions

    config, identity = _services(trust), _identity(token)
    context = _asking("certificate", lambda: SigningContext.from_trust_config(config))
    bound_sessions(context)
    manager = context.signer(identity)
    signer = _asking("certificate", manager.__enter__, secret=token)
    try:
        certificate = _asking("certificate", signer._signing_cert, secret=token)
        yield SigstoreSigner(signer, trust, parse_claims(certificate.public_bytes(Encoding.DER)))
    finally:
        manager.__exit__(None, None, None)


def _services(trust: Trust) -> Any:
    """The configuration of services to sign with."""
    if trust.config is None:
        raise UsageError(
            "sign.config.none",
            "the trust configuration names no services to sign with",
            hint="give a ClientTrustConfig, not only a trusted root",
        )
    return trust.config


def _identity(token: str) -> Any:
    """The library's view of a token that may be used now."""
    from sigstore.oidc import IdentityError, IdentityToken

    try:
        return IdentityToken(token)
    except IdentityError as error:  # its cause says what is wrong and quotes nothing of the token
        raise UsageError(
            "sign.identity.form",
            f"cannot sign with this identity token: {error}: {error.__cause__ or 'too early or too late'}",
            hint="give a fresh token for the audience sigstore",
        ) from error


def _asking(what: str, ask: Callable[[], _Result], *, secret: str = "") -> _Result:
    """Whatever goes wrong with a service is one typed error with the service's own words."""
    try:
        return ask()
    except GlassclaveError:
        raise
    except Exception as error:  # the library lets its HTTP stack's and pydantic's errors out
        raise UnavailableError(
            f"sign.{what}.failed",
            f"the {what} was not given: {_words(error, secret)}",
            hint="try again later",
        ) from error


def _words(error: BaseException, secret: str) -> str:
    """The most telling message: the library hides a service's answer in the error's cause.

    A service may repeat what it was sent, the identity token too: that is good for minutes to whoever reads
    a log.
    """
    response = getattr(error.__cause__, "response", None)
    text = str(getattr(response, "text", None) or str(error) or type(error).__name__)
    if secret:
        text = text.replace(secret, "***")
    return _TOKEN.sub("***", text)[:500]


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What the library warns of, which it would print itself otherwise, unescaped and beside any error."""
    logger, handler = logging.getLogger("sigstore"), _Collector(logging.WARNING)
    printed, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield handler.said
    finally:
        logger.removeHandler(handler)
        logger.propagate = printed


class _Collector(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the message."""
        self.said.append(record.getMessage())


@dataclass(frozen=True, slots=True)
class SigstoreSigner:
    """`Signer` over sigstore-python's."""

    signer: Any
    trust: Trust
    claims: Claims

    def sign_payload(self, payload: bytes) -> SignedPayload:
        """See `Signer`."""
        with _warnings() as said:
            bundle = _asking("signature", lambda: self.signer.sign_artifact(payload))
        material = _Material.parse(bundle.to_json(), said)
        signature = material.fields.child("messageSignature").text("signature")
        legacy = LegacySignature(
            payload=payload,
            signature=signature,
            certificate=_pem(material.certificate),
            chain=self._chain(material.certificate),
            bundle=material.log_annotation(),
            timestamp=json.dumps({"SignedRFC3161Timestamp": material.timestamp}, separators=(",", ":")),
        )
        _refuse_what_does_not_hold(self.trust, lambda verifier: verifier.verify_legacy(legacy))
        return SignedPayload(signature=legacy, log_index=material.log_index)

    def sign_statement(self, statement: bytes) -> bytes:
        """See `Signer`."""
        from sigstore.dsse import Statement

        with _warnings() as said:
            bundle = _asking("signature", lambda: self.signer.sign_dsse(Statement(statement)))
        text = str(bundle.to_json())
        _Material.parse(text, said)
        _refuse_other_stamps(self.trust, bundle)
        _refuse_what_does_not_hold(self.trust, lambda verifier: verifier.verify_bundle(text.encode()))
        return text.encode()

    def _chain(self, certificate: bytes) -> str:
        """PEM of the authority's certificates above the leaf."""
        leaf = x509.load_der_x509_certificate(certificate)
        for authority in self.trust.keys.authorities:
            if authority.issued(leaf):
                return "".join(_pem(der) for der in authority.chain)
        return ""


def _refuse_what_does_not_hold(trust: Trust, verify: Callable[[SigstoreVerifier], object]) -> None:
    """A service with another key gives signatures that nobody accepts: none is pushed."""
    try:
        verify(SigstoreVerifier(trust))
    except GlassclaveError as error:
        raise UnavailableError(
            "sign.signature.failed",
            f"what the services gave does not hold: {error.message} [{error.code}]",
            hint="the services and the trust root must belong together",
        ) from error


def _refuse_other_stamps(trust: Trust, bundle: Any) -> None:
    """A bundle that the log vouches for is good without its time-stamp, and one that is wrong is no stamp."""
    from sigstore.verify import Verifier

    verifier = Verifier(trusted_root=trust.root)
    if not _asking("signature", lambda: verifier._verify_timestamp_authority(bundle)):
        raise UnavailableError(
            "sign.timestamp.missing",
            "the time-stamp is of no authority that the trust root names",
            hint="the services and the trust root must belong together",
        )


def _pem(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()


@dataclass(frozen=True, slots=True)
class _Material:
    """The parts of a fresh bundle that must be there before anything is published."""

    fields: Fields
    certificate: bytes
    entry: Fields
    promise: str
    timestamp: str

    @classmethod
    def parse(cls, text: str, said: list[str]) -> _Material:
        source = "the new signature"
        top = Fields.of(parse_json(text.encode(), source=source), source=source)
        material = top.child("verificationMaterial")
        entry = next(material.objects("tlogEntries", limit=8), None)
        stamps = (
            list(material.child("timestampVerificationData").objects("rfc3161Timestamps", limit=32))
            if material.has("timestampVerificationData")
            else []
        )
        if entry is None or not entry.has("inclusionPromise"):
            raise UnavailableError(
                "sign.log.version",
                "the log gave no promise (SET): it is not Rekor version 1",
                hint="use a signing configuration with Rekor v1: cosign's `.sig` layout needs it",
            )
        if not stamps:
            why = f": {said[-1]}" if said else ""
            raise UnavailableError(
                "sign.timestamp.missing",
                f"no time-stamp authority answered{why}"[:500],
                hint="try again later",
            )
        return cls(
            fields=top,
            certificate=base64.b64decode(material.child("certificate").text("rawBytes")),
            entry=entry,
            promise=entry.child("inclusionPromise").text("signedEntryTimestamp"),
            timestamp=stamps[0].text("signedTimestamp"),
        )

    @property
    def log_index(self) -> int:
        return int(self.entry.text("logIndex"))

    def log_annotation(self) -> str:
        """The log entry as cosign's ``bundle`` annotation holds it."""
        log_id = base64.b64decode(self.entry.child("logId").text("keyId")).hex()
        payload = {
            "body": self.entry.text("canonicalizedBody"),
            "integratedTime": int(self.entry.text("integratedTime")),
            "logIndex": self.log_index,
            "logID": log_id,
        }
        return json.dumps({"SignedEntryTimestamp": self.promise, "Payload": payload}, separators=(",", ":"))
