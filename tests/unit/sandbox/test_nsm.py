"""Documents of the software NSM and the notary, judged by Glassclave's own verifier."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from glassclave.attestation.appraisal import appraise_document
from glassclave.attestation.document import parse_document
from glassclave.attestation.expectation import Expected, Historical, Live
from glassclave.attestation.roots import parse_root
from glassclave.cbor import decode, encode
from glassclave.errors import GlassclaveError, ParseError, RefusedError, UsageError
from glassclave.results import Status
from glassclave_sandbox.authority import Issuer, make_chain, make_root
from glassclave_sandbox.names import milliseconds
from glassclave_sandbox.notary import notarize, parse_qemu_document
from glassclave_sandbox.nsm import SoftwareNsm

AT = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
PCRS = {0: b"\x01" * 48, 1: b"\x02" * 48, 2: b"\x03" * 48}
NONCE = bytes(range(32))


@pytest.fixture(scope="module")
def root() -> Issuer:
    return make_root(at=AT)


def judge(document: bytes, root: Issuer, at: datetime = AT) -> list[str]:
    """Codes of the failing checks under ``root``, live with our nonce."""
    appraisal = appraise_document(
        document,
        expected=Expected(pcrs=PCRS),
        mode=Live(nonce=NONCE, at=at),
        roots=[parse_root(root.pem, source="sandbox")],
    )
    failed = [check.code for check in appraisal.checks if check.status is Status.FAIL]
    assert appraisal.passed == (not failed)
    return failed


def test_document_passes_our_verifier_without_a_finding(root: Issuer) -> None:
    nsm = SoftwareNsm(root, at=AT)
    document = nsm.document(pcrs=PCRS, timestamp_ms=milliseconds(AT), nonce=NONCE)
    appraisal = appraise_document(
        document,
        expected=Expected(pcrs=PCRS),
        mode=Live(nonce=NONCE, at=AT),
        roots=[parse_root(root.pem, source="sandbox")],
    )
    assert appraisal.passed
    assert [finding.code for finding in appraisal.findings] == ["attestation.pcr8.zero"]
    assert appraisal.region == "eu-west-1"


def test_document_has_awss_form(root: Issuer) -> None:
    nsm = SoftwareNsm(root, at=AT)
    document = nsm.document(pcrs=PCRS, timestamp_ms=milliseconds(AT), user_data=b"u", public_key=b"k")
    assert document[:8] == bytes.fromhex("8444a1013822a059")
    payload = decode(parse_document(document).sign1.payload)
    assert isinstance(payload, dict)
    assert list(payload) == [
        "module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "public_key", "user_data",
        "nonce",
    ]  # fmt: skip
    assert list(payload["pcrs"]) == list(range(16))
    assert (payload["nonce"], payload["user_data"], payload["public_key"]) == (None, b"u", b"k")
    assert len(payload["cabundle"]) == 4
    assert all(len(der) <= 1024 for der in [payload["certificate"], *payload["cabundle"]])


@pytest.mark.parametrize("index", [0, 1, 2])
def test_debug_mode_and_other_pcrs_are_refused(root: Issuer, index: int) -> None:
    nsm = SoftwareNsm(root, at=AT)
    other = nsm.document(pcrs=PCRS | {index: b"\x09" * 48}, timestamp_ms=milliseconds(AT), nonce=NONCE)
    assert judge(other, root) == [f"attestation.pcr{index}.mismatch"]
    debug = nsm.document(pcrs={}, timestamp_ms=milliseconds(AT), nonce=NONCE)
    assert "attestation.debug-mode" in judge(debug, root)


def test_another_runs_root_is_refused(root: Issuer) -> None:
    document = SoftwareNsm(make_root(at=AT), at=AT).document(
        pcrs=PCRS, timestamp_ms=milliseconds(AT), nonce=NONCE
    )
    assert any(code.startswith("attestation.chain") for code in judge(document, root))


def test_the_pinned_root_never_trusts_the_sandbox(root: Issuer) -> None:
    document = SoftwareNsm(root, at=AT).document(pcrs=PCRS, timestamp_ms=milliseconds(AT))
    appraisal = appraise_document(document, expected=Expected(pcrs=PCRS), mode=Historical())
    assert not appraisal.passed


def test_leaf_lives_three_hours(root: Issuer) -> None:
    nsm = SoftwareNsm(root, at=AT)
    for age, failed in (
        (timedelta(hours=2, minutes=59), []),
        (timedelta(hours=3), ["attestation.chain.expired"]),
    ):
        document = nsm.document(pcrs=PCRS, timestamp_ms=milliseconds(AT + age), nonce=NONCE)
        assert judge(document, root, AT + age) == failed


def test_chain_is_shaped_like_awss(root: Issuer) -> None:
    chain = make_chain(root, at=AT, module_id="m", instance_id="i-1", region="eu-west-1")
    shapes = []
    for issuer in (*chain.authorities, chain.leaf):
        certificate = issuer.certificate
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        shapes.append((basic.value.ca, basic.value.path_length, basic.critical, usage.critical, life))
        assert "SANDBOX" in certificate.subject.rfc4514_string()
        assert "Amazon" not in certificate.subject.rfc4514_string()
    hour = timedelta(hours=1)
    assert shapes == [
        (True, None, True, True, timedelta(days=10957) + hour),
        (True, 2, True, True, timedelta(days=20) + hour),
        (True, 1, True, True, timedelta(days=5, hours=13)),
        (True, 0, True, True, 24 * hour),
        (False, None, True, False, 3 * hour + timedelta(seconds=3)),
    ]
    assert len(list(chain.leaf.certificate.extensions)) == 2


def test_times_without_zone_are_refused(root: Issuer) -> None:
    with pytest.raises(UsageError) as caught:
        make_root(at=AT.replace(tzinfo=None))
    assert caught.value.code == "sandbox.time"
    with pytest.raises(UsageError):
        SoftwareNsm(root, at=AT.replace(tzinfo=None))


@pytest.mark.parametrize("pcrs", [{32: bytes(48)}, {-1: bytes(48)}, {0: bytes(32)}])
def test_impossible_pcrs_are_refused(root: Issuer, pcrs: dict[int, bytes]) -> None:
    with pytest.raises(UsageError) as caught:
        SoftwareNsm(root, at=AT).document(pcrs=pcrs, timestamp_ms=1)
    assert caught.value.code == "sandbox.pcr"


def qemu_document(**changes: object) -> bytes:
    """A document as QEMU 10.0 makes it."""
    payload: dict[str, object] = {
        "module_id": "i-05a4db0c5a4db0c50-enc0123456789ab0000",
        "digest": "SHA384",
        "timestamp": milliseconds(AT),
        "pcrs": {index: PCRS.get(index, bytes(48)) for index in range(16)},
        "certificate": bytes(64),
        "cabundle": [bytes(64)],
        "public_key": None,
        "user_data": b"user",
        "nonce": NONCE,
    }
    envelope = [b"\xa1\x01\x20", {}, encode(payload | changes), bytes(64)]
    return encode(envelope)


def test_notary_vouches_for_what_was_expected(root: Issuer) -> None:
    document = notarize(qemu_document(), root=root, expected=PCRS, nonce=NONCE, at=AT)
    assert judge(document, root) == []
    before = parse_qemu_document(qemu_document())
    after = decode(parse_document(document).sign1.payload)
    assert isinstance(after, dict)
    assert list(after) == list(before)
    assert {key for key in before if before[key] != after[key]} == {"certificate", "cabundle"}


def test_our_verifier_refuses_what_qemu_made() -> None:
    with pytest.raises(ParseError) as caught:
        parse_document(qemu_document())
    assert caught.value.code == "cose.protected"


@pytest.mark.parametrize("index", [0, 1, 2, 8])
def test_notary_refuses_another_measurement(root: Issuer, index: int) -> None:
    expected = PCRS | {index: b"\x0a" * 48}
    with pytest.raises(RefusedError) as caught:
        notarize(qemu_document(), root=root, expected=expected, nonce=NONCE, at=AT)
    assert (caught.value.code, caught.value.field) == ("sandbox.notary.pcr", f"pcrs[{index}]")


@pytest.mark.parametrize("nonce", [None, NONCE[:-1], NONCE + b"\0"])
def test_notary_refuses_another_nonce(root: Issuer, nonce: bytes | None) -> None:
    with pytest.raises(RefusedError) as caught:
        notarize(qemu_document(), root=root, expected=PCRS, nonce=nonce, at=AT)
    assert caught.value.code == "sandbox.notary.nonce"


@pytest.mark.parametrize("minutes", [-6, 6])
def test_notary_refuses_another_time(root: Issuer, minutes: int) -> None:
    with pytest.raises(RefusedError) as caught:
        notarize(qemu_document(), root=root, expected=PCRS, nonce=NONCE, at=AT + timedelta(minutes=minutes))
    assert caught.value.code == "sandbox.notary.time"


def test_notary_needs_all_image_pcrs(root: Issuer) -> None:
    with pytest.raises(UsageError):
        notarize(qemu_document(), root=root, expected={0: PCRS[0], 1: PCRS[1]}, nonce=NONCE, at=AT)


@pytest.mark.parametrize(
    "document",
    [
        encode([b"\xa1\x01\x38\x22", {}, b"", bytes(64)]),
        encode([b"\xa1\x01\x20", {}, encode({}), bytes(64)]),
        encode([b"\xa1\x01\x20", {}, encode([]), bytes(64)]),
        encode([b"\xa1\x01\x20", {}, encode({}), b"\1" + bytes(63)]),
        encode([b"\xa1\x01\x20", {1: 2}, encode({}), bytes(64)]),
        encode([]),
        encode("text"),
        qemu_document(certificate=b"x"),
        qemu_document(cabundle=[bytes(64), bytes(64)]),
        qemu_document(extra=1),
        qemu_document(timestamp="now"),
        qemu_document(pcrs=[]),
        qemu_document(module_id=1),
        qemu_document()[:-1],
    ],
)
def test_notary_takes_nothing_but_qemus_form(root: Issuer, document: bytes) -> None:
    with pytest.raises(GlassclaveError) as caught:
        notarize(document, root=root, expected=PCRS, nonce=NONCE, at=AT)
    assert caught.value.code.startswith(("sandbox.notary.form", "cbor."))


def test_notary_never_signs_a_signed_document(root: Issuer) -> None:
    signed = SoftwareNsm(root, at=AT).document(pcrs=PCRS, timestamp_ms=milliseconds(AT), nonce=NONCE)
    with pytest.raises(ParseError) as caught:
        notarize(signed, root=root, expected=PCRS, nonce=NONCE, at=AT)
    assert caught.value.code == "sandbox.notary.form"
