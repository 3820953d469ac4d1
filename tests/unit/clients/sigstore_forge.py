"""A Sigstore that signs anything: every `.sig` signature here is whole but for the part that a test bends.

Certificate, SCT and log promise are made with the real keys of a trust root; nothing listens anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from glassclave.clients.sigstore_trust import load_trust
from glassclave.clients.sigstore_verifier import SigstoreVerifier
from glassclave.provenance.cosign import LegacySignature, build_payload
from glassclave_sandbox.services import trust
from glassclave_sandbox.services.ca import SigningAuthority, key_usage, make_signing_authority
from glassclave_sandbox.services.ct import SCT_LIST, CertificateLog
from glassclave_sandbox.services.keys import LogKey, make_log_key

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
PAYLOAD = build_payload("127.0.0.1:5000/o/r", DIGEST)
SIGNER = "https://github.com/acme/enclave/.github/workflows/release.yml@refs/heads/main"

Body = dict[str, Any]


@dataclass
class Forge:
    """Keys of one run. ``root``: the TrustedRoot that names them, to be bent before it is loaded."""

    authority: SigningAuthority = field(default_factory=lambda: make_signing_authority(at=AT))
    certificate_log: LogKey = field(default_factory=make_log_key)
    log: LogKey = field(default_factory=make_log_key)
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def root(self) -> dict[str, Any]:
        root = trust.trusted_root(
            "http://127.0.0.1:1",
            at=AT,
            authorities=self.authority.chain,
            certificate_log=self.certificate_log,
            transparency_log=self.log,
            timestamps=self.authority.chain,
        )
        document: dict[str, Any] = json.loads(json.dumps(root))
        return document

    def verifier(self, root: dict[str, Any] | None = None) -> SigstoreVerifier:
        return SigstoreVerifier(load_trust(json.dumps(root or self.root()).encode()))

    def certificate(
        self,
        *,
        promised_by: LogKey | None = None,
        promised: bool = True,
        purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
        signs: bool = True,
    ) -> x509.Certificate:
        """A leaf as Fulcio makes them, but for its log, its promise, its purpose or its key's usage."""
        log = CertificateLog(promised_by or self.certificate_log)
        good = self.authority.issue(self.key.public_key(), SIGNER, {9: SIGNER}, at=AT, log=log)
        builder = (
            x509.CertificateBuilder()
            .subject_name(good.subject)
            .issuer_name(good.issuer)
            .public_key(self.key.public_key())
            .serial_number(good.serial_number)
            .not_valid_before(good.not_valid_before_utc)
            .not_valid_after(good.not_valid_after_utc)
        )
        for one in good.extensions:
            value = one.value
            if isinstance(value, x509.ExtendedKeyUsage):
                value = x509.ExtendedKeyUsage([purpose])
            elif isinstance(value, x509.KeyUsage):
                value = key_usage(signs_data=signs, signs_certificates=not signs)
            elif isinstance(value, x509.PrecertificateSignedCertificateTimestamps):
                continue
            builder = builder.add_extension(value, critical=one.critical)
        signer = self.authority.intermediate
        bare = builder.sign(signer.key, hashes.SHA384())
        if not promised:
            return bare
        promise = x509.UnrecognizedExtension(SCT_LIST, log.sct_list(bare, signer.certificate, at=AT))
        return builder.add_extension(promise, critical=False).sign(signer.key, hashes.SHA384())

    def sign(
        self,
        certificate: x509.Certificate | None = None,
        *,
        at: datetime = AT + timedelta(seconds=5),
        log: LogKey | None = None,
        named: LogKey | None = None,
        body: Callable[[Body], None] = lambda _body: None,
    ) -> LegacySignature:
        """A signature logged at ``at`` by ``log``, which calls itself ``named``; ``body`` bends the entry
        before it is promised."""
        certificate = certificate or self.certificate()
        log = log or self.log
        pem = certificate.public_bytes(Encoding.PEM).decode()
        signature = base64.b64encode(self.key.sign(PAYLOAD, ec.ECDSA(hashes.SHA256()))).decode()
        entry = {
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(PAYLOAD).hexdigest()}},
                "signature": {
                    "content": signature,
                    "publicKey": {"content": base64.b64encode(pem.encode()).decode()},
                },
            },
        }
        body(entry)
        promised = {
            "body": base64.b64encode(rfc8785.dumps(entry)).decode(),  # type: ignore[arg-type]  # JSON
            "integratedTime": int(at.timestamp()),
            "logID": (named or log).log_id.hex(),
            "logIndex": 7,
        }
        promise = base64.b64encode(log.sign(rfc8785.dumps(promised))).decode()  # type: ignore[arg-type]  # JSON
        return LegacySignature(
            payload=PAYLOAD,
            signature=signature,
            certificate=pem,
            chain=None,
            bundle=json.dumps({"SignedEntryTimestamp": promise, "Payload": promised}),
            timestamp=None,
        )
