"""Plain HTTP to the services under test."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None, **options: Any
) -> Reply:
    """One request on a connection of its own; a body that is not bytes goes as JSON."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=10)
    data = body if body is None or isinstance(body, bytes) or options else json.dumps(body).encode()
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, data, dict(headers or {}), **options)  # type: ignore[arg-type]
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


def signing_request(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """The body of a request to Fulcio, as sigstore-python makes it."""
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    return {"certificateSigningRequest": base64.b64encode(csr.public_bytes(Encoding.PEM)).decode()}


def ask_for_certificate(url: str, token: str, body: object = None) -> Reply:
    """A certificate for a new key, or why there is none."""
    body = body or signing_request(ec.generate_private_key(ec.SECP256R1()))
    return ask("POST", f"{url}/api/v2/signingCert", body, {"Authorization": f"Bearer {token}"})


def certificate_in(reply: Reply) -> x509.Certificate:
    """The leaf."""
    chain = reply.json()["signedCertificateEmbeddedSct"]["chain"]["certificates"]
    return x509.load_pem_x509_certificate(chain[0].encode())


def record(data: bytes, key: ec.EllipticCurvePrivateKey, pem: bytes) -> dict[str, Any]:
    """A proposed hashedrekord entry about ``data``, signed with ``key``, whose public side is ``pem``."""
    signature = base64.b64encode(key.sign(data, ec.ECDSA(SHA256()))).decode()
    return {
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}},
            "signature": {
                "content": signature,
                "publicKey": {"content": base64.b64encode(pem).decode()},
            },
        },
    }
