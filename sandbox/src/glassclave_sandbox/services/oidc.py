"""GitHub-shaped identity tokens (RS256 JWTs), and the check of them that Fulcio makes.

Claims as documented by GitHub ("OpenID Connect reference", example token). The issuer is GitHub's real name:
what makes these tokens worthless elsewhere is the key, which lives for one run.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from glassclave_sandbox.services.server import RefusedRequestError

ISSUER = "https://token.actions.githubusercontent.com"
AUDIENCE = "sigstore"
LIFETIME_SECONDS = 600

BASE_CLAIMS = {
    "actor": "octocat",
    "actor_id": "42",
    "base_ref": "",
    "event_name": "push",
    "head_ref": "",
    "ref": "refs/heads/main",
    "ref_protected": "true",
    "repository": "acme/enclave",
    "repository_id": "1234",
    "repository_owner_id": "99",
    "repository_visibility": "public",
    "run_attempt": "1",
    "run_id": "777",
    "run_number": "7",
    "runner_environment": "github-hosted",
    "sha": "a" * 40,
    "workflow": "release",
}
TIMES = ("iat", "nbf", "exp")
DERIVED: dict[str, Callable[[Mapping[str, str]], str]] = {
    "ref_type": lambda c: "tag" if c["ref"].startswith("refs/tags/") else "branch",
    "repository_owner": lambda c: c["repository"].partition("/")[0],
    "workflow_ref": lambda c: f"{c['repository']}/.github/workflows/release.yml@{c['ref']}",
    "workflow_sha": lambda c: c["sha"],
    "job_workflow_ref": lambda c: c["workflow_ref"],
    "job_workflow_sha": lambda c: c["workflow_sha"],
    "sub": lambda c: f"repo:{c['repository']}:{_subject_of(c)}",
}
"""What GitHub makes out of other claims, in an order in which each finds what it needs."""


def _subject_of(claims: Mapping[str, str]) -> str:
    if environment := claims.get("environment"):
        return f"environment:{environment}"
    if claims["event_name"].startswith("pull_request"):
        return "pull_request"
    return f"ref:{claims['ref']}"


def github_claims(overrides: Mapping[str, str]) -> dict[str, str]:
    """The claims of a job in acme/enclave, with ``overrides`` and what follows from them.

    Whoever names another repository or ref gets its workflow, owner and subject with it; each of these can be
    overridden on its own, also to an empty string, which Fulcio leaves out of the certificate.
    """
    claims = BASE_CLAIMS | dict(overrides)
    for name, derive in DERIVED.items():
        if name not in overrides:
            claims[name] = derive(claims)
    return claims


class TokenIssuer:
    """Signs tokens and knows its own: GitHub's token service, for one run."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._key = rsa.generate_private_key(65537, 2048)
        self.key_id = f"sandbox-{clock():%Y%m%d}"
        self.request_token = secrets.token_urlsafe(24)
        """What a job must show to be given a token (``ACTIONS_ID_TOKEN_REQUEST_TOKEN``)."""

    def token(self, overrides: Mapping[str, str]) -> str:
        """A signed token; ``audience`` names the reader, every other key is a claim."""
        given = dict(overrides)
        audience = given.pop("audience", AUDIENCE)
        now = int(self._clock().timestamp())
        claims: dict[str, str | int] = dict(github_claims(given))
        claims.setdefault("iss", ISSUER)
        claims.setdefault("aud", audience)
        claims.setdefault("jti", secrets.token_hex(16))
        for name, default in zip(TIMES, (now, now - 5, now + LIFETIME_SECONDS), strict=True):
            claims[name] = int(claims.get(name, default))
        header = {"alg": "RS256", "kid": self.key_id, "typ": "JWT"}
        signed = ".".join(_b64u(json.dumps(part).encode()) for part in (header, claims))
        return f"{signed}.{_b64u(self._key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"

    def jwks(self) -> dict[str, object]:
        """The public key as a JWK set (RFC 7517)."""
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id}
        parts = {"n": _b64u(numbers.n.to_bytes(256, "big")), "e": _b64u(numbers.e.to_bytes(3, "big"))}
        return {"keys": [key | parts]}

    def check(self, token: str) -> dict[str, str]:
        """The claims of a token of ours, for Sigstore, valid now; `RefusedRequestError` (401) otherwise."""
        try:
            return self._checked(token)
        except (ValueError, KeyError, TypeError, InvalidSignature) as error:
            reason = str(error) or type(error).__name__
            raise RefusedRequestError(
                401, f"There was an error processing the identity token: {reason}"
            ) from error

    def _checked(self, token: str) -> dict[str, str]:
        signed, _, signature = token.rpartition(".")
        header_part, _, claims_part = signed.partition(".")
        header, claims = json.loads(_unb64u(header_part)), json.loads(_unb64u(claims_part))
        if (header["alg"], header["kid"]) != ("RS256", self.key_id):
            raise ValueError("not signed with this run's key and RS256")
        self._key.public_key().verify(_unb64u(signature), signed.encode(), padding.PKCS1v15(), SHA256())
        if claims["iss"] != ISSUER:
            raise ValueError("another issuer")
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if AUDIENCE not in audiences:
            raise ValueError(f"its audience is {claims['aud']!r} and not {AUDIENCE!r}")
        now = self._clock().timestamp()
        if not claims["nbf"] <= now < claims["exp"]:
            raise ValueError("it is expired, or not valid yet")
        return {name: value for name, value in claims.items() if isinstance(value, str)}


def _b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unb64u(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
