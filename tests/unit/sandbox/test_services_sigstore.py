"""sigstore-python signs and verifies against the local Sigstore; another run's keys are strangers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sigstore import dsse
from sigstore.errors import VerificationError
from sigstore.models import Bundle, ClientTrustConfig, TrustedRoot
from sigstore.oidc import IdentityToken, detect_credential
from sigstore.sign import SigningContext
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity

from glassclave_sandbox.services import Services

IDENTITY = Identity(
    identity="https://github.com/acme/enclave/.github/workflows/release.yml@refs/heads/main",
    issuer="https://token.actions.githubusercontent.com",
)
STATEMENT = json.dumps(
    {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "app", "digest": {"sha256": "ab" * 32}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    }
).encode()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("services"), registry=False) as running:
        yield running


def sign(services: Services, token: str) -> tuple[Bundle, Bundle]:
    """The bytes ``payload`` and the statement, by one certificate."""
    trust = ClientTrustConfig.from_json(services.trust_config.read_text())
    with SigningContext.from_trust_config(trust).signer(IdentityToken(token)) as signer:
        return signer.sign_artifact(b"payload"), signer.sign_dsse(dsse.Statement(STATEMENT))


def verifier(services: Services) -> Verifier:
    return Verifier(trusted_root=TrustedRoot.from_file(str(services.trusted_root)))


def test_sigstore_python_signs_and_verifies(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in services.environment().items():
        monkeypatch.setenv(name, value)
    token = detect_credential("sigstore")
    assert token is not None
    artifact, statement = sign(services, token)
    verifier(services).verify_artifact(b"payload", artifact, IDENTITY)
    assert verifier(services).verify_dsse(statement, IDENTITY) == ("application/vnd.in-toto+json", STATEMENT)
    assert artifact.signing_certificate == statement.signing_certificate
    for bundle in (artifact, statement):
        material = json.loads(bundle.to_json())["verificationMaterial"]
        assert len(material["timestampVerificationData"]["rfc3161Timestamps"]) == 1
        assert int(material["tlogEntries"][0]["logIndex"]) > 0
        assert len(verifier(services)._verify_timestamp_authority(bundle)) == 1


def test_what_was_not_signed_is_refused(services: Services) -> None:
    artifact, _ = sign(services, services.token())
    with pytest.raises(VerificationError):
        verifier(services).verify_artifact(b"another", artifact, IDENTITY)
    foreign, _ = sign(services, services.token(repository="evil/fork"))
    with pytest.raises(VerificationError):
        verifier(services).verify_artifact(b"payload", foreign, IDENTITY)


def test_another_run_is_not_trusted(services: Services, tmp_path: Path) -> None:
    artifact, _ = sign(services, services.token())
    with Services(tmp_path, registry=False) as others, pytest.raises(VerificationError):
        verifier(others).verify_artifact(b"payload", artifact, IDENTITY)


def test_names_say_what_this_is(services: Services) -> None:
    root = json.loads(services.trusted_root.read_text())
    names = [
        authority["subject"]["commonName"]
        for kind in ("certificateAuthorities", "timestampAuthorities")
        for authority in root[kind]
    ]
    assert len(names) == 2
    assert all(name.startswith("SANDBOX ") for name in names)


def test_the_log_names_itself_as_its_address_does(services: Services) -> None:
    artifact, _ = sign(services, services.token())
    entry = json.loads(artifact.to_json())["verificationMaterial"]["tlogEntries"][0]
    origin = entry["inclusionProof"]["checkpoint"]["envelope"].split(" - ")[0]
    assert f"//{origin}:" in json.loads(services.trusted_root.read_text())["tlogs"][0]["baseUrl"]
