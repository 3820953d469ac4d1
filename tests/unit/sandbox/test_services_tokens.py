"""Tokens as GitHub makes them, and certificates only for good ones."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from glassclave_sandbox.services import Services
from tests.unit.sandbox.loopback import ask, ask_for_certificate, certificate_in, signing_request

WORKFLOW = "acme/enclave/.github/workflows/release.yml@refs/heads/main"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("services"), registry=False) as running:
        yield running


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _signature = token.split(".")
    decoded = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, claims)]
    return decoded[0], decoded[1]


def b64u(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def claims_in(certificate: x509.Certificate) -> dict[int, bytes]:
    return {
        int(extension.oid.dotted_string.rpartition(".")[2]): extension.value.value
        for extension in certificate.extensions
        if extension.oid.dotted_string.startswith("1.3.6.1.4.1.57264.1.")
        and isinstance(extension.value, x509.UnrecognizedExtension)
    }


def test_a_token_is_that_of_a_github_job(services: Services) -> None:
    header, claims = parts_of(services.token())
    assert header["alg"] == "RS256"
    assert claims["iss"] == "https://token.actions.githubusercontent.com"
    assert claims["aud"] == "sigstore"
    assert claims["sub"] == "repo:acme/enclave:ref:refs/heads/main"
    assert claims["job_workflow_ref"] == claims["workflow_ref"] == WORKFLOW
    assert claims["nbf"] < claims["iat"] <= time.time() < claims["exp"]


def test_what_follows_from_a_claim_follows_it(services: Services) -> None:
    _, claims = parts_of(services.token(repository="evil/fork", ref="refs/tags/v1"))
    assert claims["repository_owner"] == "evil"
    assert claims["ref_type"] == "tag"
    assert claims["job_workflow_ref"] == "evil/fork/.github/workflows/release.yml@refs/tags/v1"
    assert claims["sub"] == "repo:evil/fork:ref:refs/tags/v1"
    _, shared = parts_of(services.token(job_workflow_ref=WORKFLOW, repository="evil/fork"))
    assert shared["job_workflow_ref"] == WORKFLOW
    assert shared["workflow_ref"].startswith("evil/fork/")
    assert parts_of(services.token(environment="prod"))[1]["sub"] == "repo:acme/enclave:environment:prod"
    assert parts_of(services.token(event_name="pull_request"))[1]["sub"] == "repo:acme/enclave:pull_request"


def test_the_token_service_wants_its_request_token(services: Services) -> None:
    environment = services.environment(ref="refs/tags/v2")
    url = environment["ACTIONS_ID_TOKEN_REQUEST_URL"] + "&audience=somebody"
    secret = environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    assert ask("GET", url).status == 401
    assert ask("GET", url, headers={"Authorization": f"bearer {secret}x"}).status == 401
    answer = ask("GET", url, headers={"Authorization": f"bearer {secret}"})
    _, claims = parts_of(answer.json()["value"])
    assert (claims["aud"], claims["ref"], "api-version" in claims) == ("somebody", "refs/tags/v2", False)
    assert ask("GET", url + "&exp=soon", headers={"Authorization": f"bearer {secret}"}).status == 400


def test_a_certificate_says_what_the_token_says(services: Services) -> None:
    certificate = certificate_in(ask_for_certificate(services.url, services.token(environment="prod")))
    claims = claims_in(certificate)
    assert sorted(claims) == [1, 2, 3, 4, 5, 6, *range(8, 25)]
    assert claims[1] == b"https://token.actions.githubusercontent.com"
    assert claims[5] == b"acme/enclave"
    assert claims[9] == b"\x0c" + bytes([len(WORKFLOW) + 19]) + b"https://github.com/" + WORKFLOW.encode()
    assert claims[11] == b"\x0c\x0dgithub-hosted"
    assert claims[21][2:] == b"https://github.com/acme/enclave/actions/runs/777/attempts/1"
    assert claims[23] == b"\x0c\x04prod"
    assert claims[24][2:] == b"repo:acme/enclave:environment:prod"
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert san.critical
    assert list(san.value) == [x509.UniformResourceIdentifier(f"https://github.com/{WORKFLOW}")]
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CODE_SIGNING]
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life.total_seconds() == 600
    assert not list(certificate.subject)


def test_an_empty_claim_is_left_out(services: Services) -> None:
    token = services.token(repository_visibility="", run_id="")
    claims = claims_in(certificate_in(ask_for_certificate(services.url, token)))
    assert claims.keys().isdisjoint({21, 22, 23})
    assert ask_for_certificate(services.url, services.token(job_workflow_ref="")).status == 400


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"audience": "somebody"}, "audience"),
        ({"exp": "1"}, "expired"),
        ({"nbf": "99999999999"}, "not valid yet"),
        ({"iss": "https://token.actions.example"}, "issuer"),
    ],
)
def test_fulcio_refuses_a_token(services: Services, claims: dict[str, str], reason: str) -> None:
    answer = ask_for_certificate(services.url, services.token(**claims))
    assert answer.status == 401
    assert reason in answer.json()["message"]


def test_fulcio_refuses_a_forged_token(services: Services, tmp_path: Path) -> None:
    with Services(tmp_path, registry=False) as others:
        foreign = others.token()
    header, claims, signature = services.token().split(".")
    other_claims = b64u(parts_of(services.token())[1] | {"repository": "evil/fork"})
    forged = [
        foreign,
        f"{header}.{other_claims}.{signature}",
        f"{b64u({'alg': 'none', 'kid': parts_of(services.token())[0]['kid']})}.{claims}.",
        f"{b64u({'alg': 'HS256', 'kid': parts_of(services.token())[0]['kid']})}.{claims}.{signature}",
        f"{header}.{claims}.",
        f"{header}.{claims}.{signature[:-4]}",
        f"{b64u([1])}.{claims}.{signature}",
        "x",
    ]
    assert [ask_for_certificate(services.url, token).status for token in forged] == [401] * len(forged)
    assert ask("POST", f"{services.url}/api/v2/signingCert", {"x": 1}).status == 401


def test_fulcio_wants_proof_of_the_key(services: Services) -> None:
    token, key = services.token(), ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    subject = parts_of(token)[1]["sub"].encode()

    def proven(what: bytes) -> dict[str, Any]:
        proof = base64.b64encode(key.sign(what, ec.ECDSA(SHA256()))).decode()
        return {
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": public.decode()},
                "proofOfPossession": proof,
            }
        }

    good = ask_for_certificate(services.url, token, proven(subject))
    assert certificate_in(good).public_key() == key.public_key()
    assert ask_for_certificate(services.url, token, proven(subject + b"x")).status == 400
    csr = bytearray(base64.b64decode(signing_request(key)["certificateSigningRequest"]))
    other = x509.load_pem_x509_csr(bytes(csr)).public_bytes(Encoding.DER)
    broken = x509.load_der_x509_csr(other[:-1] + bytes([other[-1] ^ 1])).public_bytes(Encoding.PEM)
    asked = {"certificateSigningRequest": base64.b64encode(broken).decode()}
    assert ask_for_certificate(services.url, token, asked).status == 400
    assert ask_for_certificate(services.url, token, {"publicKeyRequest": None}).status == 400
    assert ask_for_certificate(services.url, token, b"{").status == 400
