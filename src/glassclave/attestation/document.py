"""The attestation document as a record (AWS, "attestation process", §3.2.2 "Attestation document").

Stricter than that text where every known genuine document is: known fields only, PCRs of 48 bytes, shortest
CBOR. Wider where genuine documents need it: optional fields up to 1024 bytes, null or empty, an outer map of
indefinite length (all documents since July 2025), PCR indices beyond 15.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from glassclave.cbor import decode
from glassclave.cose import Algorithm, Sign1, parse_sign1
from glassclave.errors import LimitError, ParseError, RefusedError
from glassclave.results import PCR_SIZE

MAX_DOCUMENT_SIZE = 65536
MAX_PAYLOAD_SIZE = 16384
MAX_CERTIFICATE_SIZE = 1024
MAX_CABUNDLE = 8
"""Genuine bundles have 4 certificates: root, region, zone, instance."""
MAX_OPTIONAL_SIZE = 1024
MAX_PCRS = 32

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MILLISECOND = 253_402_300_799_999  # 9999-12-31, what a datetime can hold
_REQUIRED = ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")
_OPTIONAL = ("public_key", "user_data", "nonce")
_MODULE_ID = re.compile(r"(i-[0-9a-f]{8,32})-enc([0-9a-f]{12})[0-9a-f]{4}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationDocument:
    """What a document says. Nothing of it is to be believed before its chain and signature were judged.

    ``timestamp_ms``: milliseconds since 1970, UTC, of the hypervisor's clock. ``pcrs``: index to 48 bytes.
    ``certificate`` and ``cabundle`` (root first): DER. ``public_key``, ``user_data``, ``nonce``: ``None``
    when absent, null or empty. ``sign1``: the signed envelope as received.
    """

    module_id: str
    digest: str
    timestamp_ms: int
    pcrs: Mapping[int, bytes]
    certificate: bytes
    cabundle: tuple[bytes, ...]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None
    sign1: Sign1 = field(repr=False)

    @property
    def created(self) -> datetime:
        """The timestamp as an aware datetime."""
        return _EPOCH + timedelta(milliseconds=self.timestamp_ms)

    @property
    def instance_id(self) -> str | None:
        """EC2 instance that the enclave runs on, where ``module_id`` has the known form."""
        match = _MODULE_ID.match(self.module_id)
        return match[1] if match else None

    @property
    def launched(self) -> datetime | None:
        """When the enclave was started: AWS does not document it, all known module ids carry it."""
        match = _MODULE_ID.match(self.module_id)
        if match is None:
            return None
        milliseconds = int(match[2], 16)
        return _EPOCH + timedelta(milliseconds=milliseconds) if milliseconds <= _LAST_MILLISECOND else None

    @property
    def debug(self) -> bool:
        """Whether PCR0, 1 or 2 is zero, which the hypervisor writes for an enclave in debug mode.

        PCR3 and PCR4 keep their values in debug mode, so "all zero" would never be true.
        """
        return any(self.pcrs.get(index) == bytes(PCR_SIZE) for index in (0, 1, 2))


def parse_document(data: bytes) -> AttestationDocument:
    """The document in ``data`` (one raw COSE_Sign1), to the last byte.

    Raises `ParseError` ``cbor.*``, ``cose.*``, ``attestation.document.*`` and, for a well-formed document of
    an EC2 NitroTPM, which the same root signs but whose PCRs mean other things, `RefusedError`
    ``attestation.nitrotpm``.
    """
    if len(data) > MAX_DOCUMENT_SIZE:
        raise LimitError(
            "attestation.document.size", f"has {len(data)} bytes, at most {MAX_DOCUMENT_SIZE} are read"
        )
    sign1 = parse_sign1(data)
    if sign1.algorithm is not Algorithm.ES384:
        raise ParseError(
            "attestation.document.algorithm", f"is {sign1.algorithm.name}, not ES384", field="protected"
        )
    if not 1 <= len(sign1.payload) <= MAX_PAYLOAD_SIZE:
        raise ParseError(
            "attestation.document.payload",
            f"has {len(sign1.payload)} bytes, 1..{MAX_PAYLOAD_SIZE} are allowed",
            field="payload",
        )
    values = decode(sign1.payload, max_depth=3, max_items=256, indefinite_outer_map=True)
    if not isinstance(values, dict):
        raise ParseError("attestation.document.payload", "is not a map", field="payload")
    _check_names(values)
    return AttestationDocument(
        module_id=_module_id(values["module_id"]),
        digest=_digest(values["digest"]),
        timestamp_ms=_timestamp(values["timestamp"]),
        pcrs=_pcrs(values["pcrs"]),
        certificate=_certificate(values["certificate"], "certificate"),
        cabundle=_cabundle(values["cabundle"]),
        public_key=_optional(values, "public_key"),
        user_data=_optional(values, "user_data"),
        nonce=_optional(values, "nonce"),
        sign1=sign1,
    )


def _check_names(values: Mapping[object, object]) -> None:
    if "nitrotpm_pcrs" in values:
        raise RefusedError(
            "attestation.nitrotpm",
            "this is the document of an EC2 NitroTPM, not of an enclave: its PCRs measure other things",
            field="nitrotpm_pcrs",
        )
    for name in values:
        if name not in _REQUIRED and name not in _OPTIONAL:
            raise ParseError(
                "attestation.document.unknown-field", "is not a field of a document", field=str(name)[:80]
            )
    for name in _REQUIRED:
        if values.get(name) is None:
            raise ParseError("attestation.document.missing", "is missing or null", field=name)


def _module_id(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 256:
        raise ParseError("attestation.document.module-id", "must be a text", field="module_id")
    return value


def _digest(value: object) -> str:
    if value != "SHA384":
        raise ParseError("attestation.document.digest", "must be the text SHA384", field="digest")
    return "SHA384"


def _timestamp(value: object) -> int:
    if not isinstance(value, int) or not 0 < value <= _LAST_MILLISECOND:
        raise ParseError(
            "attestation.document.timestamp", "must be milliseconds since 1970", field="timestamp"
        )
    return value


def _pcrs(value: object) -> dict[int, bytes]:
    if not isinstance(value, dict) or not 1 <= len(value) <= MAX_PCRS:
        raise ParseError("attestation.document.pcrs", f"must be a map of 1..{MAX_PCRS} PCRs", field="pcrs")
    for index, pcr in value.items():
        place = f"pcrs[{str(index)[:20]}]"
        if not isinstance(index, int) or not 0 <= index < MAX_PCRS:
            raise ParseError("attestation.document.pcrs", "is no PCR index (0..31)", field=place)
        if not isinstance(pcr, bytes) or len(pcr) != PCR_SIZE:
            raise ParseError("attestation.document.pcrs", f"must be {PCR_SIZE} bytes", field=place)
    return dict(sorted(value.items()))


def _certificate(value: object, place: str) -> bytes:
    if not isinstance(value, bytes) or not 1 <= len(value) <= MAX_CERTIFICATE_SIZE:
        raise ParseError(
            "attestation.document.certificate",
            f"must be a certificate of 1..{MAX_CERTIFICATE_SIZE} bytes",
            field=place,
        )
    return value


def _cabundle(value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_CABUNDLE:
        raise ParseError(
            "attestation.document.cabundle", f"must be an array of 1..{MAX_CABUNDLE}", field="cabundle"
        )
    return tuple(_certificate(entry, f"cabundle[{index}]") for index, entry in enumerate(value))


def _optional(values: Mapping[object, object], name: str) -> bytes | None:
    value = values.get(name)
    if value is None:
        return None
    if not isinstance(value, bytes) or len(value) > MAX_OPTIONAL_SIZE:
        raise ParseError(
            "attestation.document.optional", f"must be at most {MAX_OPTIONAL_SIZE} bytes", field=name
        )
    return value or None
