"""What the real Fulcio, Rekor and Trillian once made (``tests/vectors/sigstore/README.md``).

`real2.bundle.json` signs five bytes; its parts are put into cosign's annotations here, as `publish` does.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from glassclave.clients.sigstore_trust import load_trust
from glassclave.clients.sigstore_verifier import SigstoreVerifier
from glassclave.errors import GlassclaveError
from glassclave.provenance.claims import parse_claims
from glassclave.provenance.cosign import LegacySignature
from tests.unit.clients.sigstore_forge import Forge

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "sigstore"
STATEMENT_TYPE = "application/vnd.in-toto+json"


def read(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


@pytest.fixture(scope="module")
def verifier() -> SigstoreVerifier:
    return SigstoreVerifier(load_trust(read("real2_trusted_root.json")))


@pytest.fixture(scope="module")
def foreign() -> SigstoreVerifier:
    return SigstoreVerifier(load_trust(read("real_trusted_root.json")))


def code_of(judge: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(GlassclaveError) as caught:
        judge(*arguments)
    return caught.value.code


def legacy_of(name: str) -> LegacySignature:
    bundle = json.loads(read(name))
    material = bundle["verificationMaterial"]
    entry = material["tlogEntries"][0]
    certificate = x509.load_der_x509_certificate(base64.b64decode(material["certificate"]["rawBytes"]))
    return LegacySignature(
        payload=b"hello",
        signature=bundle["messageSignature"]["signature"],
        certificate=certificate.public_bytes(Encoding.PEM).decode(),
        chain="",
        bundle=json.dumps(
            {
                "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
                "Payload": {
                    "body": entry["canonicalizedBody"],
                    "integratedTime": int(entry["integratedTime"]),
                    "logIndex": int(entry["logIndex"]),
                    "logID": base64.b64decode(entry["logId"]["keyId"]).hex(),
                },
            }
        ),
        timestamp=None,
    )


def test_the_real_fulcios_claims() -> None:
    pem = x509.load_pem_x509_certificate(read("real.cert.pem"))
    claims = parse_claims(pem.public_bytes(Encoding.DER))
    assert claims.issuer == claims.issuer_v1 == "https://token.actions.githubusercontent.com"
    assert claims.source_repository_uri == "https://github.com/acme/enclave"
    assert claims.san_uri == claims.build_signer_uri
    assert claims.runner_environment == "github-hosted"
    absent = {"deployment_environment", "token_subject"}
    assert set(claims.present()) == {field for field in claims.__dataclass_fields__ if field not in absent}


def test_a_statement_in_the_real_log(verifier: SigstoreVerifier) -> None:
    verified = verifier.verify_bundle(read("real2.dsse.json"))
    assert verified.payload_type == STATEMENT_TYPE
    assert json.loads(verified.payload)["predicateType"] == "https://sigstore.dev/cosign/sign/v1"
    assert verified.claims.source_repository_uri == "https://github.com/acme/enclave"


def test_a_promise_of_the_real_log(verifier: SigstoreVerifier) -> None:
    signature = legacy_of("real2.bundle.json")
    verified = verifier.verify_legacy(signature)
    logged = json.loads(signature.bundle or "")["Payload"]
    assert (verified.payload, verified.log_index) == (b"hello", logged["logIndex"])
    assert int(verified.signed_at.timestamp()) == logged["integratedTime"]


def test_a_bundle_over_bytes_is_no_statement(verifier: SigstoreVerifier) -> None:
    assert code_of(verifier.verify_bundle, read("real2.bundle.json")) == "signature.invalid"


def test_the_same_authority_with_another_log(verifier: SigstoreVerifier, foreign: SigstoreVerifier) -> None:
    """The two instances share Fulcio and the certificate log; each had a Rekor of its own."""
    assert code_of(foreign.verify_bundle, read("real2.dsse.json")) == "signature.log.unknown"
    assert code_of(foreign.verify_legacy, legacy_of("real2.bundle.json")) == "signature.log.unknown"
    assert code_of(verifier.verify_legacy, legacy_of("real.bundle.json")) == "signature.log.unknown"
    assert foreign.trust.name == verifier.trust.name == "sigstore"
    assert foreign.trust.sha256 != verifier.trust.sha256


def test_another_authority_or_certificate_log() -> None:
    good, other = json.loads(read("real2_trusted_root.json")), Forge().root()
    for part, code in (
        ("certificateAuthorities", "signature.trust-root"),
        ("tlogs", "signature.log.unknown"),
        ("ctlogs", "signature.certificate.sct"),
    ):
        judge = SigstoreVerifier(load_trust(json.dumps(good | {part: other[part]}).encode()))
        assert code_of(judge.verify_bundle, read("real2.dsse.json")) == code
        assert code_of(judge.verify_legacy, legacy_of("real2.bundle.json")) == code


def test_a_log_and_an_authority_that_were_retired() -> None:
    retired = {"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}
    for part, code in (
        ("certificateAuthorities", "signature.certificate.chain"),
        ("tlogs", "signature.log.unknown"),
        ("ctlogs", "signature.certificate.sct"),
    ):
        root = json.loads(read("real2_trusted_root.json"))
        for one in root[part]:
            one.get("publicKey", one)["validFor"] = retired
        judge = SigstoreVerifier(load_trust(json.dumps(root).encode()))
        assert code_of(judge.verify_bundle, read("real2.dsse.json")) == code


Document = dict[str, Any]


def entry_of(document: Document) -> Document:
    found: Document = document["verificationMaterial"]["tlogEntries"][0]
    return found


def flip(text: str) -> str:
    raw = bytearray(base64.b64decode(text))
    raw[-1] ^= 1
    return base64.b64encode(bytes(raw)).decode()


def signature(document: Document) -> None:
    part = document["dsseEnvelope"]["signatures"][0]
    part["sig"] = flip(part["sig"])


def payload(document: Document) -> None:
    document["dsseEnvelope"]["payload"] = flip(document["dsseEnvelope"]["payload"])


def payload_type(document: Document) -> None:
    document["dsseEnvelope"]["payloadType"] = "text/plain"


def promise(document: Document) -> None:
    part = entry_of(document)["inclusionPromise"]
    part["signedEntryTimestamp"] = flip(part["signedEntryTimestamp"])


def no_promise(document: Document) -> None:
    del entry_of(document)["inclusionPromise"]


def integrated_time(document: Document) -> None:
    entry_of(document)["integratedTime"] = str(int(entry_of(document)["integratedTime"]) + 1)


def root_hash(document: Document) -> None:
    proof = entry_of(document)["inclusionProof"]
    proof["rootHash"] = flip(proof["rootHash"])


def no_proof(document: Document) -> None:
    del entry_of(document)["inclusionProof"]


def body(document: Document) -> None:
    other = json.loads(read("real2.bundle.json"))
    entry_of(document)["canonicalizedBody"] = entry_of(other)["canonicalizedBody"]


def entry(document: Document) -> None:
    other = json.loads(read("real2.bundle.json"))
    document["verificationMaterial"]["tlogEntries"] = [entry_of(other)]


def no_entry(document: Document) -> None:
    document["verificationMaterial"]["tlogEntries"] = []


def two_entries(document: Document) -> None:
    document["verificationMaterial"]["tlogEntries"] *= 2


def certificate(document: Document) -> None:
    other = json.loads(read("real.bundle.json"))["verificationMaterial"]["certificate"]
    document["verificationMaterial"]["certificate"] = other


def flipped_certificate(document: Document) -> None:
    part = document["verificationMaterial"]["certificate"]
    part["rawBytes"] = flip(part["rawBytes"])


def key_for_certificate(document: Document) -> None:
    del document["verificationMaterial"]["certificate"]
    document["verificationMaterial"]["publicKey"] = {"hint": "x"}


def media_type(document: Document) -> None:
    document["mediaType"] = "application/vnd.dev.sigstore.bundle.v9+json"


def unknown_field(document: Document) -> None:
    document["extra"] = 1


@pytest.mark.parametrize(
    ("bend", "code"),
    [
        (signature, "signature.invalid"),
        (payload, "signature.invalid"),
        (payload_type, "signature.invalid"),
        (promise, "signature.log.invalid"),
        (integrated_time, "signature.log.invalid"),
        (root_hash, "signature.log.invalid"),
        (no_proof, "signature.form"),
        (body, "signature.log.invalid"),
        (entry, "signature.log.invalid"),
        (no_entry, "signature.log.missing"),
        (two_entries, "signature.log.missing"),
        (certificate, "signature.invalid"),
        (flipped_certificate, "signature.trust-root"),
        (key_for_certificate, "signature.form"),
        (media_type, "signature.form"),
        (unknown_field, "signature.form"),
    ],
)
def test_each_bent_part_of_a_real_bundle(
    verifier: SigstoreVerifier, bend: Callable[[Document], None], code: str
) -> None:
    document = json.loads(read("real2.dsse.json"))
    bend(document)
    assert code_of(verifier.verify_bundle, json.dumps(document).encode()) == code


def test_a_proof_and_a_time_stamp_do_without_a_promise(verifier: SigstoreVerifier) -> None:
    """As with Rekor version 2. Without either there is no time, and nothing holds."""
    document = json.loads(read("real2.dsse.json"))
    no_promise(document)
    assert verifier.verify_bundle(json.dumps(document).encode()).kind == "bundle"
    del document["verificationMaterial"]["timestampVerificationData"]
    with pytest.raises(GlassclaveError) as caught:
        verifier.verify_bundle(json.dumps(document).encode())
    assert caught.value.code in ("signature.form", "signature.time")


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"\xff", b"{", b"[" * 5000, b'{"a":1,"a":1}'])
def test_bytes_that_are_no_bundle(verifier: SigstoreVerifier, data: bytes) -> None:
    code = code_of(verifier.verify_bundle, data)
    assert code.split(".")[0] in ("json", "signature")


def test_the_same_signature_with_one_bit_or_byte_changed(verifier: SigstoreVerifier) -> None:
    good = legacy_of("real2.bundle.json")
    assert code_of(verifier.verify_legacy, replace(good, payload=b"hellp")) == "signature.log.mismatch"
    bent = replace(good, signature=flip(good.signature))
    assert code_of(verifier.verify_legacy, bent) == "signature.log.mismatch"
    document = json.loads(good.bundle or "")
    document["SignedEntryTimestamp"] = flip(document["SignedEntryTimestamp"])
    bent = replace(good, bundle=json.dumps(document))
    assert code_of(verifier.verify_legacy, bent) == "signature.log.invalid"
