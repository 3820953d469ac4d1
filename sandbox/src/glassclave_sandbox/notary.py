"""Vouches, under a test root, for what QEMU's virtual NSM measured.

QEMU's documents carry true PCR values and a signature of zeros: no verifier may accept them, ours does not.
The notary takes such a document, compares its PCRs and nonce with what the caller expects, and signs that
payload anew with a leaf under the test root: certificate and bundle change, nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from glassclave.cbor import decode
from glassclave.digests import same_bytes
from glassclave.errors import ParseError, RefusedError, UsageError
from glassclave_sandbox.authority import Issuer
from glassclave_sandbox.names import DEFAULT_REGION, milliseconds
from glassclave_sandbox.nsm import SoftwareNsm

_PROTECTED = bytes.fromhex("a10120")  # {1: -1}: no algorithm that COSE knows
_ZEROS = bytes(64)
_KEYS = (
    "module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "public_key", "user_data", "nonce",
)  # fmt: skip
_IMAGE_PCRS = frozenset({0, 1, 2})
_CLOCK_SKEW = timedelta(minutes=5)


def parse_qemu_document(data: bytes) -> dict[str, object]:
    """The payload of an unsigned document of QEMU's; `ParseError` ``sandbox.notary.form`` for anything else.

    A document with a real signature is refused too: signing it anew would hide whose it was.
    """
    envelope = decode(data)
    if not isinstance(envelope, list) or len(envelope) != 4:
        raise _malformed("is no COSE_Sign1")
    protected, unprotected, payload, signature = envelope
    if protected != _PROTECTED or unprotected != {} or signature != _ZEROS or not isinstance(payload, bytes):
        raise _malformed("is not unsigned as QEMU's documents are")
    values = decode(payload)
    if not isinstance(values, dict) or tuple(values) != _KEYS:
        raise _malformed("has not the fields of a document, in their order")
    if values["certificate"] != _ZEROS or values["cabundle"] != [_ZEROS]:
        raise _malformed("carries certificates, QEMU's have none")
    return {str(key): value for key, value in values.items()}


def _malformed(message: str) -> ParseError:
    return ParseError("sandbox.notary.form", f"the document {message}")


def notarize(
    data: bytes,
    *,
    root: Issuer,
    expected: Mapping[int, bytes],
    nonce: bytes | None,
    at: datetime,
    region: str = DEFAULT_REGION,
) -> bytes:
    """QEMU's document signed anew under ``root``, if it says what the caller expects.

    ``expected``: PCR0, 1 and 2 at least. ``nonce``: what was asked with; ``None`` demands that there is none.
    The document must be as old as ``at`` within five minutes. Raises `ParseError` ``sandbox.notary.form``,
    `RefusedError` ``sandbox.notary.pcr``, ``.nonce`` or ``.time``, `UsageError` ``sandbox.notary.expected``.
    """
    if not expected.keys() >= _IMAGE_PCRS:
        raise UsageError("sandbox.notary.expected", "PCR0, PCR1 and PCR2 must be expected")
    payload = parse_qemu_document(data)
    _check_pcrs(payload["pcrs"], expected)
    if payload["nonce"] != nonce:
        raise RefusedError("sandbox.notary.nonce", "the document answers another nonce")
    timestamp = payload["timestamp"]
    if not isinstance(timestamp, int):
        raise _malformed("has no time")
    if abs(timestamp - milliseconds(at)) > _CLOCK_SKEW // timedelta(milliseconds=1):
        raise RefusedError("sandbox.notary.time", "the document is not of this hour")
    module_id = payload["module_id"]
    if not isinstance(module_id, str):
        raise _malformed("has no module id")
    instance_id, _, _ = module_id.partition("-enc")
    nsm = SoftwareNsm(root, at=at, instance_id=instance_id, region=region, module_id=module_id)
    return nsm.sign(payload | {"certificate": nsm.certificate, "cabundle": nsm.cabundle})


def _check_pcrs(pcrs: object, expected: Mapping[int, bytes]) -> None:
    if not isinstance(pcrs, dict):
        raise _malformed("has no PCRs")
    for index, wanted in sorted(expected.items()):
        actual = pcrs.get(index)
        if not isinstance(actual, bytes) or not same_bytes(actual, wanted):
            said = actual.hex() if isinstance(actual, bytes) else "absent"
            raise RefusedError(
                "sandbox.notary.pcr", f"PCR{index} is {said}, expected {wanted.hex()}", field=f"pcrs[{index}]"
            )
