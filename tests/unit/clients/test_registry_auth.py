import base64
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from glassclave.clients.credentials import Credential
from glassclave.clients.http import Web
from glassclave.clients.registry import Registry
from glassclave.clients.registry_auth import Keyring, parse_challenge
from glassclave.errors import GlassclaveError
from glassclave.oci.manifest import MANIFEST_MEDIA_TYPE
from glassclave.oci.reference import parse_reference
from tests.registry_server import Answer, RegistryServer, Request, digest_of, failure, serving
from tests.unit.clients.tls import certificate

PASSWORD = "s3cret-password"
TOKEN = "s3cret-token"
BASIC = "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()


class Known:
    """Credentials of one registry."""

    def __init__(self, registry: str, credential: Credential) -> None:
        self._known = {registry: credential}

    def find(self, registry: str) -> Credential | None:
        return self._known.get(registry)


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with serving() as registry:
        registry.add_manifest(b"{}", MANIFEST_MEDIA_TYPE, "t")
        yield registry


def resolve(server: RegistryServer, credential: Credential | None = None) -> bytes:
    credentials = None if credential is None else Known(server.address, credential)
    registry = Registry(credentials, sleep=lambda seconds: None)
    return registry.resolve(parse_reference(f"{server.address}/o/r:t")).data


def demand_token(server: RegistryServer, *, realm: str | None = None, answer: Answer | None = None) -> None:
    """The registry wants a bearer token, which its token service gives to everybody."""
    where = realm or f"http://{server.address}/token?tenant=x"

    def override(request: Request) -> Answer | None:
        if request.path == "/token":
            return answer or Answer(200, f'{{"token": "{TOKEN}"}}'.encode())
        if request.headers.get("authorization") == f"Bearer {TOKEN}":
            return None
        challenge = f'Bearer realm="{where}",service="the service",scope="repository:o/r:pull"'
        return failure(401, "UNAUTHORIZED", WWW_Authenticate=challenge)

    server.override = override


def demand_password(server: RegistryServer) -> None:
    def override(request: Request) -> Answer | None:
        if request.headers.get("authorization") == BASIC:
            return None
        return failure(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="r"')

    server.override = override


def refusal(server: RegistryServer, credential: Credential | None = None) -> GlassclaveError:
    with pytest.raises(GlassclaveError) as caught:
        resolve(server, credential)
    shown = f"{caught.value} {caught.value.hint} {caught.value!r}"
    assert PASSWORD not in shown
    assert TOKEN not in shown
    return caught.value


def test_anybody_may_fetch_a_token_for_what_is_public(server: RegistryServer) -> None:
    demand_token(server)
    assert resolve(server) == b"{}"
    token = next(request for request in server.requests if request.path == "/token")
    assert token.query == {"tenant": ["x"], "service": ["the service"], "scope": ["repository:o/r:pull"]}
    assert "authorization" not in token.headers


def test_a_password_is_shown_to_the_token_service_only(server: RegistryServer) -> None:
    demand_token(server)
    assert resolve(server, Credential("alice", PASSWORD)) == b"{}"
    sent = {request.path: request.headers.get("authorization") for request in server.requests}
    assert sent == {"/token": BASIC, "/v2/o/r/manifests/t": f"Bearer {TOKEN}"}


def test_an_identity_token_is_exchanged(server: RegistryServer) -> None:
    demand_token(server, answer=Answer(200, f'{{"access_token": "{TOKEN}"}}'.encode()))
    assert resolve(server, Credential(identity_token="refresh")) == b"{}"
    token = next(request for request in server.requests if request.path == "/token")
    assert token.method == "POST"
    assert b"grant_type=refresh_token&refresh_token=refresh&service=the+service" in token.body


def test_a_registry_token_is_sent_as_it_is(server: RegistryServer) -> None:
    demand_token(server)
    assert resolve(server, Credential(registry_token=TOKEN)) == b"{}"
    assert "/token" not in server.asked("GET")


def test_a_push_asks_for_the_right_to_push(server: RegistryServer) -> None:
    demand_token(server)
    ref = parse_reference(f"{server.address}/o/r")
    registry = Registry(sleep=lambda seconds: None)
    assert registry.push_blob(ref, b"blob", digest_of(b"blob"))
    tokens = [request.query["scope"] for request in server.requests if request.path == "/token"]
    assert tokens == [["repository:o/r:pull,push"]]


def test_a_name_and_password_are_sent(server: RegistryServer) -> None:
    demand_password(server)
    assert resolve(server, Credential("alice", PASSWORD)) == b"{}"


def test_a_wrong_password_is_an_error(server: RegistryServer) -> None:
    demand_password(server)
    assert refusal(server, Credential("bob", PASSWORD)).code == "registry.unauthorized"
    assert len(server.requests) == 2


def test_no_password_is_an_error_that_says_how_to_log_in(server: RegistryServer) -> None:
    demand_password(server)
    error = refusal(server)
    assert error.code == "registry.unauthorized"
    assert f"docker login {server.address}" in str(error.hint)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (failure(401, "UNAUTHORIZED"), "registry.unauthorized"),
        (failure(403, "DENIED"), "registry.unauthorized"),
        (failure(404, "X"), "registry.challenge"),
        (failure(503, "X"), "registry.unavailable"),
        (failure(429, "X"), "registry.rate-limited"),
        (Answer(200, b"{}"), "registry.challenge"),
        (Answer(200, b"<html>"), "json.syntax"),
        (Answer(200, b'{"token": "s3cret-token\\r\\nX: y"}'), "registry.challenge"),
        (Answer(302, b"", {"Location": "http://127.0.0.1:9/"}), "registry.challenge"),
        (Answer(200, b" " * ((1 << 18) + 1)), "registry.size"),
    ],
)
def test_a_token_service_that_gives_none(server: RegistryServer, answer: Answer, code: str) -> None:
    demand_token(server, answer=answer)
    assert refusal(server, Credential("alice", PASSWORD)).code == code


@pytest.mark.parametrize(
    "realm", ["http://registry.invalid/token", "file:///etc/passwd", "/token", "http://u:p@127.0.0.1/t"]
)
def test_a_token_service_without_tls_gets_no_password(server: RegistryServer, realm: str) -> None:
    demand_token(server, realm=realm)
    assert refusal(server, Credential("alice", PASSWORD)).code == "registry.url"


def test_a_registry_with_tls_may_not_send_us_to_one_without(
    server: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with serving(tls=context) as secure:
        demand_token(secure, realm=f"http://{server.address}/token")
        web = Web()
        keyring = Keyring(web, secure.address, Known(secure.address, Credential("alice", PASSWORD)))
        with (
            web.send("GET", f"https://{secure.address}/v2/", {}) as reply,
            pytest.raises(GlassclaveError) as caught,
        ):
            keyring.answer(reply, "repository:o/r:pull")
        assert caught.value.code == "registry.challenge"
        assert server.requests == []


def test_a_token_that_ran_out_is_fetched_again(server: RegistryServer) -> None:
    demand_token(server)
    registry = Registry(sleep=lambda seconds: None)
    ref = parse_reference(f"{server.address}/o/r:t")
    registry.resolve(ref)
    challenged = server.override
    fresh = "another-token"

    def override(request: Request) -> Answer | None:
        if request.path == "/token":
            return Answer(200, f'{{"token": "{fresh}"}}'.encode())
        if request.headers.get("authorization") == f"Bearer {fresh}":
            return None
        return challenged(Request("GET", request.path, {}, {}, b""))

    server.override = override
    assert registry.resolve(ref).data == b"{}"


@pytest.mark.parametrize(
    ("header", "scheme", "parameters"),
    [
        ('Bearer realm="https://a/b",service="c"', "bearer", {"realm": "https://a/b", "service": "c"}),
        ('bearer Realm=x , scope="a,b"', "bearer", {"realm": "x", "scope": "a,b"}),
        ('Basic realm="q\\"q"', "basic", {"realm": 'q"q'}),
        ('Bearer realm="a", Basic realm="b"', "bearer", {"realm": "a"}),
        ("Basic", "basic", {}),
    ],
)
def test_challenges_are_read(header: str, scheme: str, parameters: Mapping[str, str]) -> None:
    challenge = parse_challenge(header)
    assert challenge is not None
    assert (challenge.scheme, challenge.parameters) == (scheme, parameters)


@pytest.mark.parametrize(
    "header", ["", "Negotiate", "Bearerrealm=x", "Digest realm=x", "Basic " + "a" * 5000]
)
def test_unknown_challenges_are_none(header: str) -> None:
    assert parse_challenge(header) is None
