"""What a client is told to trust, in Sigstore's own words (protobuf-specs: sigstore_trustroot.proto)."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from glassclave_sandbox.services.ca import BACKDATED, ORGANIZATION, common_name
from glassclave_sandbox.services.keys import LogKey

TRUSTED_ROOT = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
SIGNING_CONFIG = "application/vnd.dev.sigstore.signingconfig.v0.2+json"
CLIENT_TRUST_CONFIG = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"


def trusted_root(
    url: str,
    *,
    at: datetime,
    authorities: Sequence[x509.Certificate],
    certificate_log: LogKey,
    transparency_log: LogKey,
    timestamps: Sequence[x509.Certificate],
) -> dict[str, Any]:
    """TrustedRoot: who may sign certificates, log entries and time-stamps, from a day before ``at`` on."""
    valid = _valid_from(at)
    return {
        "mediaType": TRUSTED_ROOT,
        "tlogs": [_log(url, transparency_log, valid)],
        "certificateAuthorities": [_authority(url, authorities, valid)],
        "ctlogs": [_log(f"{url}/ctlog", certificate_log, valid)],
        "timestampAuthorities": [_authority(f"{url}/api/v1/timestamp", timestamps, valid)],
    }


def signing_config(url: str, *, at: datetime) -> dict[str, Any]:
    """SigningConfig: where to sign, with Rekor version 1 and a time-stamp, as the public instance has it."""

    def service(address: str) -> list[dict[str, Any]]:
        return [
            {
                "url": address,
                "majorApiVersion": 1,
                "validFor": _valid_from(at),
                "operator": ORGANIZATION,
            }
        ]

    return {
        "mediaType": SIGNING_CONFIG,
        "caUrls": service(url),
        "oidcUrls": service(url),
        "rekorTlogUrls": service(url),
        "tsaUrls": service(f"{url}/api/v1/timestamp"),
        "rekorTlogConfig": {"selector": "ANY"},
        "tsaConfig": {"selector": "ANY"},
    }


def client_trust_config(root: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """ClientTrustConfig: both in one file."""
    return {"mediaType": CLIENT_TRUST_CONFIG, "trustedRoot": root, "signingConfig": config}


def encode(value: dict[str, Any]) -> bytes:
    """JSON with an end of line."""
    return json.dumps(value, indent=2).encode() + b"\n"


def _valid_from(at: datetime) -> dict[str, str]:
    return {"start": (at - BACKDATED).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def _log(url: str, key: LogKey, valid: dict[str, str]) -> dict[str, Any]:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": _base64(key.spki),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": valid,
        },
        "logId": {"keyId": _base64(key.log_id)},
    }


def _authority(url: str, chain: Sequence[x509.Certificate], valid: dict[str, str]) -> dict[str, Any]:
    certificates = [{"rawBytes": _base64(item.public_bytes(Encoding.DER))} for item in chain]
    return {
        "subject": {"organization": ORGANIZATION, "commonName": common_name(chain[-1])},
        "uri": url,
        "certChain": {"certificates": certificates},
        "validFor": valid,
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
