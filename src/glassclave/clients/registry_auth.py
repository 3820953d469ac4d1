"""How a registry lets us in: its challenge, and the ``Authorization`` header that answers it.

RFC 7235 challenges, RFC 7617 Basic, and the token protocol of the distribution project ("Docker Registry v2
authentication", with its OAuth2 form for identity tokens).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit, urlunsplit

from glassclave.clients.credentials import Credential, Credentials
from glassclave.clients.http import Reply, Web, refuse_outage, target_of
from glassclave.errors import ParseError, UnavailableError
from glassclave.fields import Fields, parse_json

MAX_TOKEN_ANSWER = 1 << 18
MAX_CHALLENGE = 4096
CLIENT_ID = "glassclave"
_SCHEME = re.compile(r"\s*(Bearer|Basic)(?=\s|\Z)", re.IGNORECASE)
_PARAMETER = re.compile(r'[\s,]*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")


@dataclass(frozen=True, slots=True)
class Challenge:
    """A ``WWW-Authenticate`` header: ``bearer`` or ``basic``, and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


@dataclass(slots=True)
class Keyring:
    """``Authorization`` headers of one registry, per scope; fetched when the registry first asks."""

    web: Web
    registry: str
    credentials: Credentials
    _headers: dict[str, str] = field(default_factory=dict, repr=False)

    def header(self, scope: str) -> dict[str, str]:
        """The header to send for ``scope`` as far as it is known."""
        known = self._headers.get(scope)
        return {} if known is None else {"Authorization": known}

    def answer(self, reply: Reply, scope: str) -> None:
        """Learn the header that answers the challenge of a 401 ``reply``.

        Raises `UnavailableError` ``registry.unauthorized``, ``registry.challenge``; `TransientError`.
        """
        challenge = parse_challenge(reply.header("www-authenticate"))
        if challenge is None:
            raise self._unauthorized("asks for a login in no way that is known here")
        credential = self.credentials.find(self.registry)
        if challenge.scheme == "basic":
            if credential is None or not credential.password:
                raise self._unauthorized("asks for a name and a password")
            self._headers[scope] = _basic(credential)
        elif credential is not None and credential.registry_token:
            self._headers[scope] = f"Bearer {_clean(credential.registry_token, self.registry)}"
        else:
            self._headers[scope] = f"Bearer {self._token(challenge, credential, scope, reply)}"

    def _token(self, challenge: Challenge, credential: Credential | None, scope: str, reply: Reply) -> str:
        realm = challenge.parameters.get("realm", "")
        target = target_of(realm)
        if target.scheme == "http" and reply.target.scheme != "http":
            raise UnavailableError(
                "registry.challenge", "sends its users to a token service without TLS", source=self.registry
            )
        query = {"service": challenge.parameters.get("service", ""), "scope": scope}
        query = {name: value for name, value in query.items() if value}
        if credential is not None and credential.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": credential.identity_token}
            body = urlencode({**form, **query, "client_id": CLIENT_ID}).encode()
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._ask("POST", realm, kind, body)
        headers = {}
        if credential is not None and credential.password:
            headers["Authorization"] = _basic(credential)
            query["account"] = credential.username
        parts = urlsplit(realm)
        merged = "&".join(part for part in (parts.query, urlencode(query)) if part)
        return self._ask("GET", urlunsplit(parts._replace(query=merged, fragment="")), headers, None)

    def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> str:
        with self.web.send(method, url, {**headers, "Accept": "application/json"}, body=body) as reply:
            refuse_outage(reply)
            if reply.status in (400, 401, 403):
                raise self._unauthorized("does not accept the login")
            if reply.status != 200:
                raise UnavailableError(
                    "registry.challenge",
                    f"its token service {reply.target.shown} answers {reply.status}",
                    source=self.registry,
                )
            answer = reply.body(MAX_TOKEN_ANSWER)
        source = f"token service {reply.target.shown}"
        fields = Fields.of(parse_json(answer, source=source), source=source)
        token = fields.optional_text("token") or fields.optional_text("access_token")
        if not token:
            raise ParseError("registry.challenge", "answers without a token", source=source)
        return _clean(token, source)

    def _unauthorized(self, why: str) -> UnavailableError:
        return UnavailableError(
            "registry.unauthorized",
            why,
            source=self.registry,
            hint=f"log in first, e.g. `docker login {self.registry}` or `oras login {self.registry}`",
        )


def parse_challenge(header: str) -> Challenge | None:
    """The first Bearer or else Basic challenge of a ``WWW-Authenticate`` header, if there is one.

    Parameter names are lower case. A second challenge in the same header is not read.
    """
    if len(header) > MAX_CHALLENGE:
        return None
    found = _SCHEME.match(header)
    if found is None:
        return None
    position = found.end()
    parameters: dict[str, str] = {}
    while (part := _PARAMETER.match(header, position)) is not None:
        value = part[3] if part[2] is None else re.sub(r"\\(.)", r"\1", part[2])
        parameters.setdefault(part[1].lower(), value)
        position = part.end()
    return Challenge(found[1].lower(), parameters)


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def _clean(token: str, source: str) -> str:
    """A token as it may stand in a header: no white space, no line break."""
    if _TOKEN.match(token) is None:
        raise ParseError("registry.challenge", "a token that cannot be sent", source=source)
    return token
