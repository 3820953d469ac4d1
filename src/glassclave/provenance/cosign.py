"""cosign's `.sig` layout: a manifest with one layer a signature (cosign ``specs/SIGNATURE_SPEC.md``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from glassclave.digests import is_oci_digest
from glassclave.errors import ParseError
from glassclave.fields import Fields, parse_json

PAYLOAD_MEDIA_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
CONFIG_MEDIA_TYPE = "application/vnd.oci.image.config.v1+json"
PAYLOAD_KIND = "cosign container image signature"
SIGN_PREDICATE_TYPE = "https://sigstore.dev/cosign/sign/v1"

SIGNATURE = "dev.cosignproject.cosign/signature"
CERTIFICATE = "dev.sigstore.cosign/certificate"
CHAIN = "dev.sigstore.cosign/chain"
BUNDLE = "dev.sigstore.cosign/bundle"
TIMESTAMP = "dev.sigstore.cosign/rfc3161timestamp"

MAX_PAYLOAD = 1 << 20
MAX_LAYERS = 512
"""Signatures of one `.sig` manifest that are looked into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacySignature:
    """One layer: the signed bytes and its annotations as they stand. ``chain`` may be empty (cosign 3)."""

    payload: bytes
    signature: str
    certificate: str
    chain: str | None
    bundle: str | None
    timestamp: str | None


def build_payload(name: str, digest: str) -> bytes:
    """The simple-signing document that is signed: compact JSON. ``name``: ``registry/repository``."""
    document = {
        "critical": {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": digest},
            "type": PAYLOAD_KIND,
        },
        "optional": None,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode()


def signed_digest(payload: bytes) -> str:
    """Digest of the manifest that a simple-signing document is about. Raises `ParseError`."""
    source = "signature payload"
    critical = Fields.of(parse_json(payload, source=source, limit=MAX_PAYLOAD), source=source).child(
        "critical"
    )
    if critical.text("type") != PAYLOAD_KIND:
        raise ParseError(
            "signature.payload.kind", "is no image signature", field="critical.type", source=source
        )
    digest = critical.child("image").text("docker-manifest-digest")
    if not is_oci_digest(digest):
        raise ParseError("signature.payload.digest", "names no sha256 digest", source=source)
    return digest


def read_layer(payload: bytes, annotations: Mapping[str, str]) -> LegacySignature:
    """A signature from its layer. Raises `ParseError` ``signature.annotation.missing``."""
    for name in (SIGNATURE, CERTIFICATE):
        if not annotations.get(name):
            raise ParseError("signature.annotation.missing", "is missing", field=name, source=".sig manifest")
    return LegacySignature(
        payload=payload,
        signature=annotations[SIGNATURE],
        certificate=annotations[CERTIFICATE],
        chain=annotations.get(CHAIN),
        bundle=annotations.get(BUNDLE),
        timestamp=annotations.get(TIMESTAMP),
    )


def layer_annotations(signature: LegacySignature) -> dict[str, str]:
    """The annotations that carry a signature."""
    values = {
        SIGNATURE: signature.signature,
        CERTIFICATE: signature.certificate,
        CHAIN: signature.chain,
        BUNDLE: signature.bundle,
        TIMESTAMP: signature.timestamp,
    }
    return {name: value for name, value in values.items() if value is not None}


def signature_config(layer_digests: list[str]) -> bytes:
    """The image configuration that cosign puts beside its signatures: empty but for the layers' digests."""
    document = {
        "architecture": "",
        "created": "0001-01-01T00:00:00Z",
        "history": [{"created": "0001-01-01T00:00:00Z"} for _ in layer_digests],
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": layer_digests},
        "config": {},
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode()
