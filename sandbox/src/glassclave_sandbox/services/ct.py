"""The certificate transparency log: its promise (SCT) for a certificate (RFC 6962 §3.2, §3.3)."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from glassclave_sandbox.names import milliseconds
from glassclave_sandbox.services import der
from glassclave_sandbox.services.keys import LogKey

SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_PRECERTIFICATE = 1
_SHA256_ECDSA = b"\x04\x03"


@dataclass(frozen=True, slots=True)
class CertificateLog:
    """A log that promises to include what it is shown."""

    key: LogKey

    def sct_list(self, bare: x509.Certificate, issuer: x509.Certificate, *, at: datetime) -> bytes:
        """The extension's value: a list with one SCT over ``bare``, a certificate still without it."""
        issuer_key = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        tbs = bare.tbs_certificate_bytes
        time = milliseconds(at)
        covered = (
            struct.pack(">BBQH", 0, 0, time, _PRECERTIFICATE)
            + hashlib.sha256(issuer_key).digest()
            + len(tbs).to_bytes(3, "big")
            + tbs
            + b"\0\0"
        )
        signature = self.key.sign(covered)
        sct = (
            struct.pack(">B32sQH", 0, self.key.log_id, time, 0)
            + _SHA256_ECDSA
            + struct.pack(">H", len(signature))
            + signature
        )
        return der.octets(struct.pack(">HH", len(sct) + 2, len(sct)) + sct)
