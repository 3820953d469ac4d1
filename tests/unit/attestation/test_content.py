"""What an authentic document says: the region in the leaf's name, findings, and what is said of ages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from glassclave.attestation.appraisal import DocumentAppraisal, appraise_document
from glassclave.attestation.content import region_of
from glassclave.attestation.expectation import Expected, Historical, Live
from glassclave.results import PCR2_OF_NOTHING, Check, Severity
from tests.unit.attestation.forge import CHAIN, EXPECTED, MODULE, NONCE, NOW, PCRS, ROOT, Forge

AT_ITS_TIME = Historical()


def appraise(
    forge: Forge, *, mode: Live | Historical = AT_ITS_TIME, expected: Expected = EXPECTED
) -> DocumentAppraisal:
    return appraise_document(forge.document(), expected=expected, mode=mode, roots=[ROOT])


def named(name: str) -> Forge:
    return Forge(levels=(*CHAIN[:-1], replace(CHAIN[-1], name=name)))


@pytest.mark.parametrize(
    ("name", "region"),
    [
        (f"{MODULE}.x.aws", "x"),
        (f"{MODULE}.us-gov-west-1.aws", "us-gov-west-1"),
        (f"{MODULE}..aws", None),
        (f"{MODULE}.aws", None),
        (f"{MODULE}.x.awz", None),
        (f"{MODULE}x.y.aws", None),
        (f"x{MODULE}.y.aws", None),
    ],
)
def test_the_region_stands_between_the_module_id_and_aws(name: str, region: str | None) -> None:
    appraisal = appraise(named(name))
    assert (appraisal.passed, appraisal.region) == (True, region)
    said = "attestation.module-id.certificate" in {finding.code for finding in appraisal.findings}
    assert said is (region is None)


def test_a_leaf_without_a_name_names_no_region() -> None:
    appraisal = appraise(Forge())
    assert appraisal.document is not None
    nameless = replace(appraisal.chain[-1], common_name=None)
    assert region_of(appraisal.document, nameless) is None


def test_registers_that_identify_nothing_are_named() -> None:
    expected = Expected(pcrs={**PCRS, 2: PCR2_OF_NOTHING})
    nothing = appraise(Forge(fields={"pcrs": {**PCRS, 2: PCR2_OF_NOTHING}}), expected=expected)
    assert [(one.code, one.severity, one.where) for one in nothing.findings] == [
        ("attestation.module-id.pcr4", Severity.WARNING, "pcrs[4]"),
        ("attestation.pcr2.nothing", Severity.NOTE, "pcrs[2]"),
    ]
    zeros = dict.fromkeys((0, 1, 2, 8), bytes(48))
    debug = appraise(Forge(fields={"pcrs": zeros}))
    assert "attestation.pcr8.zero" not in {finding.code for finding in debug.findings}


def age(mode: Live | Historical) -> Check:
    return appraise(Forge(), mode=mode).checks[-1]


def test_what_is_said_of_ages() -> None:
    def live(**shift: int) -> Check:
        return age(Live(nonce=NONCE, at=NOW + timedelta(**shift)))

    assert live(seconds=3).message == "made 2026-11-23 12:00:00Z, 3 s ago"
    old, early = live(minutes=20), live(minutes=-6)
    assert (old.expected, old.actual) == ("at most 300 s", "1,200 s")
    assert (early.expected, early.actual) == ("at most 2026-11-23 11:59:00Z", "2026-11-23 12:00:00Z")
    assert age(Historical()).message == "not judged: made at 2026-11-23 12:00:00Z"
    assert age(Historical(at=NOW + timedelta(hours=1))).message == (
        "not judged: made at 2026-11-23 12:00:00Z, before 2026-11-23 13:00:00Z"
    )


def said_of_registers(forge: Forge, expected: Expected = EXPECTED) -> list[str]:
    return [check.message for check in appraise(forge, expected=expected).checks if "PCR" in check.step]


def test_what_is_said_of_registers() -> None:
    pcrs = {**PCRS, 3: bytes(range(48)), 8: bytes(48), 16: b"\x16" * 48}
    assert said_of_registers(Forge(fields={"pcrs": pcrs})) == [
        "image: 101010101010, as expected",
        "kernel or init: 111111111111, as expected",
        "application: 121212121212, as expected",
        "not compared, nothing was expected (role of the parent instance: 000102030405)",
        "not compared, nothing was expected (parent instance: absent)",
        "not compared, nothing was expected (signing certificate of the image: zero)",
    ]
    assert said_of_registers(
        Forge(fields={"pcrs": pcrs}), Expected(pcrs={**PCRS, 0: b"x" * 48, 16: pcrs[16]}, unsigned_image=True)
    ) == [
        "another image",
        "kernel or init: 111111111111, as expected",
        "application: 121212121212, as expected",
        "not compared, nothing was expected (role of the parent instance: 000102030405)",
        "not compared, nothing was expected (parent instance: absent)",
        "signing certificate of the image: zero, as an unsigned image has it",
        "value extended by the enclave: 161616161616, as expected",
    ]
    assert said_of_registers(Forge(fields={"pcrs": {1: PCRS[1], 2: PCRS[2]}}))[0] == (
        "the document does not have it (image)"
    )
    debug = said_of_registers(Forge(fields={"pcrs": {**PCRS, 0: bytes(48)}}))
    assert debug[:2] == ["not compared: debug mode (image)", "not compared: debug mode (kernel or init)"]
