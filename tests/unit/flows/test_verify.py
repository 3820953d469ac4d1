"""From a reference to a verdict: what passes, and each refusal by the smallest change that causes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

import pytest

from glassclave.errors import UnavailableError
from glassclave.flows.verify import VerifyRequest, verify_reference
from glassclave.oci.manifest import (
    EMPTY_DESCRIPTOR,
    MANIFEST_MEDIA_TYPE,
    Descriptor,
    build_index,
    build_manifest,
)
from glassclave.oci.reference import Reference
from glassclave.oci.referrers import signature_tag
from glassclave.oci.transport import StoredManifest
from glassclave.policy.model import Policy
from glassclave.policy.verdict import Level
from glassclave.progress import Silent
from glassclave.provenance.predicate import MeasurementPredicate
from glassclave.results import Status
from tests.unit.eif.images import write
from tests.unit.flows.published import (
    EVIL,
    GOOD,
    IMAGE,
    NAME,
    Published,
    saved,
    seal,
    whole,
)

OTHER = Descriptor(MANIFEST_MEDIA_TYPE, "sha256:" + "0" * 64, 7)


def test_what_was_published_reaches_provenance_and_hands_out_the_judged_bytes() -> None:
    outcome = whole().verify(keep=True)
    verdict = outcome.verdict
    assert (verdict.level, verdict.required, verdict.passed) == (Level.PROVENANCE, Level.PROVENANCE, True)
    assert [(check.step, check.status) for check in verdict.checks if check.step != "identity"] == [
        ("artifact", Status.PASS),
        ("signature", Status.PASS),
        ("statement", Status.PASS),
        ("image", Status.PASS),
        ("log", Status.NOT_CHECKED),
        ("enclave", Status.NOT_CHECKED),
        ("connection", Status.NOT_CHECKED),
    ]
    assert saved(outcome) == IMAGE
    assert outcome.predicate is not None
    assert not verdict.custom_trust
    assert verdict.signature is not None
    assert verdict.signature.log_index == 1, "the entry of cosign's layout is the one that is shown"


def test_either_signature_layout_is_enough() -> None:
    legacy, bundle = Published(), Published()
    legacy.sign()
    bundle.sign_bundle()
    for published in (legacy, bundle):
        published.state()
        assert published.verify().verdict.passed


def test_the_same_question_has_the_same_answer_in_any_order_of_referrers() -> None:
    published = whole()
    published.sign_bundle(EVIL, log=0)
    published.sign_bundle(log=9)
    one = published.verify().verdict
    published.registry.referrers.reverse()
    assert published.verify().verdict == one


def test_nothing_signed_is_refused_and_the_image_is_not_fetched() -> None:
    published = Published()
    assert published.failures() == ["signature.none"]
    assert not [name for name in published.registry.asked if name in published.registry.blobs]


def test_a_failed_step_leaves_the_later_ones_unjudged_by_name() -> None:
    published = Published()
    published.sign(EVIL)
    published.state(EVIL)
    checks = published.verify().verdict.checks
    statuses = {check.step: check.status for check in checks if check.step not in ("identity", "signature")}
    assert statuses == {
        "artifact": Status.PASS,
        "statement": Status.NOT_CHECKED,
        "image": Status.NOT_CHECKED,
        "log": Status.NOT_CHECKED,
        "enclave": Status.NOT_CHECKED,
        "connection": Status.NOT_CHECKED,
    }


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        (replace(GOOD, issuer="https://token.example"), "identity.issuer.mismatch"),
        (replace(GOOD, source_repository_uri=EVIL.source_repository_uri), "identity.repository.mismatch"),
        (replace(GOOD, build_signer_uri=EVIL.build_signer_uri), "identity.signer-workflow.foreign"),
        (replace(GOOD, source_repository_ref="refs/heads/x"), "identity.source-ref.not-allowed"),
        (replace(GOOD, build_trigger="pull_request"), "identity.trigger.not-allowed"),
        (replace(GOOD, runner_environment="self-hosted"), "identity.runner.not-github-hosted"),
        (replace(GOOD, visibility="private"), "identity.visibility.not-public"),
        (replace(GOOD, visibility=None), "identity.claim.missing"),
    ],
)
def test_each_claim_decides_and_a_good_signer_beside_wins(claims: object, code: str) -> None:
    assert isinstance(claims, type(GOOD))
    published = Published()
    published.sign(claims)
    published.state(claims)
    assert published.failures() == [code]
    published.sign(log=5)
    assert published.failures() == ["statement.identity"], "a signature never vouches for another's statement"
    published.state(log=6)
    outcome = published.verify()
    assert outcome.verdict.passed
    assert outcome.verdict.signature is not None
    assert outcome.verdict.signature.claims == GOOD


def test_a_statement_of_another_run_is_told() -> None:
    later = replace(GOOD, run_invocation_uri="https://github.com/acme/hello/actions/runs/9/attempts/1")
    published = Published()
    published.sign()
    published.state(later)
    verdict = published.verify().verdict
    assert verdict.passed
    assert "statement.run.other" in {finding.code for finding in verdict.findings}
    published.sign(later, log=8)
    assert "statement.run.other" not in {finding.code for finding in published.verify().verdict.findings}


@pytest.mark.parametrize(
    ("sign", "code"),
    [
        (lambda one: one.sign(broken="signature.invalid"), "signature.invalid"),
        (lambda one: one.sign_bundle(broken="signature.certificate.chain"), "signature.certificate.chain"),
        (lambda one: one.sign(digest=OTHER.digest), "signature.subject.mismatch"),
        (lambda one: one.sign_bundle(broken="identity.claims.inconsistent"), "identity.claims.inconsistent"),
        (lambda one: one.refer(seal(b"{}", GOOD, log=1), subject=OTHER), "signature.subject.mismatch"),
        (lambda one: one.refer(seal(b"{}", GOOD, log=1, kind="text/plain")), "signature.payload.kind"),
        (lambda one: one.refer(seal(b"{}", GOOD, log=1)), "field.missing"),
    ],
)
def test_signatures_that_do_not_hold_name_their_own_reason(
    sign: Callable[[Published], None], code: str
) -> None:
    published = Published()
    sign(published)
    published.state()
    assert published.failures() == [code]
    published.sign(log=7)
    assert published.verify().verdict.passed, "a bad piece does not hide a good one"


def test_the_reason_is_of_the_piece_that_got_furthest() -> None:
    published = Published()
    published.refer(b"no bundle")
    published.sign_bundle(broken="signature.invalid")
    published.sign(digest=OTHER.digest)
    assert published.failures() == ["signature.subject.mismatch"]


def test_what_is_no_bundle_is_passed_over() -> None:
    published = Published()
    index = build_index([OTHER])
    digest = published.registry.put_manifest(index)
    sbom = build_manifest(
        config=EMPTY_DESCRIPTOR,
        layers=[published.registry.put_blob("a/sbom", b"x")],
        subject=published.subject,
    )
    for data in (index, sbom):
        digest = published.registry.put_manifest(data)
        published.registry.referrers.append(Descriptor("a/b", digest, len(data)))
    published.refer(
        b'{"dsseEnvelope":{"payload":"' + b"eyJwcmVkaWNhdGVUeXBlIjoiaHR0cHM6Ly9zbHNhLmRldiJ9" + b'"}}'
    )
    assert published.failures() == ["signature.none"]
    published.sign()
    published.state()
    verdict = published.verify().verdict
    assert verdict.passed
    assert [one.message for one in verdict.findings if one.code == "signature.other-attestation"] == [
        "an attestation of another type is there and was not used: https://slsa.dev"
    ]


def test_a_piece_that_the_registry_withholds_is_no_verdict_unless_another_passes() -> None:
    published = Published()
    lost = published.sign_bundle()
    published.registry.lost.add(lost)
    with pytest.raises(UnavailableError):
        published.verify()
    published.sign(EVIL)
    with pytest.raises(UnavailableError):
        published.verify()
    published.sign(log=4)
    published.state(EVIL)
    with pytest.raises(UnavailableError):
        published.verify()
    with_statement = published.state()
    assert published.verify().verdict.passed
    published.registry.lost.add(with_statement)
    with pytest.raises(UnavailableError):
        published.verify()


@pytest.mark.parametrize("what", ["referrers", "signatures", "image", "measurements"])
def test_a_registry_that_fails_is_never_an_unsigned_artifact(what: str) -> None:
    published = Published()
    published.sign()
    published.state()
    layers = json.loads(published.registry.manifests[published.digest].data)["layers"]
    place = {
        "referrers": "referrers",
        "signatures": signature_tag(published.digest),
        "image": layers[0]["digest"],
        "measurements": layers[1]["digest"],
    }
    published.registry.lost.add(place[what])
    with pytest.raises(UnavailableError):
        published.verify()


def test_a_broken_signature_manifest_does_not_hide_a_bundle() -> None:
    published = whole()
    tag = signature_tag(published.digest)
    published.registry.manifests[published.registry.tags[tag]] = StoredManifest("", b"{", MANIFEST_MEDIA_TYPE)
    assert published.verify().verdict.passed


def test_a_moved_tag_brings_no_signatures_with_it() -> None:
    good, moved = whole(), Published(write(kernel=b"EVIL")[0])
    moved.registry.tags[signature_tag(moved.digest)] = good.registry.tags[signature_tag(good.digest)]
    moved.registry.manifests |= good.registry.manifests
    moved.registry.blobs |= good.registry.blobs
    assert moved.failures() == ["signature.subject.mismatch"]
    moved.registry.referrers = good.registry.referrers
    assert moved.failures() == ["signature.subject.mismatch"]


def same(one: MeasurementPredicate) -> MeasurementPredicate:
    return one


def other_eif(one: MeasurementPredicate) -> MeasurementPredicate:
    return replace(one, measured=replace(one.measured, eif=replace(one.measured.eif, sha256=bytes(32))))


def other_commit(one: MeasurementPredicate) -> MeasurementPredicate:
    assert one.claimed.source is not None
    return replace(one, claimed=replace(one.claimed, source=replace(one.claimed.source, commit="0" * 40)))


def other_repository(one: MeasurementPredicate) -> MeasurementPredicate:
    assert one.claimed.source is not None
    source = replace(one.claimed.source, repository="https://github.com/acme/other")
    return replace(one, claimed=replace(one.claimed, source=source))


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (lambda one: None, "statement.none"),
        (lambda one: one.state(EVIL), "statement.identity"),
        (lambda one: one.state(digest=OTHER.digest), "statement.subject.mismatch"),
        (lambda one: one.state(broken="signature.invalid"), "signature.invalid"),
        (lambda one: one.state(bend=other_eif), "statement.eif.mismatch"),
        (lambda one: one.state(bend=other_commit), "statement.commit.mismatch"),
        (lambda one: one.state(bend=other_repository), "statement.repository.mismatch"),
    ],
)
def test_statements_are_judged_by_themselves(state: Callable[[Published], None], code: str) -> None:
    published = Published()
    published.sign()
    state(published)
    assert published.failures() == [code]
    published.state(log=9)
    assert published.verify().verdict.passed, "any statement that passes everything wins"


@pytest.mark.parametrize(
    ("bend", "code"),
    [
        (lambda document: document.update(artifactType="a/b", layers=[]), "artifact.eif.none"),
        (lambda document: document["layers"].pop(0), "artifact.eif.none"),
        (lambda document: document["layers"].append(document["layers"][0]), "artifact.eif.several"),
        (lambda document: document["layers"].append(document["layers"][1]), "artifact.layer.several"),
        (lambda document: document.pop("layers"), "manifest.kind"),
    ],
)
def test_other_artifacts_are_refused(bend: Callable[[dict[str, object]], None], code: str) -> None:
    published = Published(bend=bend)
    published.sign()
    published.state()
    assert published.failures() == [code]
    assert set(published.registry.asked) == {published.digest}, "of another artifact nothing else is fetched"
    assert [(check.step, check.status) for check in published.verify().verdict.checks] == [
        ("artifact", Status.FAIL),
        ("signature", Status.NOT_CHECKED),
        ("identity", Status.NOT_CHECKED),
        ("statement", Status.NOT_CHECKED),
        ("image", Status.NOT_CHECKED),
        ("log", Status.NOT_CHECKED),
        ("enclave", Status.NOT_CHECKED),
        ("connection", Status.NOT_CHECKED),
    ]


def test_a_reference_by_digest_reads_no_tag() -> None:
    published = whole()
    outcome = verify_reference(
        VerifyRequest(
            reference=Reference("registry.example", "o/r", digest=published.digest),
            policy=Policy(repository="acme/hello"),
        ),
        registry=published.registry,
        signatures=published.sigstore,
        progress=Silent(),
    )
    outcome.close()
    assert outcome.verdict.passed
    assert outcome.verdict.checks[0].message == f"{NAME}@{published.digest[:19]}"
    assert outcome.verdict.digest == published.digest


def test_every_step_that_passed_has_its_name_as_its_code_and_they_stand_in_order() -> None:
    checks = [check for check in whole().verify().verdict.checks if check.step != "identity"]
    steps = ["artifact", "signature", "statement", "image", "log", "enclave", "connection"]
    assert [check.step for check in checks] == [check.code for check in checks] == steps


def test_a_refusal_of_whoever_got_furthest_in_statements_too() -> None:
    published = Published()
    published.sign()
    later = replace(GOOD, run_invocation_uri="https://github.com/acme/hello/actions/runs/9/attempts/1")
    for log, claims, bend in ((9, EVIL, same), (3, later, other_commit)):
        published.state(claims, log=log, bend=bend)
    assert published.failures() == ["statement.commit.mismatch"], "another's statement says nothing here"


def test_the_image_is_let_go_of_where_no_verdict_comes() -> None:
    published = whole()
    kept: list[BinaryIO] = []

    def fail(ref: object, descriptor: object, file: BinaryIO, progress: object) -> None:
        kept.append(file)
        raise UnavailableError("registry.unavailable", "went away")

    published.registry.fetch_blob_to = fail  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        published.verify()
    assert [file.closed for file in kept] == [True]
