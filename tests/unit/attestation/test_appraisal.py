"""Every check of an appraisal, flipped by the smallest change to a document that passes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from glassclave.attestation.appraisal import DocumentAppraisal, appraise_document
from glassclave.attestation.expectation import Expected, Historical, Live
from glassclave.attestation.roots import TrustAnchor
from glassclave.cose import parse_sign1
from glassclave.errors import GlassclaveError, ParseError, UsageError
from glassclave.results import Measurements, Status
from tests.unit.attestation.forge import (
    CHAIN,
    DROP,
    EXPECTED,
    LEAF_USAGES,
    MODULE,
    NONCE,
    NOW,
    PCRS,
    ROOT,
    Forge,
    Level,
    chain,
    key,
)

LIVE = Live(nonce=NONCE, at=NOW + timedelta(seconds=3))
SECOND = timedelta(seconds=1)


def appraise(
    forge: Forge, *, mode: Live | Historical = LIVE, expected: Expected = EXPECTED, root: TrustAnchor = ROOT
) -> DocumentAppraisal:
    return appraise_document(forge.document(), expected=expected, mode=mode, roots=[root])


def failed(appraisal: DocumentAppraisal) -> list[str]:
    codes = [check.code for check in appraisal.checks if check.status is Status.FAIL]
    assert appraisal.passed == (not codes)
    return codes


def bent(index: int, **changes: Any) -> Forge:
    """A forge with one certificate of the chain changed."""
    levels = list(CHAIN)
    levels[index] = replace(levels[index], **changes)
    return Forge(levels=tuple(levels))


def test_the_unbent_document_passes_with_every_check_named() -> None:
    appraisal = appraise(Forge())
    assert appraisal.passed
    assert [(check.code, check.status.value) for check in appraisal.checks] == [
        ("attestation.chain.root", "pass"),
        ("attestation.chain.path", "pass"),
        ("attestation.chain.validity", "pass"),
        ("attestation.cose.signature", "pass"),
        ("attestation.debug-mode", "pass"),
        ("attestation.pcr0", "pass"),
        ("attestation.pcr1", "pass"),
        ("attestation.pcr2", "pass"),
        ("attestation.pcr3", "not-checked"),
        ("attestation.pcr4", "not-checked"),
        ("attestation.pcr8", "not-checked"),
        ("attestation.nonce", "pass"),
        ("attestation.age", "pass"),
    ]
    assert [finding.code for finding in appraisal.findings] == ["attestation.pcr8.zero"]
    assert (appraisal.region, appraisal.trust.custom) == ("eu-west-1", True)


def test_historical_passes_without_nonce_and_age_and_says_so() -> None:
    for mode in (Historical(), Historical(at=NOW + timedelta(hours=1))):
        appraisal = appraise(Forge(), mode=mode)
        assert appraisal.passed
        left_out = {check.code for check in appraisal.checks if check.status is Status.NOT_CHECKED}
        assert left_out >= {"attestation.nonce", "attestation.age"}


def test_any_other_root_is_refused_and_what_follows_is_not_judged() -> None:
    appraisal = appraise_document(Forge().document(), expected=EXPECTED, mode=LIVE)
    assert failed(appraisal) == ["attestation.chain.root"]
    assert {check.status for check in appraisal.checks[1:]} == {Status.NOT_CHECKED}
    assert appraisal.checks[0].actual == ROOT.sha256
    assert len(appraisal.checks) == len(appraise(Forge()).checks)


def test_one_of_several_roots_may_match_and_is_the_one_named() -> None:
    other = TrustAnchor(name="other", der=b"other")
    appraisal = appraise_document(Forge().document(), expected=EXPECTED, mode=LIVE, roots=[other, ROOT])
    assert appraisal.passed
    assert appraisal.trust == ROOT
    with pytest.raises(UsageError):
        appraise_document(Forge().document(), expected=EXPECTED, mode=LIVE, roots=[])


BENT_CHAINS = [
    (bent(1, issuer_name="somebody"), "name"),
    (bent(4, issuer_name="somebody"), "name"),
    (bent(2, issuer_key=77), "signature"),
    (bent(4, issuer_key=2), "signature"),
    (bent(1, hash="sha256"), "algorithm"),
    (bent(4, hash="sha256"), "algorithm"),
    (bent(3, curve="p256"), "key"),
    (bent(2, ca=False, path_length=None), "authority"),
    (bent(2, ca=None), "authority"),
    (bent(2, ca_critical=False), "authority"),
    (bent(4, ca=True, usages=LEAF_USAGES), "authority"),
    (bent(1, path_length=1), "path-length"),
    (bent(2, path_length=0), "path-length"),
    (bent(1, usages=None), "key-usage"),
    (bent(3, usages=frozenset({"digital_signature", "crl_sign"})), "key-usage"),
    (bent(4, usages=None), "key-usage"),
    (bent(4, usages=frozenset({"content_commitment"})), "key-usage"),
    (bent(4, usages=LEAF_USAGES | {"key_cert_sign"}), "key-usage"),
    (bent(1, extra=(("1.2.3.4", True),)), "critical-extension"),
    (bent(4, extra=(("1.2.3.4", True),)), "critical-extension"),
]


@pytest.mark.parametrize(
    ("forge", "rule"), BENT_CHAINS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_one_bent_certificate_breaks_the_chain(forge: Forge, rule: str) -> None:
    assert failed(appraise(forge)) == [f"attestation.chain.{rule}"]


def test_what_the_rules_allow_is_allowed() -> None:
    for forge in (
        bent(1, path_length=None),
        bent(1, path_length=9),
        bent(4, extra=(("1.2.3.4", False),)),
        bent(4, ca=None),
        Forge(levels=(CHAIN[0], CHAIN[4])),
    ):
        assert failed(appraise(forge)) == []


def test_the_bundle_is_a_path_and_nothing_but_a_path() -> None:
    def doubled(bundle: list[bytes]) -> list[bytes]:
        return [*bundle, bundle[-1]]

    assert failed(appraise(Forge(bend_bundle=lambda bundle: bundle[1:]))) == ["attestation.chain.root"]
    assert failed(appraise(Forge(bend_bundle=lambda bundle: bundle[::-1]))) == ["attestation.chain.root"]
    swapped = Forge(bend_bundle=lambda bundle: [bundle[0], bundle[2], bundle[1], bundle[3]])
    assert failed(appraise(swapped)) == ["attestation.chain.path-length"]
    assert failed(appraise(Forge(bend_bundle=doubled))) == ["attestation.chain.path-length"]
    assert failed(appraise(Forge(bend_bundle=lambda bundle: [*bundle[:2], bundle[3]]))) == [
        "attestation.chain.name"
    ]


def test_a_leaf_cannot_issue_a_certificate() -> None:
    open_ended = tuple(replace(level, path_length=None) for level in CHAIN)
    below = Level("below.eu-west-1.aws", 5, ca=False, usages=LEAF_USAGES)
    assert failed(appraise(Forge(levels=(*open_ended, below)))) == ["attestation.chain.authority"]
    assert failed(appraise(Forge(levels=open_ended))) == []


@pytest.mark.parametrize("index", range(5))
def test_every_certificate_must_be_valid_at_both_times(index: int) -> None:
    live, hour = LIVE, timedelta(hours=1)
    start, end = -hour, 2 * hour

    def codes(life: tuple[timedelta, timedelta], mode: Live | Historical) -> list[str]:
        forge = bent(index, life=life)
        root = ROOT if index else TrustAnchor(name="other times", der=_root_of(forge))
        return failed(appraise(forge, mode=mode, root=root))

    assert codes((start, 3 * SECOND), live) == []
    assert codes((start, 2 * SECOND), live) == ["attestation.chain.expired"]
    assert codes((start, 2 * SECOND), Historical()) == []
    assert codes((start, 2 * SECOND), Historical(at=NOW + 3 * SECOND)) == ["attestation.chain.expired"]
    assert codes((timedelta(0), end), live) == []
    assert codes((SECOND, end), live) == ["attestation.chain.not-yet-valid"]
    assert codes((SECOND, end), Historical()) == ["attestation.chain.not-yet-valid"]


def _root_of(forge: Forge) -> bytes:
    return chain(forge.levels)[0]


def test_a_verifier_whose_clock_is_a_little_behind_accepts_a_fresh_leaf() -> None:
    fresh = bent(4, life=(timedelta(0), timedelta(hours=3)))
    assert failed(appraise(fresh, mode=Live(nonce=NONCE, at=NOW - 2 * SECOND))) == []


def test_another_key_or_one_bit_breaks_the_signature() -> None:
    assert failed(appraise(Forge(signer=key(3)))) == ["attestation.cose.signature"]
    data = bytearray(Forge().document())
    data[-1] ^= 1
    appraisal = appraise_document(bytes(data), expected=EXPECTED, mode=LIVE, roots=[ROOT])
    assert failed(appraisal) == ["attestation.cose.signature"]
    sign1 = parse_sign1(Forge().document())
    assert sign1.payload in bytes(data)


def test_debug_mode_is_refused_for_any_zero_of_pcr0_1_2_and_decides_alone() -> None:
    for index in (0, 1, 2):
        forge = Forge(fields={"pcrs": {**PCRS, index: bytes(48), 3: b"3" * 48, 4: b"4" * 48}})
        appraisal = appraise(forge)
        assert failed(appraisal) == ["attestation.debug-mode"]
    both = Forge(fields={"pcrs": {0: bytes(48), 1: bytes(48), 2: bytes(48)}})
    assert failed(appraise(both, mode=Historical())) == ["attestation.debug-mode"]


@pytest.mark.parametrize("index", [0, 1, 2, 3, 4, 8, 16, 31])
def test_a_pcr_must_be_equal_and_be_there(index: int) -> None:
    value = PCRS.get(index, b"\x77" * 48)
    expected = Expected(pcrs={**PCRS, index: value})
    good = {**PCRS, index: value}
    assert failed(appraise(Forge(fields={"pcrs": good}), expected=expected)) == []
    flipped = {**good, index: value[:-1] + bytes((value[-1] ^ 1,))}
    assert failed(appraise(Forge(fields={"pcrs": flipped}), expected=expected)) == [
        f"attestation.pcr{index}.mismatch"
    ]
    missing = {number: pcr for number, pcr in good.items() if number != index}
    assert failed(appraise(Forge(fields={"pcrs": missing}), expected=expected)) == [
        f"attestation.pcr{index}.missing"
    ]


def test_pcr8_of_an_unsigned_image_is_zero_and_of_a_signed_one_is_not() -> None:
    unsigned = Expected.of(Measurements(pcr0=PCRS[0], pcr1=PCRS[1], pcr2=PCRS[2]))
    signed = Expected.of(Measurements(pcr0=PCRS[0], pcr1=PCRS[1], pcr2=PCRS[2], pcr8=b"\x08" * 48))
    zero, eight = Forge(), Forge(fields={"pcrs": {**PCRS, 8: b"\x08" * 48}})
    assert failed(appraise(zero, expected=unsigned)) == []
    assert failed(appraise(eight, expected=unsigned)) == ["attestation.pcr8.mismatch"]
    assert failed(appraise(eight, expected=signed)) == []
    assert failed(appraise(zero, expected=signed)) == ["attestation.pcr8.mismatch"]
    assert failed(appraise(Forge(fields={"pcrs": PCRS}), expected=unsigned)) == ["attestation.pcr8.missing"]


@pytest.mark.parametrize(
    ("nonce", "code"),
    [
        (None, "missing"),
        (DROP, "missing"),
        (b"", "missing"),
        (NONCE[:-1], "mismatch"),
        (NONCE + b"\x00", "mismatch"),
        (NONCE[:-1] + b"\xff", "mismatch"),
    ],
)
def test_a_live_document_must_hold_exactly_our_nonce(nonce: object, code: str) -> None:
    forge = Forge(fields={"nonce": nonce})
    assert failed(appraise(forge)) == [f"attestation.nonce.{code}"]
    assert failed(appraise(forge, mode=Historical())) == []


def test_age_has_a_limit_in_both_directions() -> None:
    def codes(at: datetime, max_age: timedelta = timedelta(minutes=5)) -> list[str]:
        return failed(appraise(Forge(), mode=Live(nonce=NONCE, at=at, max_age=max_age)))

    assert codes(NOW + timedelta(minutes=5)) == []
    assert codes(NOW + timedelta(minutes=5, seconds=1)) == ["attestation.age.too-old"]
    assert codes(NOW + timedelta(minutes=5, seconds=1), timedelta(minutes=6)) == []
    assert codes(NOW - timedelta(minutes=5)) == []
    assert codes(NOW - timedelta(minutes=5, seconds=1)) == ["attestation.age.future"]
    early = Historical(at=NOW - timedelta(minutes=5, seconds=1))
    assert failed(appraise(Forge(), mode=early)) == ["attestation.age.future"]


def test_cross_checks_are_findings_and_decide_nothing() -> None:
    wrong_instance = Forge(fields={"pcrs": {**PCRS, 4: b"\x04" * 48}})
    other_name = bent(4, name="i-0-enc0.eu-west-1.aws")
    odd_module = Forge(fields={"module_id": "box 7"})
    for forge, codes in [
        (wrong_instance, ["attestation.module-id.pcr4"]),
        (other_name, ["attestation.module-id.certificate", "attestation.pcr8.zero"]),
        (
            odd_module,
            ["attestation.module-id.form", "attestation.module-id.certificate", "attestation.pcr8.zero"],
        ),
    ]:
        appraisal = appraise(forge)
        assert appraisal.passed
        assert [finding.code for finding in appraisal.findings] == codes


def test_a_document_has_a_launch_time_where_its_module_id_has_the_known_form() -> None:
    document = appraise(Forge()).document
    assert document is not None
    assert document.module_id == MODULE
    assert document.launched is not None
    assert (document.launched - document.created) < timedelta(0)
    other = appraise(Forge(fields={"module_id": "box 7"})).document
    assert other is not None
    assert (other.launched, other.instance_id) == (None, None)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"module_id": ""}, "attestation.document.module-id"),
        ({"module_id": DROP}, "attestation.document.missing"),
        ({"digest": "SHA512"}, "attestation.document.digest"),
        ({"timestamp": 0}, "attestation.document.timestamp"),
        ({"timestamp": -1}, "attestation.document.timestamp"),
        ({"timestamp": 253_402_300_800_000}, "attestation.document.timestamp"),
        ({"pcrs": {}}, "attestation.document.pcrs"),
        ({"pcrs": {-1: bytes(48)}}, "attestation.document.pcrs"),
        ({"pcrs": {0: bytes(32)}}, "attestation.document.pcrs"),
        ({"pcrs": {0: "x" * 48}}, "attestation.document.pcrs"),
        ({"certificate": b""}, "attestation.document.certificate"),
        ({"certificate": bytes(1025)}, "attestation.document.certificate"),
        ({"certificate": bytes(1024)}, "attestation.chain.certificate"),
        ({"cabundle": []}, "attestation.document.cabundle"),
        ({"cabundle": [b"x"] * 9}, "attestation.document.cabundle"),
        ({"public_key": bytes(1025)}, "attestation.document.optional"),
        ({"user_data": bytes(1025)}, "attestation.document.optional"),
        ({"nonce": bytes(1025)}, "attestation.document.optional"),
        ({"nonce": 7}, "attestation.document.optional"),
        ({"surprise": b""}, "attestation.document.unknown-field"),
    ],
)
def test_a_field_of_another_form_is_no_document(fields: dict[str, object], code: str) -> None:
    with pytest.raises(ParseError) as caught:
        appraise(Forge(fields=fields))
    assert caught.value.code == code
    assert caught.value.exit_status == 3


def test_the_signature_algorithm_is_that_of_nitro() -> None:
    with pytest.raises(ParseError) as caught:
        appraise(Forge(signer=key(4, "p256")))
    assert caught.value.code == "attestation.document.algorithm"


def test_an_oversized_document_is_not_even_decoded() -> None:
    for size, code in [(65536, "cbor.trailing"), (65537, "attestation.document.size")]:
        with pytest.raises(GlassclaveError) as caught:
            appraise_document(bytes(size), expected=EXPECTED, mode=LIVE)
        assert caught.value.code == code
