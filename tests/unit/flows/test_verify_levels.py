"""Documents, required levels and trust in a verdict: what each adds, what each takes away."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from glassclave.attestation.expectation import Historical, Live
from glassclave.attestation.roots import aws_root, us_gov_root
from glassclave.errors import ParseError
from glassclave.flows.case import Case
from glassclave.flows.verify import Document, VerifyRequest, _verdict
from glassclave.oci.manifest import (
    MANIFEST_MEDIA_TYPE,
    Descriptor,
)
from glassclave.policy.model import Policy
from glassclave.policy.verdict import Level
from glassclave.results import Status
from tests.unit.attestation.forge import NONCE, NOW, ROOT, Forge
from tests.unit.eif.images import write
from tests.unit.flows.published import (
    CUSTOM,
    EVIL,
    REFERENCE,
    MemorySigstore,
    Published,
    whole,
)

OTHER = Descriptor(MANIFEST_MEDIA_TYPE, "sha256:" + "0" * 64, 7)


def document(mode: Live | Historical, **fields: object) -> Document:
    measured = Published().predicate.measured.measurements.by_index()
    pcrs = {**{index: bytes(48) for index in range(16)}, **measured}
    return Document(data=Forge(fields={"pcrs": pcrs, **fields}).document(), mode=mode, roots=(ROOT,))


LIVE = Live(nonce=NONCE, at=NOW + timedelta(seconds=3))


def test_a_document_raises_the_level() -> None:
    live = whole().verify(document=document(LIVE)).verdict
    assert (live.level, live.required, live.passed) == (Level.LIVE_UNBOUND, Level.LIVE_UNBOUND, True)
    assert live.custom_trust
    assert live.attestation_root == (ROOT.name, ROOT.sha256)
    historical = whole().verify(document=document(Historical())).verdict
    assert (historical.level, historical.passed) == (Level.ATTESTED_AT, True)
    assert historical.attested_at == "2026-11-23 12:00:00Z"
    assert whole().verify().verdict.attested_at is None
    for verdict in (live, historical):
        assert "attestation.pcr8.zero" in {finding.code for finding in verdict.findings}


def test_each_line_of_the_document_is_of_the_enclave_step_and_says_of_what() -> None:
    checks = whole().verify(document=document(LIVE)).verdict.checks
    enclave = [check for check in checks if check.code.startswith("attestation.")]
    assert {check.step for check in enclave} == {"enclave"}
    assert [check.message.partition(": ")[0] for check in enclave] == [
        "root", "chain", "validity", "signature", "mode", "PCR0", "PCR1", "PCR2", "PCR3", "PCR4", "PCR8",
        "nonce", "age",
    ]  # fmt: skip
    assert [check.message for check in checks if check.step == "connection"] == [
        "not checked: the document came from a file"
    ]
    assert [check.step for check in checks if check.step not in ("identity", "enclave")] == [
        "artifact",
        "signature",
        "statement",
        "image",
        "log",
        "connection",
    ]


def test_a_document_of_another_kind_is_refused_by_name() -> None:
    kind = document(LIVE, nitrotpm_pcrs={0: bytes(48)})
    verdict = whole().verify(document=kind).verdict
    assert [check.code for check in verdict.checks if check.status is Status.FAIL] == ["attestation.nitrotpm"]
    assert (verdict.level, verdict.passed, verdict.attested_at) == (Level.NONE, False, None)


@pytest.mark.parametrize(
    ("judged", "code"),
    [
        (document(LIVE, nonce=bytes(32)), "attestation.nonce.mismatch"),
        (document(LIVE, pcrs={index: bytes(48) for index in range(16)}), "attestation.debug-mode"),
        (document(replace(LIVE, at=NOW + timedelta(minutes=6))), "attestation.age.too-old"),
        (replace(document(LIVE), roots=None), "attestation.chain.root"),
    ],
)
def test_a_document_that_fails_takes_every_level_away(judged: Document, code: str) -> None:
    verdict = whole().verify(document=judged).verdict
    assert [check.code for check in verdict.checks if check.status is Status.FAIL] == [code]
    assert (verdict.level, verdict.passed) == (Level.NONE, False)


def test_the_documents_own_judgement_decides_whatever_its_lines_say() -> None:
    judged = document(LIVE)
    verdict = whole().verify(document=judged).verdict
    assert verdict.appraisal is not None
    request = VerifyRequest(reference=REFERENCE, policy=verdict.policy, document=judged)
    for appraisal, level in (
        (verdict.appraisal, Level.LIVE_UNBOUND),
        (replace(verdict.appraisal, passed=False), Level.NONE),
        (None, Level.NONE),
    ):
        case = Case(verdict.trust, checks=list(verdict.checks), appraisal=appraisal)
        assert _verdict(case, request).level is level


def test_a_document_of_another_image_is_refused() -> None:
    verdict = whole(write(kernel=b"OTHER")[0]).verify(document=document(LIVE)).verdict
    failed = {check.code for check in verdict.checks if check.status is Status.FAIL}
    assert failed == {"attestation.pcr0.mismatch", "attestation.pcr1.mismatch"}


def test_without_an_image_that_passed_a_document_is_not_judged() -> None:
    published = Published()
    published.sign(EVIL)
    verdict = published.verify(document=document(LIVE)).verdict
    enclave = [check for check in verdict.checks if check.step == "enclave"]
    assert [check.status for check in enclave] == [Status.NOT_CHECKED]
    assert verdict.level is Level.NONE
    assert verdict.custom_trust, "the root that was demanded is named whatever comes out"


def test_bytes_that_are_no_document_are_no_verdict() -> None:
    with pytest.raises(ParseError):
        whole().verify(document=replace(document(LIVE), data=b"nonsense"))


@pytest.mark.parametrize(
    ("mode", "required", "passed"),
    [
        (None, Level.NONE, False),
        (LIVE, Level.NONE, False),
        (None, Level.PROVENANCE, True),
        (None, Level.ATTESTED_AT, False),
        (None, Level.LIVE_UNBOUND, False),
        (None, Level.LIVE, False),
        (Historical(), Level.PROVENANCE, True),
        (Historical(), Level.ATTESTED_AT, True),
        (Historical(), Level.LIVE_UNBOUND, False),
        (LIVE, Level.PROVENANCE, True),
        (LIVE, Level.ATTESTED_AT, False),
        (LIVE, Level.LIVE_UNBOUND, True),
        (LIVE, Level.LIVE, False),
    ],
)
def test_only_the_required_level_passes(
    mode: Live | Historical | None, required: Level, passed: bool
) -> None:
    judged = None if mode is None else document(mode)
    outcome = whole().verify(document=judged, required=required)
    assert outcome.verdict.passed is passed
    assert (outcome.image is not None) is passed


def test_of_a_refusal_not_even_nothing_is_reached() -> None:
    for required in Level:
        verdict = Published().verify(required=required).verdict
        assert (verdict.level, verdict.passed, verdict.required) == (Level.NONE, False, required)


def test_awss_own_root_is_no_custom_trust_when_it_is_named() -> None:
    named = replace(document(LIVE), roots=(aws_root(),))
    verdict = whole().verify(document=named).verdict
    assert verdict.attestation_root is None
    assert not verdict.custom_trust
    both = replace(named, roots=(aws_root(), ROOT, us_gov_root()))
    verdict = whole().verify(document=both).verdict
    assert verdict.passed
    assert verdict.attestation_root == (ROOT.name, ROOT.sha256)


def test_a_demanded_workflow_and_commit_decide() -> None:
    path = ".github/workflows/build.yml"
    for workflow in (path, f"acme/hello/{path}", f"ACME/Hello/{path}"):
        assert whole().verify(policy=Policy(repository="acme/hello", signer_workflow=workflow)).verdict.passed
    for workflow in (".github/workflows/Build.yml", f"{path}x"):
        policy = Policy(repository="acme/hello", signer_workflow=workflow)
        assert whole().failures(policy=policy) == ["identity.signer-workflow.mismatch"]
    policy = Policy(repository="acme/hello", source_digest="0" * 40)
    assert whole().failures(policy=policy) == ["identity.source-digest.mismatch"]


def test_another_trust_root_is_custom_trust() -> None:
    published = whole()
    published.sigstore = MemorySigstore(CUSTOM)
    verdict = published.verify().verdict
    assert verdict.passed
    assert verdict.custom_trust
