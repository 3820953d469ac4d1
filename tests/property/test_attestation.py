"""Whatever bytes come, the answer is a typed error or a judgement; and what was bent never passes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassclave.attestation.appraisal import DocumentAppraisal, appraise_document
from glassclave.attestation.armor import unarmor
from glassclave.attestation.chain import parse_certificate, parse_chain, verify_path
from glassclave.attestation.expectation import Expected, Historical
from glassclave.attestation.measurements import parse_measurements
from glassclave.attestation.roots import parse_root
from glassclave.cbor import encode
from glassclave.cose import sign_sign1
from glassclave.errors import GlassclaveError, ParseError, RefusedError
from tests.property.test_cbor import VALUES
from tests.unit.attestation.forge import CHAIN, EXPECTED, ROOT, Forge, chain, key
from tests.unit.attestation.vectors import PRODUCTION, Genuine

SAMPLES = PRODUCTION[::6]
CERTIFICATES = chain()


def judge(data: bytes, expected: Expected) -> DocumentAppraisal | None:
    """The appraisal, or ``None`` where the bytes are no document."""
    try:
        return appraise_document(data, expected=expected, mode=Historical())
    except ParseError as error:
        assert error.code
        assert str(error)
        return None


@given(st.binary(max_size=400))
def test_any_bytes_are_answered_in_words(data: bytes) -> None:
    appraisal = judge(data, EXPECTED)
    assert appraisal is None or not appraisal.passed


@settings(max_examples=400)
@given(st.sampled_from(SAMPLES), st.data())
def test_a_genuine_document_with_one_byte_changed_never_passes(genuine: Genuine, data: st.DataObject) -> None:
    raw = bytearray(genuine.data)
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    appraisal = judge(bytes(raw), Expected(pcrs=genuine.pcrs))
    assert appraisal is None or not appraisal.passed


@settings(max_examples=200)
@given(st.sampled_from(SAMPLES), st.data())
def test_a_genuine_document_cut_or_grown_never_passes(genuine: Genuine, data: st.DataObject) -> None:
    raw = genuine.data
    cut = data.draw(st.integers(0, len(raw) - 1))
    more = data.draw(st.binary(min_size=1, max_size=40))
    for bent in (raw[:cut], raw + more, raw[:cut] + more + raw[cut:], raw[cut:]):
        if bent != raw:
            appraisal = judge(bent, Expected(pcrs=genuine.pcrs))
            assert appraisal is None or not appraisal.passed


@settings(max_examples=200)
@given(
    st.sampled_from(
        ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "user_data", "x"]
    ),
    VALUES,
)
def test_any_value_in_a_field_of_a_signed_document_is_answered_in_words(name: str, value: object) -> None:
    document = Forge(fields={name: value}).document()
    try:
        appraise_document(document, expected=EXPECTED, mode=Historical(), roots=[ROOT])
    except ParseError as error:
        assert error.code.startswith(("attestation.", "cbor.", "cose."))


@settings(max_examples=200)
@given(VALUES)
def test_any_signed_payload_is_answered_in_words(value: object) -> None:
    with pytest.raises(GlassclaveError):
        appraise_document(
            sign_sign1(encode(value), key(4)), expected=EXPECTED, mode=Historical(), roots=[ROOT]
        )


@settings(max_examples=400)
@given(st.integers(0, len(CERTIFICATES) - 1), st.data())
def test_a_bent_certificate_is_unreadable_or_breaks_the_chain(index: int, data: st.DataObject) -> None:
    bent = list(CERTIFICATES)
    raw = bytearray(bent[index])
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    bent[index] = bytes(raw)
    try:
        parsed = parse_chain(bent[:-1], bent[-1])
    except ParseError as error:
        assert error.code == "attestation.chain.certificate"
        return
    if index == 0:
        return  # the root is compared byte by byte before the walk
    with pytest.raises(RefusedError):
        verify_path(parsed)


@given(st.binary(max_size=300))
def test_other_readers_of_this_room_answer_in_words_too(data: bytes) -> None:
    for read in (
        lambda: unarmor(data),
        lambda: parse_root(data, source="f"),
        lambda: parse_root(b"-----BEGIN CERTIFICATE-----\n" + data, source="f"),
        lambda: parse_certificate(data, place="p"),
        lambda: parse_measurements(data, source="f"),
    ):
        try:
            read()
        except ParseError as error:
            assert error.code


def test_the_unbent_chain_is_good() -> None:
    verify_path(parse_chain(CERTIFICATES[:-1], CERTIFICATES[-1]))
    assert len(CERTIFICATES) == len(CHAIN)
