"""What an appraisal is made of: which checks must have been taken, and which root it is under."""

from __future__ import annotations

from datetime import timedelta

import pytest

from glassclave.attestation.appraisal import _passed, appraise_document
from glassclave.attestation.content import content_steps
from glassclave.attestation.expectation import Historical, Live
from glassclave.attestation.roots import TrustAnchor
from glassclave.errors import UsageError
from glassclave.results import Check, Status
from tests.unit.attestation.forge import EXPECTED, NONCE, NOW, ROOT, Forge
from tests.unit.attestation.vectors import ANY, NITROTPM

LIVE = Live(nonce=NONCE, at=NOW + timedelta(seconds=3))
OTHERS = [TrustAnchor(name=name, der=name.encode()) for name in ("one", "two")]
WHOLE = appraise_document(Forge().document(), expected=EXPECTED, mode=LIVE, roots=[ROOT]).checks
ALWAYS = [
    "attestation.chain.root",
    "attestation.chain.path",
    "attestation.chain.validity",
    "attestation.cose.signature",
    "attestation.debug-mode",
    "attestation.pcr0",
    "attestation.pcr1",
    "attestation.pcr2",
]
FRESH = ["attestation.nonce", "attestation.age"]


def with_status(code: str, status: Status) -> list[Check]:
    return [
        Check(step=one.step, code=one.code, status=status, message="") if one.code == code else one
        for one in WHOLE
    ]


@pytest.mark.parametrize("code", [*ALWAYS, *FRESH])
def test_a_required_check_that_was_left_out_or_not_taken_is_no_passed_one(code: str) -> None:
    left_out = [one for one in WHOLE if one.code != code]
    for mode, needed in ((LIVE, True), (Historical(), code in ALWAYS)):
        assert _passed(WHOLE, mode)
        for checks in (left_out, with_status(code, Status.NOT_CHECKED)):
            assert _passed(checks, mode) is not needed
        assert not _passed(with_status(code, Status.FAIL), mode)


def test_the_steps_that_are_named_beforehand_are_those_that_are_taken() -> None:
    checks = appraise_document(Forge().document(), expected=EXPECTED, mode=LIVE, roots=[ROOT]).checks
    assert [(one.step, one.code) for one in checks[4:]] == list(content_steps(EXPECTED, LIVE))


def test_the_first_root_is_named_where_none_matches() -> None:
    for data, mode in ((Forge().document(), LIVE), (NITROTPM[0].data, Historical())):
        appraisal = appraise_document(data, expected=ANY, mode=mode, roots=OTHERS)
        assert (appraisal.passed, appraisal.trust) == (False, OTHERS[0])
    with pytest.raises(UsageError) as caught:
        appraise_document(Forge().document(), expected=EXPECTED, mode=LIVE, roots=[])
    assert caught.value.code == "attestation.root.none"


def test_a_document_of_another_kind_has_no_region() -> None:
    assert appraise_document(NITROTPM[0].data, expected=ANY, mode=Historical()).region is None


def test_the_chain_is_said_to_hold_until_its_first_certificate_ends() -> None:
    checks = appraise_document(Forge().document(), expected=EXPECTED, mode=LIVE, roots=[ROOT]).checks
    assert checks[2].message == "all valid at 2026-11-23 12:00:03Z, until 2026-11-23 14:00:00Z"
