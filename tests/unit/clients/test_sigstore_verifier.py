"""Every part of a signature bent once. Fails loudly where sigstore-python's private interface moves."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from glassclave.clients.sigstore_signer import open_signer
from glassclave.clients.sigstore_trust import load_trust
from glassclave.clients.sigstore_verifier import SigstoreVerifier
from glassclave.errors import GlassclaveError
from glassclave.provenance.cosign import SIGN_PREDICATE_TYPE, LegacySignature, build_payload, signed_digest
from glassclave.provenance.statement import build_statement
from glassclave_sandbox.services import Services

DIGEST = "sha256:" + "a" * 64
PAYLOAD = build_payload("127.0.0.1:5000/o/r", DIGEST)
STATEMENT = build_statement("r", "a" * 64, {}, predicate_type=SIGN_PREDICATE_TYPE)


@dataclass(frozen=True)
class Signed:
    verifier: SigstoreVerifier
    foreign: SigstoreVerifier
    legacy: LegacySignature
    second: LegacySignature
    bundle: bytes
    other_bundle: bytes


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    folder = tmp_path_factory.mktemp("sigstore")
    with Services(folder / "a", registry=False) as services, Services(folder / "b", registry=False) as other:
        trust = load_trust(services.trust_config.read_bytes())
        with open_signer(trust, services.token()) as signer:
            first = signer.sign_payload(PAYLOAD).signature
            bundle = signer.sign_statement(STATEMENT)
        with open_signer(trust, services.token(repository="acme/other")) as signer:
            second = signer.sign_payload(PAYLOAD).signature
            other_bundle = signer.sign_statement(STATEMENT)
        yield Signed(
            SigstoreVerifier(load_trust(services.trusted_root.read_bytes())),
            SigstoreVerifier(load_trust(other.trust_config.read_bytes())),
            first,
            second,
            bundle,
            other_bundle,
        )


def code_of(judge: Callable[[], object]) -> str:
    with pytest.raises(GlassclaveError) as caught:
        judge()
    return caught.value.code


def test_both_layouts_hold_and_say_when_by_whom_and_over_what(signed: Signed) -> None:
    legacy, bundle = (
        signed.verifier.verify_legacy(signed.legacy),
        signed.verifier.verify_bundle(signed.bundle),
    )
    assert (legacy.payload, bundle.payload) == (PAYLOAD, STATEMENT)
    assert signed_digest(legacy.payload) == DIGEST
    assert legacy.certificate_der == bundle.certificate_der
    assert legacy.claims.source_repository_uri == "https://github.com/acme/enclave"
    assert 0 < legacy.log_index < bundle.log_index


def test_an_empty_chain_annotation_is_cosign_3s_way(signed: Signed) -> None:
    assert signed.verifier.verify_legacy(replace(signed.legacy, chain="")).kind == "cosign"
    assert signed.verifier.verify_legacy(replace(signed.legacy, chain=None)).kind == "cosign"


def bent_log(signature: LegacySignature, name: str, value: object) -> LegacySignature:
    document = json.loads(signature.bundle or "")
    document["Payload"][name] = value
    return replace(signature, bundle=json.dumps(document))


def test_each_bent_part_of_a_legacy_signature_is_found(signed: Signed) -> None:
    good, other = signed.legacy, signed.second
    verify = signed.verifier.verify_legacy
    bent = {
        "payload": replace(good, payload=PAYLOAD.replace(b"o/r", b"o/s")),
        "signature": replace(good, signature=other.signature),
        "certificate": replace(good, certificate=other.certificate),
        "log entry": replace(good, bundle=other.bundle),
        "log index": bent_log(good, "logIndex", 12345),
        "time": bent_log(good, "integratedTime", 1),
        "time-stamp": replace(good, timestamp=other.timestamp),
        "no log": replace(good, bundle=None),
        "key for certificate": replace(good, certificate="-----BEGIN PUBLIC KEY-----\n"),
        "two certificates": replace(good, certificate=good.certificate + other.certificate),
    }
    codes = {name: code_of(lambda one=one: verify(one)) for name, one in bent.items()}  # type: ignore[misc]
    assert codes == {
        "payload": "signature.log.mismatch",
        "signature": "signature.log.mismatch",
        "certificate": "signature.log.mismatch",
        "log entry": "signature.log.mismatch",
        "log index": "signature.log.invalid",
        "time": codes["time"],
        "time-stamp": "signature.time",
        "no log": "signature.log.missing",
        "key for certificate": "signature.certificate.form",
        "two certificates": "signature.certificate.form",
    }
    assert codes["time"].startswith("signature.")


def test_each_bent_part_of_a_bundle_is_found(signed: Signed) -> None:
    def bent(change: Callable[[Any], None]) -> bytes:
        document = json.loads(signed.bundle)
        change(document)
        return json.dumps(document).encode()

    other = json.loads(signed.other_bundle)

    def payload(document: Any) -> None:
        document["dsseEnvelope"]["payload"] = base64.b64encode(STATEMENT + b" ").decode()

    def entry(document: Any) -> None:
        document["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"]

    def certificate(document: Any) -> None:
        document["verificationMaterial"]["certificate"] = other["verificationMaterial"]["certificate"]

    def no_entry(document: Any) -> None:
        document["verificationMaterial"]["tlogEntries"] = []

    for change in (payload, entry, certificate, no_entry):
        assert code_of(lambda change=change: signed.verifier.verify_bundle(bent(change))).startswith(  # type: ignore[misc]
            "signature."
        )
    assert code_of(lambda: signed.verifier.verify_bundle(b"{}")) == "signature.form"
    assert code_of(lambda: signed.verifier.verify_bundle(b'{"a":1,"a":2}')) == "json.duplicate-key"


def test_another_trust_root_accepts_neither(signed: Signed) -> None:
    without = replace(signed.legacy, timestamp=None)
    assert code_of(lambda: signed.foreign.verify_bundle(signed.bundle)) == "signature.trust-root"
    assert code_of(lambda: signed.foreign.verify_legacy(signed.legacy)) == "signature.trust-root"
    assert code_of(lambda: signed.foreign.verify_legacy(without)) == "signature.trust-root"


def bent(bundle: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(bundle)
    change(document)
    return json.dumps(document).encode()


def test_a_log_index_that_nothing_covers_is_refused(signed: Signed) -> None:
    """Without the log's promise only the proof says where the entry is; the number beside it is anybody's."""

    def without_promise(document: dict[str, Any]) -> None:
        del document["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"]

    def elsewhere(document: dict[str, Any]) -> None:
        without_promise(document)
        document["verificationMaterial"]["tlogEntries"][0]["logIndex"] = "13371337"

    proof = json.loads(signed.bundle)["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["logIndex"]
    found = signed.verifier.verify_bundle(bent(signed.bundle, without_promise))
    assert found.log_index == int(proof)
    judged = bent(signed.bundle, elsewhere)
    assert code_of(lambda: signed.verifier.verify_bundle(judged)) == "signature.log.mismatch"


@pytest.mark.parametrize("filler", ["{}", "[]", '{"a": 1}', '"x"', "1"])
def test_thousands_of_values_never_reach_the_library(signed: Signed, filler: str) -> None:
    """It keeps an error for each: a megabyte of them was gigabytes of memory."""
    many = f'{{"verificationMaterial": {{"tlogEntries": [{",".join([filler] * 5000)}]}}}}'
    with pytest.raises(GlassclaveError) as caught:
        signed.verifier.verify_bundle(many.encode())
    assert caught.value.code == "signature.form"
    assert "more than 4,000 values" in caught.value.message


def test_the_librarys_words_are_cut(signed: Signed) -> None:
    some = f'{{"verificationMaterial": {{"tlogEntries": [{",".join(["{}"] * 1000)}]}}}}'
    with pytest.raises(GlassclaveError) as caught:
        signed.verifier.verify_bundle(some.encode())
    assert len(caught.value.message) < 500
    assert "\n" not in caught.value.message
