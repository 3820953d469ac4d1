"""Evidence beside an artifact: what is looked into, in which order, and whose reason is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from glassclave.errors import GlassclaveError, ParseError, RefusedError, UnavailableError
from glassclave.flows.evidence import Pieces
from glassclave.oci.manifest import EMPTY_DESCRIPTOR, MANIFEST_MEDIA_TYPE, Descriptor, build_manifest
from glassclave.oci.referrers import signature_tag
from glassclave.provenance.bundle import MEDIA_TYPE
from glassclave.provenance.claims import Claims
from glassclave.provenance.cosign import (
    CERTIFICATE,
    PAYLOAD_MEDIA_TYPE,
    SIGN_PREDICATE_TYPE,
    SIGNATURE,
    build_payload,
)
from glassclave.provenance.statement import build_statement
from glassclave.results import Severity, Status
from tests.unit.flows.published import EVIL, GOOD, NAME, Published, seal, whole

FURTHEST_FIRST: tuple[GlassclaveError, ...] = (
    RefusedError("identity.claims.inconsistent", "z"),
    RefusedError("signature.subject.mismatch", "z"),
    RefusedError("statement.subject.mismatch", "z"),
    RefusedError("signature.certificate.chain", "z"),
    RefusedError("signature.invalid", "a"),
    RefusedError("signature.invalid", "b"),
    ParseError("field.missing", "a"),
    ParseError("json.syntax", "a"),
    ParseError("statement.type", "a"),
)


def test_the_reason_is_the_one_of_the_piece_that_got_furthest_in_whatever_order() -> None:
    assert Pieces().reason() is None
    for start, furthest in enumerate(FURTHEST_FIRST):
        rest = list(FURTHEST_FIRST[start:])
        assert Pieces(refused=rest).reason() is furthest
        assert Pieces(refused=rest[::-1]).reason() is furthest
    lost = UnavailableError("registry.not-found", "a")
    with pytest.raises(UnavailableError):
        Pieces(refused=[*FURTHEST_FIRST], unavailable=[lost]).reason()


def run(number: int) -> Claims:
    """Another run of the same workflow."""
    return replace(GOOD, run_invocation_uri=f"https://github.com/acme/hello/actions/runs/{number}/attempts/1")


def stated_by(*statements: tuple[int, int]) -> str:
    """Whose statement is used, of (run, log index) in the order in which the registry lists them."""
    published = Published()
    published.sign()
    for number, log in statements:
        published.state(run(number), log=log)
    (finding,) = (one for one in published.verify().verdict.findings if one.code == "statement.run.other")
    return finding.message.partition("/runs/")[2].partition("/")[0]


def test_of_statements_the_signers_own_comes_first_and_then_the_latest() -> None:
    assert stated_by((5, 3), (4, 9)) == stated_by((4, 9), (5, 3)) == "4"
    assert stated_by((5, 9), (4, 3)) == stated_by((4, 3), (5, 9)) == "5"
    assert stated_by((5, 3), (4, 3)) == stated_by((4, 3), (5, 3)), "one number, one order"
    published = Published()
    published.sign()
    published.state(run(9), log=9)
    published.state(log=3)
    assert "statement.run.other" not in {one.code for one in published.verify().verdict.findings}


def test_where_nobodys_statement_is_wanted_the_latest_says_why() -> None:
    other = replace(GOOD, source_repository_uri="https://github.com/acme/other")
    for signers in (((EVIL, 9), (other, 3)), ((other, 3), (EVIL, 9))):
        published = Published()
        published.sign()
        for claims, log in signers:
            published.state(claims, log=log)
        (failed,) = (one for one in published.verify().verdict.checks if one.status is Status.FAIL)
        assert failed.code == "statement.identity"
        assert "acme/evil" in failed.message


def test_a_run_without_an_address_is_told_too() -> None:
    published = Published()
    published.sign()
    published.state(replace(GOOD, run_invocation_uri=None))
    assert "was signed by another run: ?" in [one.message for one in published.verify().verdict.findings]


def test_of_signatures_of_one_number_the_same_one_is_shown_in_any_order() -> None:
    shown = set()
    for runs in ((5, 4), (4, 5)):
        published = Published()
        for number in runs:
            published.sign(run(number), log=1)
        published.state(run(6))
        signature = published.verify().verdict.signature
        assert signature is not None
        shown.add(signature.claims.run_invocation_uri)
    assert len(shown) == 1


def shown_of(*signatures: tuple[int, int], statement: int | None) -> str:
    """Whose signature is shown, of (run, log index); ``statement``: the run that states."""
    published = Published()
    for number, log in signatures:
        published.sign(run(number), log=log)
    published.state(run(statement or 9))
    signature = published.verify().verdict.signature
    assert signature is not None
    return (signature.claims.run_invocation_uri or "").partition("/runs/")[2].partition("/")[0]


def test_the_signature_that_is_shown_is_the_statements_own_or_the_latest() -> None:
    assert shown_of((1, 3), (2, 7), statement=None) == shown_of((2, 7), (1, 3), statement=None) == "2"
    assert shown_of((1, 7), (2, 3), statement=None) == "1"
    assert shown_of((1, 3), (2, 7), statement=1) == shown_of((2, 7), (1, 3), statement=1) == "1"


def refer(published: Published, manifest: bytes) -> None:
    digest = published.registry.put_manifest(manifest)
    published.registry.referrers.append(Descriptor(MANIFEST_MEDIA_TYPE, digest, len(manifest)))


def sealed(subject: str = Published().digest[7:]) -> bytes:
    statement = build_statement(NAME, subject, {}, predicate_type=SIGN_PREDICATE_TYPE)
    return seal(statement, GOOD, log=1)


def with_layers(published: Published, count: int, *, subject: bool = True) -> bytes:
    layer = published.registry.put_blob(MEDIA_TYPE, sealed())
    return build_manifest(
        config=EMPTY_DESCRIPTOR,
        layers=[layer] * count,
        artifact_type=MEDIA_TYPE,
        subject=published.subject if subject else None,
    )


@pytest.mark.parametrize(
    ("attach", "codes"),
    [
        (lambda one: refer(one, with_layers(one, 1)), ["statement.none"]),
        # Which of two bundles would be judged is open.
        (lambda one: refer(one, with_layers(one, 2)), ["signature.none"]),
        (lambda one: refer(one, with_layers(one, 0)), ["signature.none"]),
        (lambda one: refer(one, with_layers(one, 1, subject=False)), ["signature.subject.mismatch"]),
        (lambda one: one.refer(sealed("0" * 64)), ["signature.subject.mismatch"]),
        (lambda one: refer(one, b"{"), ["json.syntax"]),
        (lambda one: refer(one, b'{"schemaVersion":1,"layers":[]}'), ["manifest.version"]),
        (lambda one: refer(one, with_layers(one, 1) + b" " * (1 << 20)), ["registry.size"]),
        (lambda one: one.refer(sealed() + b" " * (1 << 20)), ["registry.blob.size"]),
        (lambda one: one.refer(sealed().ljust(1 << 20)), ["statement.none"]),
    ],
)
def test_a_referrer_is_one_bundle_of_an_acceptable_size_about_this_artifact(
    attach: Callable[[Published], None], codes: list[str]
) -> None:
    published = Published()
    attach(published)
    assert published.failures() == codes
    published.sign()
    published.state()
    assert published.verify().verdict.passed, "what is bad neither helps nor hides"


def test_what_was_made_for_another_artifact_is_called_by_its_kind() -> None:
    signed, stated = Published(), Published()
    signed.refer(sealed("0" * 64))
    stated.sign()
    stated.state(digest="sha256:" + "0" * 64)
    for published, what in ((signed, "signature"), (stated, "statement")):
        (failed,) = (one for one in published.verify().verdict.checks if one.status is Status.FAIL)
        assert failed.message == f"the {what} was made for another artifact"


def test_a_bundle_of_the_wrong_kind_says_which_in_few_words() -> None:
    published = Published()
    published.refer(seal(b"{}", GOOD, log=1, kind="x" * 500))
    (failed,) = (one for one in published.verify().verdict.checks if one.status is Status.FAIL)
    assert failed.message == f"signs a {'x' * 100!r}"


def test_attestations_of_other_types_are_named_once_each_in_order() -> None:
    published = whole()
    kinds = ("https://slsa.dev/provenance/v1", "https://cyclonedx.org/bom", "https://cyclonedx.org/bom")
    for log, kind in enumerate(kinds, start=5):
        published.refer(seal(json.dumps({"predicateType": kind}).encode(), GOOD, log=log))
    published.refer(seal(json.dumps({"predicateType": "x" * 300}).encode(), GOOD, log=8))
    said = "an attestation of another type is there and was not used: "
    assert [
        (one.severity, one.message)
        for one in published.verify().verdict.findings
        if one.code == "signature.other-attestation"
    ] == [
        (Severity.NOTE, said + "https://cyclonedx.org/bom"),
        (Severity.NOTE, said + "https://slsa.dev/provenance/v1"),
        (Severity.NOTE, said + "x" * 200),
    ]


def test_a_statement_by_itself_is_no_signature_and_a_signature_no_statement() -> None:
    published = Published()
    published.state()
    assert published.failures() == ["signature.none"]
    published = Published()
    published.sign()
    published.sign_bundle()
    assert published.failures() == ["statement.none"]


def test_what_is_no_signature_layer_is_passed_over_and_too_many_are_no_judgement() -> None:
    def layers_of(count: int, first: str) -> Published:
        published = Published()
        published.sign()
        published.state()
        tag = signature_tag(published.digest)
        stored = json.loads(published.registry.manifests[published.registry.tags[tag]].data)
        (good,) = stored["layers"]
        bad = good | {"mediaType": first, "annotations": {}}
        stored["layers"] = [bad] * count + [good]
        published.registry.put_manifest(json.dumps(stored).encode(), tag)
        return published

    most = 511  # and the good one
    assert layers_of(most, PAYLOAD_MEDIA_TYPE).verify().verdict.passed
    with pytest.raises(UnavailableError) as caught:
        layers_of(most + 1, PAYLOAD_MEDIA_TYPE).verify()
    assert caught.value.code == "registry.signatures.count"
    assert layers_of(most + 1, "a/b").verify().verdict.passed
    # A bundle that holds is enough: what could not be looked at can only add to it.
    flooded = layers_of(most + 1, PAYLOAD_MEDIA_TYPE)
    flooded.sign_bundle()
    assert flooded.verify().verdict.passed


def test_a_payload_of_more_than_a_megabyte_is_no_signature() -> None:
    for size, passed in ((1 << 20, True), ((1 << 20) + 1, False)):
        published = Published()
        payload = build_payload(NAME, published.digest).ljust(size)
        annotations = {SIGNATURE: "AA==", CERTIFICATE: json.dumps({"claims": GOOD.present(), "log": 1})}
        layer = published.registry.put_blob(PAYLOAD_MEDIA_TYPE, payload, annotations)
        manifest = build_manifest(config=EMPTY_DESCRIPTOR, layers=[layer])
        published.registry.put_manifest(manifest, signature_tag(published.digest))
        published.state()
        assert published.verify().verdict.passed is passed
