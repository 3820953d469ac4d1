from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509

from glassclave.clients.job_token import ambient_token
from glassclave.clients.sigstore_signer import check_signing, open_signer
from glassclave.clients.sigstore_trust import Trust, load_trust
from glassclave.clients.sigstore_verifier import SigstoreVerifier
from glassclave.errors import GlassclaveError, UnavailableError, UsageError
from glassclave.provenance.cosign import SIGN_PREDICATE_TYPE, build_payload
from glassclave.provenance.statement import build_statement
from glassclave_sandbox.services import Services

PAYLOAD = build_payload("127.0.0.1:5000/o/r", "sha256:" + "a" * 64)
STATEMENT = build_statement("r", "a" * 64, {}, predicate_type=SIGN_PREDICATE_TYPE)
VARIABLES = ("GITHUB_ACTIONS", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("services"), registry=False) as running:
        yield running


@pytest.fixture(scope="module")
def config(services: Services) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(services.trust_config.read_bytes())
    return document


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No job around."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def trust_of(document: object) -> Trust:
    return load_trust(json.dumps(document).encode())


def refusal(trust: Trust, token: str) -> GlassclaveError:
    with pytest.raises(GlassclaveError) as caught, open_signer(trust, token) as signer:
        signer.sign_payload(PAYLOAD)
    return caught.value


def test_one_certificate_signs_both_layouts(services: Services, config: dict[str, Any]) -> None:
    trust = trust_of(config)
    with open_signer(trust, services.token(repository="acme/hello")) as signer:
        signed, bundle = signer.sign_payload(PAYLOAD), signer.sign_statement(STATEMENT)
        assert signer.claims.source_repository_uri == "https://github.com/acme/hello"
    verifier = SigstoreVerifier(trust)
    legacy, stated = verifier.verify_legacy(signed.signature), verifier.verify_bundle(bundle)
    assert legacy.certificate_der == stated.certificate_der
    assert legacy.log_index == signed.log_index
    assert legacy.claims == stated.claims == signer.claims


def test_every_annotation_that_cosign_reads_is_there(services: Services, config: dict[str, Any]) -> None:
    with open_signer(trust_of(config), services.token()) as signer:
        signature = signer.sign_payload(PAYLOAD).signature
    chain = x509.load_pem_x509_certificates((signature.chain or "").encode())
    leaf = x509.load_pem_x509_certificate(signature.certificate.encode())
    leaf.verify_directly_issued_by(chain[0])
    chain[0].verify_directly_issued_by(chain[1])
    log = json.loads(signature.bundle or "")
    assert set(log) == {"SignedEntryTimestamp", "Payload"}
    assert set(log["Payload"]) == {"body", "integratedTime", "logIndex", "logID"}
    assert base64.b64decode(json.loads(signature.timestamp or "")["SignedRFC3161Timestamp"])


def test_a_job_lends_its_identity(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, services.environment(repository="acme/job")[name])
    with open_signer(load_trust(services.trust_config.read_bytes()), ambient_token()) as signer:
        assert signer.claims.source_repository_uri == "https://github.com/acme/job"


@pytest.mark.usefixtures("nowhere")
def test_outside_of_a_job_there_is_no_identity() -> None:
    with pytest.raises(UsageError) as caught:
        ambient_token()
    assert caught.value.code == "sign.identity.none"
    assert "--identity-token" in (caught.value.hint or "")


@pytest.mark.usefixtures("nowhere")
def test_a_job_without_the_permission_is_told_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(UnavailableError) as caught:
        ambient_token()
    assert caught.value.code == "sign.identity.unavailable"
    assert "id-token: write" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/token", "no address", "http://[", "http://127.0.0.1:99999/"]
)
@pytest.mark.usefixtures("nowhere")
def test_a_token_service_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name, value in zip(VARIABLES, ("true", url, "secret"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(UnavailableError) as caught:
        ambient_token()
    assert caught.value.code == "sign.identity.unavailable"
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("nowhere")
def test_a_token_service_that_refuses(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, services.environment()[name])
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "wrong")
    with pytest.raises(UnavailableError) as caught:
        ambient_token()
    assert caught.value.code == "sign.identity.unavailable"


def test_tokens_that_are_none(services: Services, config: dict[str, Any]) -> None:
    header, claims, seal = services.token().split(".")
    broken = ("", "x", "a.b.c", f"{header}.{claims}", f"{header}.e30.{seal}", "é.é.é", "..")
    for token in (*broken, services.token(audience="elsewhere"), services.token(exp="1000000000")):
        refused = refusal(trust_of(config), token)
        assert refused.code == "sign.identity.form", token
        assert seal not in str(refused)


def test_what_can_be_seen_beforehand_is_said_beforehand(services: Services, config: dict[str, Any]) -> None:
    check_signing(trust_of(config), services.token())
    for trust, token, code in (
        (trust_of(config), services.token(audience="elsewhere"), "sign.identity.form"),
        (load_trust(services.trusted_root.read_bytes()), services.token(), "sign.config.none"),
    ):
        with pytest.raises(UsageError) as caught:
            check_signing(trust, token)
        assert caught.value.code == code


def test_a_token_that_fulcio_refuses_says_so_in_its_words(services: Services, config: dict[str, Any]) -> None:
    refused = refusal(trust_of(config), services.token()[:-8] + "AAAAAAAA")
    assert refused.code == "sign.certificate.failed"
    assert "identity token" in refused.message


def test_a_fulcio_that_is_not_there(services: Services, config: dict[str, Any]) -> None:
    signing = config["signingConfig"]
    away = [dict(signing["caUrls"][0], url="http://127.0.0.1:9")]
    refused = refusal(trust_of(config | {"signingConfig": signing | {"caUrls": away}}), services.token())
    assert (refused.code, refused.exit_status) == ("sign.certificate.failed", 3)


def test_a_log_that_is_not_there(services: Services, config: dict[str, Any]) -> None:
    signing = config["signingConfig"]
    away = [dict(signing["rekorTlogUrls"][0], url="http://127.0.0.1:9")]
    refused = refusal(
        trust_of(config | {"signingConfig": signing | {"rekorTlogUrls": away}}), services.token()
    )
    assert refused.code == "sign.signature.failed"


@pytest.mark.parametrize("urls", [[], ["http://127.0.0.1:9"]])
def test_without_a_time_stamp_nothing_is_handed_out(
    services: Services, config: dict[str, Any], urls: list[str]
) -> None:
    """The library only warns, and signs without."""
    signing = config["signingConfig"]
    away = [dict(signing["tsaUrls"][0], url=url) for url in urls]
    refused = refusal(trust_of(config | {"signingConfig": signing | {"tsaUrls": away}}), services.token())
    assert refused.code in ("sign.timestamp.missing", "sign.signature.failed")


def test_the_librarys_warning_is_told_once_and_with_the_error(
    services: Services, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    signing = config["signingConfig"]
    away = [dict(signing["tsaUrls"][0], url="http://127.0.0.1:9")]
    refused = refusal(trust_of(config | {"signingConfig": signing | {"tsaUrls": away}}), services.token())
    assert refused.code == "sign.timestamp.missing"
    assert "http://127.0.0.1:9" in refused.message
    assert caplog.messages == []


def test_a_root_alone_does_not_say_where_to_sign(services: Services) -> None:
    refused = refusal(load_trust(services.trusted_root.read_bytes()), services.token())
    assert (refused.code, refused.exit_status) == ("sign.config.none", 2)
