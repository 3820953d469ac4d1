"""For any value and any bytes: what is written is read back, and whatever is read has one spelling."""

from __future__ import annotations

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st

from glassclave.cbor import Tag, decode, encode
from glassclave.errors import ParseError

_INTS = st.integers(min_value=-(1 << 64), max_value=(1 << 64) - 1)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_KEYS = st.one_of(_INTS, _TEXTS, st.binary(max_size=40))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), _INTS, _TEXTS, st.binary(max_size=300)),
    lambda inner: st.one_of(st.lists(inner, max_size=30), st.dictionaries(_KEYS, inner, max_size=30)),
    max_leaves=40,
)


@given(VALUES)
def test_written_values_are_read_back_by_us_and_by_cbor2(value: object) -> None:
    data = encode(value)
    assert decode(data, max_depth=64, booleans=True) == value
    assert cbor2.loads(data) == value
    assert cbor2.dumps(value) == data


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_in_their_only_spelling_or_refused_in_words(data: bytes) -> None:
    try:
        value = decode(data, booleans=True, tags=(18,))
    except ParseError as error:
        assert error.code.startswith("cbor.")
        return
    assert encode(value) == data
    if not isinstance(value, Tag):
        assert cbor2.loads(data) == value or data[0] == 0xD2


@settings(max_examples=300)
@given(VALUES, st.data())
def test_one_changed_byte_never_ends_in_an_untyped_error(value: object, data: st.DataObject) -> None:
    raw = bytearray(encode(value))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = decode(bytes(raw), max_depth=64, booleans=True)
    except ParseError:
        return
    assert encode(read) == bytes(raw)
