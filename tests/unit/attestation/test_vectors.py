"""Every genuine document and every hostile one of the vector set, each with its answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from glassclave.attestation.appraisal import appraise_document
from glassclave.attestation.document import parse_document
from glassclave.attestation.expectation import Expected, Historical, Live
from glassclave.errors import ParseError
from glassclave.results import Status
from tests.unit.attestation.vectors import (
    ANY,
    DEBUG,
    GENUINE,
    HOSTILE,
    NITROTPM,
    PRODUCTION,
    Genuine,
    Hostile,
)


def name(one: Genuine | Hostile) -> str:
    return one.path.stem


def failures(one: Hostile, expected: Expected | None = None) -> list[str]:
    """Codes of the failed checks; of the error where nothing could be judged; empty when it passed."""
    try:
        appraisal = appraise_document(
            one.data, expected=expected or one.expected, mode=Historical(at=one.at), roots=one.roots
        )
    except ParseError as error:
        return [error.code]
    codes = [check.code for check in appraisal.checks if check.status is Status.FAIL]
    assert appraisal.passed == (not codes)
    return codes


def test_the_set_is_whole() -> None:
    assert (len(PRODUCTION), len(DEBUG), len(NITROTPM)) == (24, 18, 2)
    counts = {
        answer: sum(one.expect == answer for one in HOSTILE) for answer in ("accept", "reject", "policy")
    }
    assert counts == {"accept": 4, "reject": 70, "policy": 11}
    files = [one.path for one in GENUINE] + [one.path for one in HOSTILE]
    assert all(path.is_file() for path in files)
    assert {*REASONS, *POLICY} <= {one.path.stem for one in HOSTILE}


@pytest.mark.parametrize("one", PRODUCTION, ids=name)
def test_genuine_production_documents_pass_at_their_own_time(one: Genuine) -> None:
    appraisal = appraise_document(one.data, expected=Expected(pcrs=one.pcrs), mode=Historical())
    assert appraisal.passed, appraisal.checks
    assert not appraisal.trust.custom
    document = appraisal.document
    assert document is not None
    assert document.timestamp_ms == one.entry["timestamp_ms"]
    assert document.module_id == one.entry["module_id"]
    assert appraisal.region == one.entry["region"]
    assert sorted(document.pcrs) == one.entry["pcr_indices"]
    assert not document.debug
    lengths = {
        f"{field}_len": len(getattr(document, field) or b"") for field in ("public_key", "user_data", "nonce")
    }
    assert lengths == {field: one.entry[field] or 0 for field in lengths}
    assert {finding.code for finding in appraisal.findings} <= {
        "attestation.pcr8.zero",
        "attestation.pcr2.nothing",
    }


@pytest.mark.parametrize("one", PRODUCTION, ids=name)
def test_genuine_documents_fail_today_and_with_other_measurements(one: Genuine) -> None:
    expected = Expected(pcrs=one.pcrs)
    late = appraise_document(
        one.data, expected=expected, mode=Historical(at=datetime(2030, 1, 1, tzinfo=UTC))
    )
    assert [check.code for check in late.checks if check.status is Status.FAIL] == [
        "attestation.chain.expired"
    ]
    for index in (0, 1, 2):
        other = Expected(pcrs={**one.pcrs, index: b"\x01" * 48})
        appraisal = appraise_document(one.data, expected=other, mode=Historical())
        assert not appraisal.passed
        assert [check.code for check in appraisal.checks if check.status is Status.FAIL] == [
            f"attestation.pcr{index}.mismatch"
        ]


@pytest.mark.parametrize("one", DEBUG, ids=name)
def test_genuine_debug_documents_are_refused_in_words(one: Genuine) -> None:
    appraisal = appraise_document(one.data, expected=ANY, mode=Historical())
    assert [check.code for check in appraisal.checks if check.status is Status.FAIL] == [
        "attestation.debug-mode"
    ]
    assert not appraisal.passed
    assert appraisal.document is not None
    assert appraisal.document.debug


@pytest.mark.parametrize("one", NITROTPM, ids=name)
def test_nitrotpm_documents_are_refused_by_name(one: Genuine) -> None:
    appraisal = appraise_document(one.data, expected=ANY, mode=Historical())
    assert [(check.code, check.status) for check in appraisal.checks] == [
        ("attestation.nitrotpm", Status.FAIL)
    ]
    assert not appraisal.passed
    assert "NitroTPM" in appraisal.checks[0].message


@pytest.mark.parametrize("one", [one for one in HOSTILE if one.expect == "accept"], ids=name)
def test_controls_pass_under_their_root_and_only_there(one: Hostile) -> None:
    assert failures(one) == []
    assert failures(replace(one, root="aws-g1")) == ["attestation.chain.root"]


@pytest.mark.parametrize("one", [one for one in HOSTILE if one.expect == "reject"], ids=name)
def test_rejects_are_rejected_although_their_pcrs_are_expected(one: Hostile) -> None:
    codes = failures(one)
    assert len(codes) == 1
    assert codes[0] == REASONS.get(one.path.stem, codes[0])


REASONS = {
    "alg-leaf-p256": "cose.signature.size",
    "chain-intermediate-ca-false": "attestation.chain.authority",
    "chain-leaf-used-as-ca-nopathlen": "attestation.chain.authority",
    "chain-intermediate-no-keyusage": "attestation.chain.key-usage",
    "chain-leaf-no-digitalsignature": "attestation.chain.key-usage",
    "debug-pcr012-zero": "attestation.debug-mode",
    "kind-nitrotpm-only": "attestation.nitrotpm",
    "pcrs-dup-index": "cbor.duplicate-key",
    "pcrs-index-false": "cbor.type",
    "real-expired-now": "attestation.chain.expired",
    "repo-veracruz-bad-sig": "attestation.cose.signature",
    "sig-external-aad": "attestation.cose.signature",
    "sig-zero": "attestation.cose.signature",
    "time-instance-expired": "attestation.chain.expired",
    "time-leaf-not-yet-valid": "attestation.chain.not-yet-valid",
    "time-verified-before": "attestation.age.future",
    "trust-forged-root-same-dn": "attestation.chain.root",
    "trust-injected-root-other-dn": "attestation.chain.name",
    "trust-mock-chain-vs-aws-root": "attestation.chain.root",
    "trust-real-certs-attacker-signature": "attestation.cose.signature",
    "trust-spliced-leaf-under-real-bundle": "attestation.chain.signature",
}

POLICY = {
    "alg-text": ["cose.protected"],  # one spelling of the algorithm
    "chain-cabundle-without-root": ["attestation.chain.root"],  # the bundle's order is part of the format
    "cose-base64-text": ["cbor.trailing"],  # the library takes raw bytes; the command line unwraps text
    "cose-payload-chunked": ["cbor.indefinite"],
    "cose-prot-extra-header": ["cose.protected"],
    "debug-pcr0-zero-only": ["attestation.debug-mode"],  # one zero register of 0, 1, 2 is enough
    "kind-both": ["attestation.nitrotpm"],
    "payload-indef-key": ["cbor.indefinite"],
    "pcrs-no-pcr0": ["attestation.pcr0.missing", "attestation.pcr1.mismatch", "attestation.pcr2.mismatch"],
    # ES384 has no low-s rule and hypervisors write either value: accepted; bytes are no identity.
    "policy-malleated-s": [],
    "real-malleated-s": [],
}


@pytest.mark.parametrize("one", [one for one in HOSTILE if one.expect == "policy"], ids=name)
def test_where_either_answer_is_defensible_ours_is_deliberate(one: Hostile) -> None:
    assert failures(one) == POLICY[one.path.stem]


def test_a_live_question_to_a_genuine_document() -> None:
    one = next(one for one in PRODUCTION if one.path.name.startswith("evervault_attestation"))
    document = parse_document(one.data)
    assert document.nonce is not None
    expected = Expected(pcrs=one.pcrs)
    soon = document.created + timedelta(seconds=3)
    appraisal = appraise_document(one.data, expected=expected, mode=Live(nonce=document.nonce, at=soon))
    assert appraisal.passed
    other = appraise_document(
        one.data, expected=expected, mode=Live(nonce=document.nonce[:-1] + b"x", at=soon)
    )
    assert [check.code for check in other.checks if check.status is Status.FAIL] == [
        "attestation.nonce.mismatch"
    ]
