"""What Rekor makes of a proposed entry: it checks the signature and keeps a canonical body (RFC 8785).

Kinds: hashedrekord 0.0.1, dsse 0.0.1, intoto 0.0.2 (rekor, pkg/types/*/v*/entry.go).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import rfc8785
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from glassclave_sandbox.services.server import RefusedRequestError

HASHES: dict[str, HashAlgorithm] = {"sha256": SHA256(), "sha384": SHA384(), "sha512": SHA512()}


def canonical_body(proposed: object) -> bytes:
    """The body that is logged for a proposed entry; `RefusedRequestError` (400) where it proves nothing."""
    try:
        if not isinstance(proposed, dict):
            raise ValueError("a proposed entry is a JSON object")
        kind, version = proposed["kind"], proposed["apiVersion"]
        if (kind, version) not in _KINDS:
            raise ValueError(f"kind {kind!r} {version!r} is not logged here")
        spec = _KINDS[kind, version](proposed["spec"])
    except (ValueError, KeyError, TypeError, InvalidSignature) as error:
        reason = f"{type(error).__name__} {error}".strip()
        raise RefusedRequestError(400, f"error processing entry: {reason}") from error
    return rfc8785.dumps({"apiVersion": version, "kind": kind, "spec": spec})


def _hashedrekord(spec: Mapping[str, Any]) -> dict[str, Any]:
    algorithm, value = spec["data"]["hash"]["algorithm"], spec["data"]["hash"]["value"]
    content, key = spec["signature"]["content"], spec["signature"]["publicKey"]["content"]
    _verify(key, _base64(content), bytes.fromhex(value), algorithm)
    return {
        "data": {"hash": {"algorithm": algorithm, "value": value}},
        "signature": {"content": content, "publicKey": {"content": key}},
    }


def _dsse(spec: Mapping[str, Any]) -> dict[str, Any]:
    text = spec["proposedContent"]["envelope"]
    envelope = json.loads(text)
    payload = _base64(envelope["payload"])
    digest = _pae_digest(envelope["payloadType"], payload)
    verifiers = spec["proposedContent"]["verifiers"]
    if not verifiers or not envelope["signatures"]:
        raise ValueError("an envelope without signatures or without verifiers")
    signatures = [
        {"signature": part["sig"], "verifier": _matching(verifiers, _base64(part["sig"]), digest)}
        for part in envelope["signatures"]
    ]
    return {
        "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(text.encode()).hexdigest()},
        "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
        "signatures": sorted(signatures, key=lambda signature: str(signature["signature"])),
    }


def _intoto(spec: Mapping[str, Any]) -> dict[str, Any]:
    """In 0.0.2, payload and signatures are Base64 of the envelope's Base64."""
    content = spec["content"]
    envelope = content["envelope"]
    payload = _base64(_base64(envelope["payload"]).decode())
    digest = _pae_digest(envelope["payloadType"], payload)
    for part in envelope["signatures"]:
        _verify(part["publicKey"], _base64(_base64(part["sig"]).decode()), digest, "sha256")
    if not envelope["signatures"]:
        raise ValueError("an envelope without signatures")
    return {
        "content": {
            "envelope": {
                "payloadType": envelope["payloadType"],
                "signatures": [
                    {name: part[name] for name in ("keyid", "publicKey", "sig") if part.get(name)}
                    for part in envelope["signatures"]
                ],
            },
            "hash": content["hash"],
            "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
        }
    }


_KINDS: dict[tuple[str, str], Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    ("hashedrekord", "0.0.1"): _hashedrekord,
    ("dsse", "0.0.1"): _dsse,
    ("intoto", "0.0.2"): _intoto,
}


def digests_in(body: bytes) -> list[str]:
    """``algorithm:hex`` of everything a logged body is about, as Rekor's search index has it."""
    spec = json.loads(body)["spec"]
    found = [spec.get("data", {}).get("hash"), spec.get("payloadHash"), spec.get("envelopeHash")]
    found.append(spec.get("content", {}).get("payloadHash"))
    return [f"{value['algorithm']}:{value['value']}" for value in found if value]


def _pae_digest(payload_type: str, payload: bytes) -> bytes:
    """SHA-256 of what a DSSE signature covers (DSSE protocol, PAE)."""
    kind = payload_type.encode()
    return hashlib.sha256(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)).digest()


def _matching(verifiers: list[str], signature: bytes, digest: bytes) -> str:
    for verifier in verifiers:
        try:
            _verify(verifier, signature, digest, "sha256")
        except InvalidSignature:
            continue
        return verifier
    raise ValueError("a signature that none of the verifiers made")


def _verify(verifier: str, signature: bytes, digest: bytes, algorithm: str) -> None:
    """Checks a signature over a digest with the key in ``verifier``: Base64 of a PEM certificate or key."""
    pem = _base64(verifier)
    key = (
        x509.load_pem_x509_certificate(pem).public_key()
        if b"BEGIN CERTIFICATE" in pem
        else load_pem_public_key(pem)
    )
    prehashed = utils.Prehashed(HASHES[algorithm])
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, digest, ec.ECDSA(prehashed))
    elif isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, digest, padding.PKCS1v15(), prehashed)
    else:
        raise ValueError("a kind of key that is not logged here")


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
