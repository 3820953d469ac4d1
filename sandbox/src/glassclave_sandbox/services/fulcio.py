"""Fulcio: a certificate for a key, to whoever shows a token and holds the key.

Answers as Fulcio does (`/api/v2/signingCert`: JSON; `/api/v1/signingCert`, which cosign 2 asks: PEM).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_der_public_key,
    load_pem_public_key,
)

from glassclave_sandbox.services.ca import SigningAuthority
from glassclave_sandbox.services.ct import CertificateLog
from glassclave_sandbox.services.oidc import TokenIssuer
from glassclave_sandbox.services.server import Answer, RefusedRequestError, Request, json_answer

GITHUB = "https://github.com/"
_URL, _PLAIN = GITHUB, ""
EXTENSIONS = {
    1: (_PLAIN, "iss"),
    2: (_PLAIN, "event_name"),
    3: (_PLAIN, "sha"),
    4: (_PLAIN, "workflow"),
    5: (_PLAIN, "repository"),
    6: (_PLAIN, "ref"),
    8: (_PLAIN, "iss"),
    9: (_URL, "job_workflow_ref"),
    10: (_PLAIN, "job_workflow_sha"),
    11: (_PLAIN, "runner_environment"),
    12: (_URL, "repository"),
    13: (_PLAIN, "sha"),
    14: (_PLAIN, "ref"),
    15: (_PLAIN, "repository_id"),
    16: (_URL, "repository_owner"),
    17: (_PLAIN, "repository_owner_id"),
    18: (_URL, "workflow_ref"),
    19: (_PLAIN, "workflow_sha"),
    20: (_PLAIN, "event_name"),
    22: (_PLAIN, "repository_visibility"),
    23: (_PLAIN, "environment"),
    24: (_PLAIN, "sub"),
}
"""Which claim each extension 1.3.6.1.4.1.57264.1.N is made from (Fulcio, docs/oid-info.md)."""

_RUN_INVOCATION = 21  # made of several


def claims_of(token: Mapping[str, str]) -> dict[int, str]:
    """The numbered claims of a certificate for a job; an empty claim makes no extension."""
    found = {number: prefix + token[name] for number, (prefix, name) in EXTENSIONS.items() if token.get(name)}
    if all(token.get(name) for name in ("repository", "run_id", "run_attempt")):
        run = f"{token['repository']}/actions/runs/{token['run_id']}/attempts/{token['run_attempt']}"
        found[_RUN_INVOCATION] = GITHUB + run
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Fulcio:
    """The certificate service."""

    authority: SigningAuthority
    log: CertificateLog
    tokens: TokenIssuer
    clock: Callable[[], datetime]

    def version_2(self, request: Request) -> Answer:
        """``POST /api/v2/signingCert``."""
        asked = _json_object(request)
        credentials = asked.get("credentials") or {}
        token = str(credentials.get("oidcIdentityToken") or _bearer(request))
        certificates = [_pem(certificate) for certificate in self._issue(token, asked)]
        return json_answer({"signedCertificateEmbeddedSct": {"chain": {"certificates": certificates}}})

    def version_1(self, request: Request) -> Answer:
        """``POST /api/v1/signingCert``: the proof of possession has another name, the key is in Base64."""
        asked = _json_object(request)
        if "publicKey" in asked:
            asked["publicKeyRequest"] = {
                "publicKey": asked["publicKey"],
                "proofOfPossession": asked.get("signedEmailAddress"),
            }
        chain = "".join(_pem(certificate) for certificate in self._issue(_bearer(request), asked))
        return Answer(201, chain.encode(), "application/pem-certificate-chain")

    def trust_bundle(self, _request: Request) -> Answer:
        """``GET /api/v2/trustBundle``."""
        chain = [_pem(certificate) for certificate in self.authority.chain]
        return json_answer({"chains": [{"certificates": chain}]})

    def _issue(self, token: str, asked: Mapping[str, Any]) -> list[x509.Certificate]:
        claims = self.tokens.check(token)
        if not claims.get("sub") or not claims.get("job_workflow_ref"):
            raise RefusedRequestError(400, "the token lacks a claim: sub or job_workflow_ref")
        try:
            key = _proven_key(asked, claims["sub"])
        except (ValueError, KeyError, TypeError, InvalidSignature) as error:
            raise RefusedRequestError(
                400, f"The public key or its proof of possession is invalid: {error}"
            ) from error
        san = GITHUB + claims["job_workflow_ref"]
        at = self.clock().replace(microsecond=0)
        leaf = self.authority.issue(key, san, claims_of(claims), at=at, log=self.log)
        return [leaf, *self.authority.chain]


def _json_object(request: Request) -> dict[str, Any]:
    try:
        value = json.loads(request.document())
    except ValueError as error:
        raise RefusedRequestError(400, f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RefusedRequestError(400, "not a JSON object")
    return value


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise RefusedRequestError(401, "There was an error processing the identity token: there is none")
    return token


def _proven_key(asked: Mapping[str, Any], subject: str) -> ec.EllipticCurvePublicKey:
    """The key of the signing request, or the key that signed the subject (Fulcio, fulcio.proto)."""
    if asked.get("certificateSigningRequest"):  # cosign sends null beside a key
        csr = x509.load_pem_x509_csr(base64.b64decode(asked["certificateSigningRequest"], validate=True))
        if not csr.is_signature_valid:
            raise ValueError("the signing request is not signed by its key")
        return _elliptic(csr.public_key())
    parts = asked["publicKeyRequest"]
    key = _elliptic(_public_key(str(parts["publicKey"]["content"])))
    proof = base64.b64decode(parts["proofOfPossession"], validate=True)
    key.verify(proof, subject.encode(), ec.ECDSA(SHA256()))
    return key


def _public_key(content: str) -> object:
    """A PEM key (version 2), or Base64 of a PEM or DER key (version 1)."""
    armored = content.startswith("-----BEGIN")
    data = content.encode() if armored else base64.b64decode(content, validate=True)
    return load_pem_public_key(data) if data.startswith(b"-----BEGIN") else load_der_public_key(data)


def _elliptic(key: object) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("only elliptic curve keys are signed here")
    return key


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
