"""A statement by itself: who may state, what can be read, about which file, at whose commit."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from glassclave.policy.checks.statement import JudgedStatement, check_statement
from glassclave.policy.model import Policy
from glassclave.provenance.claims import Claims
from glassclave.provenance.evidence import VerifiedSignature
from glassclave.provenance.predicate import PREDICATE_TYPE, MeasurementPredicate
from glassclave.provenance.statement import build_statement
from glassclave.results import Status
from tests.unit.flows.published import COMMIT, EVIL, GOOD, NAME, SIGNED_AT
from tests.unit.provenance.predicates import SIGNED

POLICY = Policy(repository="acme/hello")
EIF = "sha256:" + SIGNED.measured.eif.sha256.hex()
SOURCE = SIGNED.claimed.source
assert SOURCE is not None
STATED = replace(SIGNED, claimed=replace(SIGNED.claimed, source=replace(SOURCE, commit=COMMIT)))


def payload_of(predicate: MeasurementPredicate = STATED) -> bytes:
    return build_statement(NAME, "0" * 64, predicate, predicate_type=PREDICATE_TYPE)


def judge(
    payload: bytes, *, claims: Claims = GOOD, policy: Policy = POLICY, eif: str = EIF
) -> JudgedStatement:
    signature = VerifiedSignature(
        kind="bundle",
        claims=claims,
        signed_at=SIGNED_AT,
        log_index=1,
        payload_type="x",
        payload=payload,
        certificate_der=b"",
    )
    return check_statement(signature, policy, eif_digest=eif)


def refusal(judged: JudgedStatement) -> tuple[str, str | None, str | None]:
    (check,) = judged.checks
    assert judged.predicate is None
    assert (check.step, check.status) == ("statement", Status.FAIL)
    return check.code, check.expected, check.actual


def test_what_a_signer_who_meets_the_policy_states_is_taken() -> None:
    judged = judge(payload_of())
    (check,) = judged.checks
    assert (check.step, check.code, check.status) == ("statement", "statement", Status.PASS)
    assert check.message == "PCR0, PCR1, PCR2, PCR8 measured by the signing job"
    assert judged.predicate == STATED
    assert judged.allowed


def test_a_source_that_is_not_claimed_contradicts_nothing() -> None:
    silent = replace(STATED, claimed=replace(STATED.claimed, source=None))
    assert judge(payload_of(silent)).predicate == silent


def test_who_does_not_meet_the_policy_states_nothing_whatever_it_is() -> None:
    for payload in (payload_of(), b"{"):
        judged = judge(payload, claims=EVIL)
        assert refusal(judged) == ("statement.identity", "acme/hello", "acme/evil")
        assert judged.checks[0].message == (
            "the statement is by another signer: built in acme/evil, wanted acme/hello"
            " [identity.repository.mismatch]"
        )
        assert not judged.allowed


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "statement.type"),
        ({"predicateType": "https://slsa.dev/provenance/v1"}, "statement.predicate-type"),
        ({"subject": []}, "statement.subjects"),
        ({"predicate": {}}, "field.missing"),
        ({"extra": 1}, "field.unknown"),
    ],
)
def test_what_cannot_be_read_strictly_is_refused_and_its_signer_is_not(
    change: dict[str, object], code: str
) -> None:
    judged = judge(json.dumps(json.loads(payload_of()) | change).encode())
    assert refusal(judged) == (code, None, None)
    assert judged.checks[0].message.startswith("the statement cannot be read: ")
    assert judged.allowed


def test_another_file_another_commit_another_repository() -> None:
    other = "sha256:" + "0" * 64
    assert refusal(judge(payload_of(), eif=other)) == ("statement.eif.mismatch", other, EIF)
    later = replace(GOOD, source_repository_digest="0" * 40)
    assert refusal(judge(payload_of(), claims=later)) == ("statement.commit.mismatch", "0" * 40, COMMIT)
    # GitHub's names are the same in either case; what a job writes of itself is its certificate's word.
    shouted = replace(GOOD, source_repository_uri="https://github.com/ACME/hello")
    assert refusal(judge(payload_of(), claims=shouted)) == (
        "statement.repository.mismatch",
        "https://github.com/ACME/hello",
        "https://github.com/acme/hello",
    )
