"""The local Sigstore: every path of Fulcio, Rekor, the time-stamp authority and the token service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest

from glassclave_sandbox.services.ca import SigningAuthority, make_signing_authority
from glassclave_sandbox.services.ct import CertificateLog
from glassclave_sandbox.services.fulcio import Fulcio
from glassclave_sandbox.services.keys import LogKey, make_log_key
from glassclave_sandbox.services.oidc import ISSUER, TokenIssuer
from glassclave_sandbox.services.rekor import ENTRIES, Rekor
from glassclave_sandbox.services.server import Answer, RefusedRequestError, Request, json_answer
from glassclave_sandbox.services.tsa import TimestampAuthority, make_timestamp_authority

_NOT_CLAIMS = ("api-version",)
"""In the query of GitHub's own request URL, and no claim of ours."""


@dataclass(frozen=True, slots=True)
class Sigstore:
    """Keys made for one run, and the services that sign with them."""

    authority: SigningAuthority
    certificate_log: LogKey
    transparency_log: LogKey
    timestamps: TimestampAuthority
    tokens: TokenIssuer
    rekor: Rekor
    fulcio: Fulcio

    def answer(self, request: Request) -> Answer:
        """The answer to any request; `RefusedRequestError` (404, 405) where there is nothing to ask."""
        routes = self._routes()
        path = request.path.rstrip("/")
        if path.startswith(f"{ENTRIES}/") and path != f"{ENTRIES}/retrieve":
            path = f"{ENTRIES}/UUID"
        method = "GET" if request.method == "HEAD" else request.method
        if (method, path) in routes:
            return routes[method, path](request)
        if any(path == known for _, known in routes):
            raise RefusedRequestError(405, f"{request.method} is not answered here")
        raise RefusedRequestError(404, f"nothing answers at {request.path}")

    def _routes(self) -> dict[tuple[str, str], Callable[[Request], Answer]]:
        return {
            ("POST", "/api/v2/signingCert"): self.fulcio.version_2,
            ("POST", "/api/v1/signingCert"): self.fulcio.version_1,
            ("GET", "/api/v2/trustBundle"): self.fulcio.trust_bundle,
            ("POST", ENTRIES): self.rekor.add,
            ("GET", ENTRIES): self.rekor.by_index,
            ("GET", f"{ENTRIES}/UUID"): self.rekor.by_uuid,
            ("POST", f"{ENTRIES}/retrieve"): self.rekor.retrieve,
            ("POST", "/api/v1/index/retrieve"): self.rekor.search,
            ("GET", "/api/v1/log"): self.rekor.log_info,
            ("GET", "/api/v1/log/proof"): self.rekor.proof,
            ("GET", "/api/v1/log/publicKey"): self.rekor.public_key,
            ("POST", "/api/v1/timestamp"): self.timestamps.answer,
            ("GET", "/token"): self._token,
            ("GET", "/.well-known/jwks"): lambda _request: json_answer(self.tokens.jwks()),
            ("GET", "/.well-known/openid-configuration"): _discovery,
        }

    def _token(self, request: Request) -> Answer:
        """``GET /token?audience=A[&claim=value]`` as GitHub's ``ACTIONS_ID_TOKEN_REQUEST_URL``."""
        expected = f"bearer {self.tokens.request_token}"
        given = request.headers.get("Authorization", "")
        if not compare_digest(given[:6].lower() + given[6:], expected):
            raise RefusedRequestError(401, "the request token is missing or wrong")
        claims = {name: value for name, value in request.query.items() if name not in _NOT_CLAIMS}
        try:
            return json_answer({"value": self.tokens.token(claims)})
        except ValueError as error:
            raise RefusedRequestError(400, f"a claim that is not what it must be: {error}") from error


def _discovery(_request: Request) -> Answer:
    return json_answer(
        {
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}/.well-known/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
    )


def make_sigstore(clock: Callable[[], datetime]) -> Sigstore:
    """Services with new keys."""
    authority, certificate_key, log_key = make_signing_authority(at=clock()), make_log_key(), make_log_key()
    tokens = TokenIssuer(clock)
    return Sigstore(
        authority=authority,
        certificate_log=certificate_key,
        transparency_log=log_key,
        timestamps=make_timestamp_authority(clock),
        tokens=tokens,
        rekor=Rekor(log_key, clock),
        fulcio=Fulcio(authority, CertificateLog(certificate_key), tokens, clock),
    )


def refusal(refused: RefusedRequestError) -> dict[str, object]:
    """The body of a refusal, in the shape that Fulcio and Rekor share."""
    return {"code": refused.status, "message": refused.message}
