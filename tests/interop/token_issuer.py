"""GitHub's token issuer, for a real Fulcio: discovery, keys, and tokens for whoever has the job's secret.

Under its real name it is reached as everything is from behind a proxy: CONNECT, then TLS, here with a
certificate that Fulcio alone is told to trust.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from glassclave_sandbox.services.ca import certificate_builder, common_name, key_usage, make_root
from glassclave_sandbox.services.oidc import ISSUER, TokenIssuer
from tests.interop.network import HOST

NAME = ISSUER.removeprefix("https://")


@dataclass(frozen=True)
class Issuers:
    """One issuer under two names: GitHub's, behind the proxy, and ``address``, plainly."""

    tokens: TokenIssuer
    address: str

    def answer(self, name: str, path: str, authorization: str) -> object | None:
        """What is found there; ``None``: nothing."""
        url = urlsplit(path)
        if url.path == "/.well-known/openid-configuration":
            return {
                "issuer": name,
                "jwks_uri": f"{name}/.well-known/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        if url.path == "/.well-known/jwks":
            return self.tokens.jwks()
        scheme, _, secret = authorization.partition(" ")
        if url.path == "/token" and (scheme.lower(), secret) == ("bearer", self.tokens.request_token):
            return {"value": self.tokens.token(_claims(url.query))}
        return None


def _claims(query: str) -> Mapping[str, str]:
    claims = dict(parse_qsl(query, keep_blank_values=True))
    claims.pop("api-version", None)
    return claims


@contextmanager
def serve_issuers(folder: Path, port: int, proxy_port: int) -> Iterator[Issuers]:
    """Both doors open; ``folder/issuer.pem`` is whom to trust behind the proxy."""
    issuers = Issuers(TokenIssuer(lambda: datetime.now(UTC)), f"http://{HOST}:{port}")
    plain = _Server((HOST, port), _Issuer, issuers, issuers.address, None)
    proxy = _Server((HOST, proxy_port), _Proxy, issuers, ISSUER, _tls(folder))
    try:
        for server in (plain, proxy):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield issuers
    finally:
        for server in (plain, proxy):
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        issuers: Issuers,
        name: str,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.issuers, self.name, self.tls = issuers, name, tls
        super().__init__(address, handler)


class _Issuer(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        found = self.server.issuers.answer(self.server.name, self.path, self.headers.get("Authorization", ""))
        if found is None:
            self.send_error(404)
            return
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Proxy(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""

    def do_CONNECT(self) -> None:
        if self.path != f"{NAME}:443" or self.server.tls is None:
            self.send_error(403)
            return
        self.close_connection = True
        self.send_response_only(200)
        self.end_headers()
        with self.server.tls.wrap_socket(self.connection, server_side=True) as inside:
            _Issuer(inside, self.client_address, self.server)


def _tls(folder: Path) -> ssl.SSLContext:
    """A server certificate for GitHub's issuer, by an authority of this run."""
    at = datetime.now(UTC)
    root = make_root("SANDBOX issuer root", at=at)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        certificate_builder(NAME, common_name(root.certificate), key.public_key(), at)
        .add_extension(key_usage(signs_data=True, signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(root.key, SHA384())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "issuer.pem").write_bytes(root.pem)
    (folder / "issuer-tls.pem").write_bytes(certificate.public_bytes(Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "issuer-tls.pem")
    return context
