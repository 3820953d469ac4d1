"""Signatures judged with sigstore-python, and cosign's `.sig` layout beside it.

sigstore-python knows bundles only. A `.sig` signature has a promise of the log (SET) and no inclusion proof:
its log entry is checked here; certificate chain, SCT and time go through the library's code for bundles.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from glassclave.clients.sigstore_keys import odd_names_pass
from glassclave.clients.sigstore_trust import Trust, library_words, refuse_many_values
from glassclave.digests import parse_hex
from glassclave.errors import GlassclaveError, ParseError, RefusedError
from glassclave.fields import Fields, parse_json
from glassclave.provenance.claims import parse_claims
from glassclave.provenance.cosign import PAYLOAD_MEDIA_TYPE, LegacySignature
from glassclave.provenance.evidence import TrustRoot, VerifiedSignature

_Result = TypeVar("_Result")
_MAX_ANNOTATION = 1 << 20


class AnyIdentity:
    """sigstore's policy hook. Identity is judged by our own policy room, on the same certificate."""

    def verify(self, certificate: x509.Certificate) -> None:
        """Accepts."""


@dataclass(frozen=True, slots=True)
class SigstoreVerifier:
    """`SignatureVerifier` under one trust root. No network."""

    source: Trust

    @property
    def trust(self) -> TrustRoot:
        """See `SignatureVerifier`."""
        return self.source.identity

    def verify_bundle(self, bundle: bytes) -> VerifiedSignature:
        """See `SignatureVerifier`."""
        return _guarded(lambda: self._bundle(bundle))

    def verify_legacy(self, signature: LegacySignature) -> VerifiedSignature:
        """See `SignatureVerifier`."""
        return _guarded(lambda: self._legacy(signature))

    def _bundle(self, data: bytes) -> VerifiedSignature:
        from sigstore.models import Bundle
        from sigstore.verify import Verifier

        refuse_many_values(data, "signature.form")
        parse_json(data, source="signature bundle")  # duplicate keys and the like end here
        bundle = Bundle.from_json(data)
        keys, certificate = self.source.keys, bundle.signing_certificate
        keys.check_issuer(certificate)
        verifier = Verifier(trusted_root=self.source.root)
        times = _proven_times(verifier, bundle)
        entry = bundle.log_entry._inner
        keys.check_log(entry.log_id.key_id, _logged_at(entry, times))
        payload_type, payload = verifier.verify_dsse(bundle, AnyIdentity())
        keys.check_times(certificate, times)
        der = certificate.public_bytes(Encoding.DER)
        return VerifiedSignature(
            kind="bundle",
            claims=parse_claims(der),
            signed_at=min(times),
            log_index=_proven_index(entry),
            payload_type=payload_type,
            payload=payload,
            certificate_der=der,
        )

    def _legacy(self, signature: LegacySignature) -> VerifiedSignature:
        from sigstore.verify import Verifier

        certificate = _certificate(signature.certificate)
        raw = _base64(signature.signature, "signature")
        entry = _LogEntry.parse(signature)
        entry.check_body(raw, certificate, signature.payload)
        _check_signature(certificate, raw, signature.payload)
        keys = self.source.keys
        keys.check_issuer(certificate)
        keys.check_log(entry.log_id, entry.integrated_at)
        verifier = Verifier(trusted_root=self.source.root)
        material = _as_bundle(certificate, raw, entry, signature.timestamp)
        if signature.timestamp and not verifier._verify_timestamp_authority(material):
            raise RefusedError("signature.time", "its time-stamp is of no trusted authority")
        verifier._verify_common_signing_cert(material, AnyIdentity())
        times = _proven_times(verifier, material)
        keys.check_times(certificate, times)
        der = certificate.public_bytes(Encoding.DER)
        return VerifiedSignature(
            kind="cosign",
            claims=parse_claims(der),
            signed_at=min(times),
            log_index=entry.index,
            payload_type=PAYLOAD_MEDIA_TYPE,
            payload=signature.payload,
            certificate_der=der,
        )


def _guarded(judge: Callable[[], _Result]) -> _Result:
    """The one place where everything is caught: on hostile input the library lets ValueError, AttributeError,
    pydantic's and asn1's errors out, and any of them means that the signature does not hold."""
    from sigstore.errors import CertValidationError, VerificationError
    from sigstore.models import InvalidBundle

    try:
        with odd_names_pass():
            return judge()
    except GlassclaveError:
        raise
    except CertValidationError as error:
        raise RefusedError(
            "signature.certificate.chain",
            f"the certificate leads to no trusted authority: {library_words(error)}",
        ) from error
    except VerificationError as error:
        raise RefusedError(_code_of(str(error)), f"does not hold: {library_words(error)}") from error
    except InvalidBundle as error:
        code = "signature.log.missing" if "exactly one log entry" in str(error) else "signature.form"
        raise ParseError(code, f"is no bundle that can be judged: {library_words(error)}") from error
    except Exception as error:  # see above: fail closed
        raise ParseError(
            "signature.form", f"cannot be read: {type(error).__name__}: {library_words(error)}"
        ) from error


def _proven_index(entry: Any) -> int:
    """The entry's place in the log: in the promise, or that of the proof. Nothing else covers it."""
    index = int(entry.log_index)
    proof = entry.inclusion_proof
    if not entry.inclusion_promise and (proof is None or int(proof.log_index) != index):
        raise RefusedError("signature.log.mismatch", "its log index is not that of its proof")
    return index


_CODES = (
    ("SCT", "signature.certificate.sct"),
    ("inconsistent", "signature.log.mismatch"),
    ("not match bundle", "signature.log.mismatch"),
    ("log entry", "signature.log.invalid"),
    ("Key usage", "signature.certificate.usage"),
    ("Extended usage", "signature.certificate.usage"),
    ("verified time", "signature.time"),
    ("expired", "signature.time"),
    ("imestamp", "signature.time"),
)


def _code_of(message: str) -> str:
    """Our reason for one of the library's messages; the message itself is shown beside it."""
    return next((code for part, code in _CODES if part in message), "signature.invalid")


def _proven_times(verifier: Any, material: Any) -> list[datetime]:
    """When it was signed, by each source: time-stamps that hold, and the log's promise (judged elsewhere)."""
    times: list[datetime] = [result.time for result in verifier._establish_time(material)]
    if not times:
        raise RefusedError("signature.time", "no time is proven at which it was made")
    return times


def _logged_at(entry: Any, times: list[datetime]) -> datetime:
    """When the log took it in; Rekor version 2 does not say, and then the time-stamp is the nearest."""
    if entry.inclusion_promise and entry.integrated_time:
        return datetime.fromtimestamp(entry.integrated_time, tz=UTC)
    return min(times)


def _certificate(pem: str) -> x509.Certificate:
    """Exactly one certificate: never a bare key in its place (GHSA-fx35-mq7g-6g98)."""
    if len(pem) > _MAX_ANNOTATION:
        raise ParseError("signature.certificate.form", "is too large")
    if pem.count("-----BEGIN ") != 1:  # another reader might take the other block, a key, say
        raise ParseError("signature.certificate.form", "is not exactly one certificate in PEM's form")
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise ParseError("signature.certificate.form", f"is no certificate: {error}") from error


def _base64(text: str, field: str) -> bytes:
    if len(text) > _MAX_ANNOTATION:
        raise ParseError("signature.form", "is too large", field=field)
    return base64.b64decode(text, validate=True)


def _check_signature(certificate: x509.Certificate, signature: bytes, payload: bytes) -> None:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise RefusedError("signature.certificate.key", "the certificate holds no elliptic-curve key")
    try:
        key.verify(signature, payload, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise RefusedError("signature.invalid", "is not over these bytes by this key") from error


@dataclass(frozen=True, slots=True)
class _LogEntry:
    """The ``bundle`` annotation: a Rekor v1 entry with the log's promise."""

    body: str
    integrated_time: int
    log_id: bytes
    index: int
    promise: bytes

    @property
    def integrated_at(self) -> datetime:
        """When the log says that it took the entry in."""
        return datetime.fromtimestamp(self.integrated_time, tz=UTC)

    @classmethod
    def parse(cls, signature: LegacySignature) -> _LogEntry:
        if not signature.bundle:
            raise RefusedError("signature.log.missing", "has no entry of the transparency log")
        source = "signature log entry"
        top = Fields.of(parse_json(signature.bundle.encode(), source=source), source=source)
        payload = top.child("Payload")
        return cls(
            body=payload.text("body", limit=_MAX_ANNOTATION),
            integrated_time=payload.integer("integratedTime", least=1),
            log_id=parse_hex(payload.text("logID", limit=128), field="logID", size=32),
            index=payload.integer("logIndex"),
            promise=_base64(top.text("SignedEntryTimestamp"), "SignedEntryTimestamp"),
        )

    def check_body(self, signature: bytes, certificate: x509.Certificate, payload: bytes) -> None:
        """The entry is about this signature, this certificate and these bytes (CVE-2026-22703: all four)."""
        source = "signature log entry body"
        top = Fields.of(parse_json(_base64(self.body, "body"), source=source), source=source)
        spec = top.child("spec")
        digest = spec.child("data").child("hash")
        logged = spec.child("signature")
        logged_certificate = _certificate(
            _base64(logged.child("publicKey").text("content"), "publicKey").decode()
        )
        holds = (
            top.text("kind") == "hashedrekord"
            and top.text("apiVersion") == "0.0.1"
            and digest.text("algorithm") == "sha256"
            and digest.text("value") == hashlib.sha256(payload).hexdigest()
            and _base64(logged.text("content"), "content") == signature
            and logged_certificate == certificate
        )
        if not holds:
            raise RefusedError("signature.log.mismatch", "the log entry is about another signature")

    def check_promise(self, keyring: Any) -> None:
        """The log's promise (SET) over the entry's canonical form, by a key of the trust root."""
        import rfc8785

        canonical = rfc8785.dumps(
            {
                "body": self.body,
                "integratedTime": self.integrated_time,
                "logID": self.log_id.hex(),
                "logIndex": self.index,
            }
        )
        keyring.verify(key_id=self.log_id, signature=self.promise, data=canonical)


def _as_bundle(
    certificate: x509.Certificate, signature: bytes, entry: _LogEntry, timestamp: str | None
) -> Any:
    """What sigstore-python looks at of a bundle while it judges certificate, SCT and time.

    A private interface of the library: `tests/unit/clients/test_sigstore_verifier.py` breaks loudly with it.
    """
    inner = SimpleNamespace(
        integrated_time=entry.integrated_time,
        inclusion_promise=entry.promise,
        kind_version=SimpleNamespace(kind="hashedrekord", version="0.0.1"),
    )
    return SimpleNamespace(
        signing_certificate=certificate,
        signature=signature,
        verification_material=SimpleNamespace(timestamp_verification_data=_timestamps(timestamp)),
        log_entry=SimpleNamespace(_inner=inner, _verify=entry.check_promise),
    )


def _timestamps(annotation: str | None) -> Any:
    """The ``rfc3161timestamp`` annotation, decoded."""
    if not annotation:
        return None
    from rfc3161_client import decode_timestamp_response

    source = "signature time-stamp"
    top = Fields.of(parse_json(annotation.encode(), source=source), source=source)
    response = _base64(top.text("SignedRFC3161Timestamp", limit=_MAX_ANNOTATION), "SignedRFC3161Timestamp")
    return SimpleNamespace(rfc3161_timestamps=[decode_timestamp_response(response)])
