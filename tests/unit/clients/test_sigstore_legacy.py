"""`.sig` signatures that log, authority and key vouch for, all but the one bent part."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from glassclave.clients.sigstore_verifier import SigstoreVerifier
from glassclave.errors import GlassclaveError
from glassclave.provenance.cosign import LegacySignature
from glassclave_sandbox.services.keys import make_log_key
from tests.unit.clients.sigstore_forge import AT, PAYLOAD, SIGNER, Body, Forge


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


def code_of(verifier: SigstoreVerifier, signature: LegacySignature) -> str:
    with pytest.raises(GlassclaveError) as caught:
        verifier.verify_legacy(signature)
    return caught.value.code


def test_what_is_whole_passes(forge: Forge) -> None:
    verified = forge.verifier().verify_legacy(forge.sign())
    assert (verified.kind, verified.payload, verified.log_index) == ("cosign", PAYLOAD, 7)
    assert verified.signed_at == AT + timedelta(seconds=5)
    assert verified.claims.san_uri == SIGNER


def signature_of(entry: Body) -> dict[str, Any]:
    found: dict[str, Any] = entry["spec"]["signature"]
    return found


def other_kind(entry: Body) -> None:
    entry["kind"] = "rekord"


def other_version(entry: Body) -> None:
    entry["apiVersion"] = "0.0.2"


def other_algorithm(entry: Body) -> None:
    entry["spec"]["data"]["hash"]["algorithm"] = "sha512"


def other_digest(entry: Body) -> None:
    entry["spec"]["data"]["hash"]["value"] = hashlib.sha256(PAYLOAD + b" ").hexdigest()


def other_signature(entry: Body) -> None:
    signature_of(entry)["content"] = base64.b64encode(b"0" * 70).decode()


def other_certificate(entry: Body) -> None:
    pem = Forge().certificate().public_bytes(Encoding.PEM)
    signature_of(entry)["publicKey"]["content"] = base64.b64encode(pem).decode()


@pytest.mark.parametrize(
    "bend", [other_kind, other_version, other_algorithm, other_digest, other_signature, other_certificate]
)
def test_an_entry_that_the_log_did_promise_but_about_something_else(
    forge: Forge, bend: Callable[[Body], None]
) -> None:
    """CVE-2026-22703: each comparison by itself, under a promise that holds."""
    assert code_of(forge.verifier(), forge.sign(body=bend)) == "signature.log.mismatch"


def test_an_entry_with_a_bare_key_for_a_certificate(forge: Forge) -> None:
    """GHSA-fx35-mq7g-6g98."""
    pem = forge.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def bare(entry: Body) -> None:
        signature_of(entry)["publicKey"]["content"] = base64.b64encode(pem).decode()

    assert code_of(forge.verifier(), forge.sign(body=bare)) == "signature.certificate.form"
    key_first = replace(forge.sign(), certificate=pem.decode() + forge.sign().certificate)
    assert code_of(forge.verifier(), key_first) == "signature.certificate.form"


def test_a_promise_by_another_key(forge: Forge) -> None:
    stranger = make_log_key()
    assert code_of(forge.verifier(), forge.sign(log=stranger)) == "signature.log.unknown"
    assert code_of(forge.verifier(), forge.sign(log=stranger, named=forge.log)) == "signature.log.invalid"


def test_a_promise_by_the_right_key_under_another_name(forge: Forge) -> None:
    """A name is a hint to the library, which then tries every key; here it must be the key's own."""
    assert code_of(forge.verifier(), forge.sign(named=make_log_key())) == "signature.log.unknown"


def test_a_certificate_without_a_promise_of_its_log(forge: Forge) -> None:
    assert (
        code_of(forge.verifier(), forge.sign(forge.certificate(promised=False)))
        == "signature.certificate.sct"
    )
    strange = forge.certificate(promised_by=make_log_key())
    assert code_of(forge.verifier(), forge.sign(strange)) == "signature.certificate.sct"


def test_a_certificate_for_another_purpose(forge: Forge) -> None:
    server = forge.certificate(purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    assert code_of(forge.verifier(), forge.sign(server)) == "signature.certificate.usage"
    silent = forge.certificate(signs=False)
    assert code_of(forge.verifier(), forge.sign(silent)).startswith("signature.certificate.")


@pytest.mark.parametrize("late", [timedelta(seconds=-1), timedelta(minutes=10, seconds=1)])
def test_a_signature_made_outside_of_the_certificates_ten_minutes(forge: Forge, late: timedelta) -> None:
    assert code_of(forge.verifier(), forge.sign(at=AT + late)) == "signature.certificate.chain"


def test_a_signature_that_is_another_keys(forge: Forge) -> None:
    thief = Forge(authority=forge.authority, certificate_log=forge.certificate_log, log=forge.log)
    assert code_of(forge.verifier(), thief.sign(forge.certificate())) == "signature.invalid"


def test_a_certificate_of_an_authority_nobody_trusts(forge: Forge) -> None:
    self_made = Forge(certificate_log=forge.certificate_log, log=forge.log)
    assert code_of(forge.verifier(), self_made.sign()) == "signature.trust-root"


RETIRED = {"start": "2020-01-01T00:00:00Z", "end": "2026-11-23T11:59:59Z"}
LATER = {"start": "2026-11-23T12:00:06Z"}


def authority(root: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = root["certificateAuthorities"][0]
    return found


def log(root: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = root["tlogs"][0]["publicKey"]
    return found


def certificate_log(root: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = root["ctlogs"][0]["publicKey"]
    return found


@pytest.mark.parametrize("window", [RETIRED, LATER])
@pytest.mark.parametrize(
    ("part", "code"),
    [
        (authority, "signature.certificate.chain"),
        (log, "signature.log.unknown"),
        (certificate_log, "signature.certificate.sct"),
    ],
)
def test_keys_count_only_while_they_were_in_use(
    forge: Forge, part: Callable[[dict[str, Any]], dict[str, Any]], code: str, window: dict[str, str]
) -> None:
    root = forge.root()
    part(root)["validFor"] = window
    assert code_of(forge.verifier(root), forge.sign()) == code


def test_the_ends_of_a_keys_time_belong_to_it(forge: Forge) -> None:
    root = forge.root()
    log(root)["validFor"] = {"start": "2026-11-23T12:00:05Z", "end": "2026-11-23T12:00:05Z"}
    certificate_log(root)["validFor"] = {"start": "2026-11-23T12:00:00Z", "end": "2026-11-23T12:00:00Z"}
    assert forge.verifier(root).verify_legacy(forge.sign()).log_index == 7


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"certificate": "x"}, "signature.certificate.form"),
        (
            {"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
            "signature.certificate.form",
        ),
        ({"signature": "not base64!"}, "signature.form"),
        ({"signature": ""}, "signature.log.mismatch"),
        ({"bundle": ""}, "signature.log.missing"),
        ({"bundle": "{}"}, "field.missing"),
        ({"bundle": "null"}, "field.type"),
        ({"bundle": "[" * 100}, "json.depth"),
        ({"timestamp": "{}"}, "field.missing"),
        ({"timestamp": json.dumps({"SignedRFC3161Timestamp": "AAAA"})}, "signature.form"),
    ],
)
def test_parts_of_another_form(forge: Forge, change: dict[str, Any], code: str) -> None:
    assert code_of(forge.verifier(), replace(forge.sign(), **change)) == code


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("integratedTime", 0),
        ("integratedTime", 2**62),
        ("integratedTime", "5"),
        ("logIndex", -1),
        ("logIndex", True),
        ("logID", "zz"),
        ("logID", "00"),
        ("body", "e30="),
        ("body", "!"),
    ],
)
def test_log_entries_of_another_form(forge: Forge, name: str, value: object) -> None:
    good = forge.sign()
    document = json.loads(good.bundle or "")
    document["Payload"][name] = value
    with pytest.raises(GlassclaveError):
        forge.verifier().verify_legacy(replace(good, bundle=json.dumps(document)))


def test_keys_of_another_kind_are_refused_and_do_not_crash(forge: Forge) -> None:
    strange = Forge(
        authority=forge.authority,
        certificate_log=forge.certificate_log,
        log=forge.log,
        key=ec.generate_private_key(ec.SECP384R1()),
    )
    assert forge.verifier().verify_legacy(strange.sign()).kind == "cosign", "P-384 is an elliptic curve too"
