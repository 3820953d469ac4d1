"""Sigstore's services and the job's token service when they fail, in the smallest form of each failure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from glassclave.clients import http, job_token
from glassclave.clients.job_token import ambient_token
from glassclave.clients.sigstore_http import MAX_ANSWER
from glassclave.clients.sigstore_signer import open_signer
from glassclave.clients.sigstore_trust import load_trust
from glassclave.errors import GlassclaveError, UnavailableError
from glassclave.provenance.cosign import SIGN_PREDICATE_TYPE, build_payload
from glassclave.provenance.statement import build_statement
from glassclave_sandbox.services import Services
from tests.faults.kinds import at_path, silence
from tests.faults.other_keys import FULCIO, PATHS, REKOR, TSA, other_key, router
from tests.faults.proxy import Exchange, Given, Proxy, proxying
from tests.registry_server import Answer, Request, serving

PAYLOAD = build_payload("127.0.0.1:5000/o/r", "sha256:" + "a" * 64)
STATEMENT = build_statement("r", "a" * 64, {}, predicate_type=SIGN_PREDICATE_TYPE)
SECRET = "request-token-of-the-job"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("services"), registry=False) as running:
        yield running


def sign(services: Services, proxy: Proxy) -> GlassclaveError:
    """How signing a payload and a statement through the proxy ends: it must not succeed."""
    config = json.loads(services.trust_config.read_bytes())
    moved = json.dumps(config["signingConfig"]).replace(services.url, f"http://{proxy.address}")
    trust = load_trust(json.dumps(config | {"signingConfig": json.loads(moved)}).encode())
    with pytest.raises(GlassclaveError) as caught, open_signer(trust, services.token()) as signer:
        signer.sign_payload(PAYLOAD)
        signer.sign_statement(STATEMENT)
    return caught.value


def upstream(services: Services) -> Proxy:
    return Proxy(lambda _: services.url.removeprefix("http://"))


@pytest.mark.parametrize(
    ("which", "skip", "code"),
    [
        ("fulcio", 0, "sign.signature.failed"),
        ("fulcio-late", 0, "sign.certificate.failed"),
        ("ct", 0, "sign.certificate.failed"),
        ("rekor", 0, "sign.signature.failed"),
        ("rekor", 1, "sign.signature.failed"),
        ("tsa", 0, "sign.signature.failed"),
        ("tsa", 1, "sign.timestamp.missing"),
    ],
)
def test_a_service_with_another_key_or_clock_gives_nothing_to_push(
    services: Services, which: str, skip: int, code: str
) -> None:
    with (
        other_key(services, which) as addresses,
        proxying(Proxy(router(addresses, PATHS[which], skip=skip))) as proxy,
    ):
        assert sign(services, proxy).code == code


@pytest.mark.parametrize("path", [FULCIO, TSA, REKOR])
def test_a_service_that_says_nothing_is_given_up(
    services: Services, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(http, "SILENCE_SECONDS", 0.5)
    with proxying(upstream(services)) as proxy:
        proxy.plan = at_path(path, silence)
        refused = sign(services, proxy)
    assert refused.code in ("sign.certificate.failed", "sign.signature.failed", "sign.timestamp.missing")


def test_an_answer_without_end_is_not_read(services: Services) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.answer(Given(200, {}, b" " * (MAX_ANSWER + 1)))

    with proxying(upstream(services)) as proxy:
        proxy.plan = at_path(FULCIO, endless)
        refused = sign(services, proxy)
    assert refused.code == "sign.certificate.failed"
    assert f"more than {MAX_ANSWER} bytes" in refused.message


def test_a_service_that_repeats_the_token_is_not_quoted_with_it(services: Services) -> None:
    def repeats(exchange: Exchange) -> None:
        exchange.answer(Given(400, {}, b"not good: " + exchange.asked.headers["authorization"].encode()))

    with proxying(upstream(services)) as proxy:
        proxy.plan = at_path(FULCIO, repeats)
        refused = sign(services, proxy)
        token = proxy.requests[0].headers["authorization"].removeprefix("Bearer ")
    assert refused.message.endswith("not good: Bearer ***")
    assert token.rpartition(".")[2] not in str(refused)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Answer]]:
    """A job whose token service gives these answers, the last one again and again."""
    answers: list[Answer] = []

    def answer(_request: Request) -> Answer:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    with serving() as server:
        server.override = answer
        monkeypatch.setattr("time.sleep", lambda _: None)
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"http://{server.address}/t?api-version=2.0")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", SECRET)
        yield answers
        for request in server.requests:
            assert request.query == {"api-version": ["2.0"], "audience": ["sigstore"]}
            assert request.headers["authorization"] == f"bearer {SECRET}"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, SECRET.encode()),
        Answer(400, SECRET.encode()),
        Answer(307, headers={"Location": "/elsewhere"}),
        Answer(200, SECRET.encode()),
        Answer(200, json.dumps({"value": f"two lines\r\n{SECRET}"}).encode()),
        Answer(200, json.dumps({"value": ["a"]}).encode()),
        Answer(200, b"{}"),
        Answer(200, b" " * (job_token.MAX_ANSWER + 1)),
    ],
)
def test_a_token_service_that_fails_is_one_error_without_a_secret(job: list[Answer], answer: Answer) -> None:
    job.append(answer)
    with pytest.raises(UnavailableError) as caught:
        ambient_token()
    assert caught.value.code == "sign.identity.unavailable"
    assert SECRET not in f"{caught.value} {caught.value.hint}"


def test_a_token_service_may_recover(job: list[Answer]) -> None:
    job += [Answer(503), Answer(500), Answer(200, b'{"value": "a.b.c"}')]
    assert ambient_token() == "a.b.c"


def test_a_request_token_that_is_no_header_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", f"{SECRET}\nX: y")
    with pytest.raises(UnavailableError) as caught:
        ambient_token()
    assert SECRET not in str(caught.value)


def test_the_proxy_itself_changes_nothing(services: Services, tmp_path: Path) -> None:
    with proxying(upstream(services)) as proxy:
        config = services.trust_config.read_text().replace(services.url, f"http://{proxy.address}")
        with open_signer(load_trust(config.encode()), services.token()) as signer:
            signer.sign_statement(STATEMENT)
    assert [asked.path for asked in proxy.requests] == [FULCIO, TSA, REKOR]
