"""When each key of a trust root was in use.

sigstore-python looks at these times of time-stamp authorities only: a log or a certificate authority that was
retired (its key leaked, say) would be believed for ever.

Source: protobuf-specs ``sigstore_trustroot.proto``, ``valid_for`` of keys and authorities.
"""

from __future__ import annotations

import base64
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from glassclave.errors import ParseError, RefusedError
from glassclave.fields import Fields

_MOST_KEYS = 64
_MOST_CERTIFICATES = 16


@contextmanager
def odd_names_pass() -> Iterator[None]:
    """Without `cryptography`'s warning about a name of unusual length (a country of three letters):
    what is printed is not for the maker of a certificate to decide."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Attribute's length must be", category=UserWarning)
        yield


@dataclass(frozen=True, slots=True)
class Window:
    """From ``start`` to ``end``, both included; ``None``: open on that side."""

    start: datetime | None
    end: datetime | None

    def holds(self, at: datetime) -> bool:
        """Whether ``at`` lies in it."""
        return (self.start is None or self.start <= at) and (self.end is None or at <= self.end)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority: its chain (DER, leaf side first)."""

    chain: tuple[bytes, ...]
    window: Window

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether one of its certificates signed this one."""
        for der in self.chain:
            try:
                certificate.verify_directly_issued_by(x509.load_der_x509_certificate(der))
            except (ValueError, TypeError, InvalidSignature, x509.InvalidVersion):
                continue
            return True
        return False


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The keys of a trust root. Logs by their 32 bytes of identity; one may stand there for several times."""

    authorities: tuple[Authority, ...]
    logs: Mapping[bytes, tuple[Window, ...]]
    certificate_logs: Mapping[bytes, tuple[Window, ...]]

    def check_issuer(self, certificate: x509.Certificate) -> None:
        """`RefusedError` ``signature.trust-root`` where no authority of this root issued the certificate."""
        if not any(authority.issued(certificate) for authority in self.authorities):
            raise RefusedError(
                "signature.trust-root",
                "was made under another trust root: no authority of this one issued its certificate",
                hint="name the Sigstore that signed: --trust-config FILE, or leave it out for the public one",
            )

    def check_times(self, certificate: x509.Certificate, times: Iterable[datetime]) -> None:
        """The authority at each of the signature's times, the certificate log at its promise's (SCT).

        Raises `RefusedError` ``signature.certificate.chain``, ``signature.certificate.sct``.
        """
        windows = [authority.window for authority in self.authorities if authority.issued(certificate)]
        for at in times:
            if not any(window.holds(at) for window in windows):
                raise RefusedError(
                    "signature.certificate.chain", f"its authority was not in use on {at:%Y-%m-%d}"
                )
        kind = x509.PrecertificateSignedCertificateTimestamps
        for promise in certificate.extensions.get_extension_for_class(kind).value:
            at = promise.timestamp.replace(tzinfo=UTC)
            if not any(window.holds(at) for window in self.certificate_logs.get(promise.log_id, ())):
                raise RefusedError(
                    "signature.certificate.sct", "its certificate log is unknown, or was not in use then"
                )

    def check_log(self, log_id: bytes, at: datetime) -> None:
        """The transparency log at the time it promised. Raises `RefusedError` ``signature.log.unknown``."""
        windows = self.logs.get(log_id)
        if windows is None:
            raise RefusedError("signature.log.unknown", "is in a log that the trust root does not name")
        if not any(window.holds(at) for window in windows):
            raise RefusedError("signature.log.unknown", f"its log was not in use on {at:%Y-%m-%d}")


def read_keys(document: object, source: str) -> TrustedKeys:
    """Keys of a TrustedRoot's JSON. Raises `ParseError` ``trust.form``, ``field.*``."""
    root = Fields.of(document, source=source)
    keys = TrustedKeys(
        authorities=tuple(
            Authority(_chain(authority), _window(authority))
            for authority in root.objects("certificateAuthorities", limit=_MOST_KEYS)
        ),
        logs=_logs(root, "tlogs"),
        certificate_logs=_logs(root, "ctlogs"),
    )
    if not keys.authorities or not keys.logs or not keys.certificate_logs:
        raise ParseError("trust.form", "names no authority or no log: nothing could pass", source=source)
    return keys


def _chain(authority: Fields) -> tuple[bytes, ...]:
    certificates = authority.child("certChain").objects("certificates", limit=_MOST_CERTIFICATES)
    return tuple(_bytes(certificate, "rawBytes") for certificate in certificates)


def _logs(root: Fields, name: str) -> dict[bytes, tuple[Window, ...]]:
    windows: dict[bytes, tuple[Window, ...]] = {}
    for log in root.objects(name, limit=_MOST_KEYS):
        log_id = _bytes(log.child("logId"), "keyId")
        windows[log_id] = (*windows.get(log_id, ()), _window(log.child("publicKey")))
    return windows


def _window(owner: Fields) -> Window:
    if not owner.has("validFor"):
        return Window(None, None)
    times = owner.child("validFor")
    return Window(_time(times, "start"), _time(times, "end"))


def _time(fields: Fields, name: str) -> datetime | None:
    text = fields.optional_text(name, limit=64)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise _malformed(fields, name, "is no time (RFC 3339)") from error
    if at.tzinfo is None:
        raise _malformed(fields, name, "names no time zone")
    return at


def _bytes(fields: Fields, name: str) -> bytes:
    try:
        return base64.b64decode(fields.text(name), validate=True)
    except ValueError as error:  # also for text that is not ASCII
        raise _malformed(fields, name, "is not base64") from error


def _malformed(fields: Fields, name: str, what: str) -> ParseError:
    return ParseError("trust.form", what, field=fields.at(name), source=fields.source)
