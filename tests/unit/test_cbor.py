"""The CBOR reader refuses whatever has a second spelling, and the writer has one spelling only."""

from __future__ import annotations

import cbor2
import pytest

from glassclave.cbor import Tag, decode, encode
from glassclave.errors import GlassclaveError, LimitError, ParseError, UsageError

# RFC 8949 appendix A, the rows inside our subset.
EXAMPLES: list[tuple[str, object]] = [
    ("00", 0),
    ("17", 23),
    ("1818", 24),
    ("18ff", 255),
    ("190100", 256),
    ("19ffff", 65535),
    ("1a00010000", 65536),
    ("1b000000e8d4a51000", 1_000_000_000_000),
    ("1bffffffffffffffff", (1 << 64) - 1),
    ("20", -1),
    ("3863", -100),
    ("3903e7", -1000),
    ("3bffffffffffffffff", -(1 << 64)),
    ("40", b""),
    ("4401020304", b"\x01\x02\x03\x04"),
    ("60", ""),
    ("62c3bc", "ü"),
    ("64f0908591", "\U00010151"),
    ("80", []),
    ("8301820203820405", [1, [2, 3], [4, 5]]),
    ("a0", {}),
    ("a201020304", {1: 2, 3: 4}),
    ("a26161016162820203", {"a": 1, "b": [2, 3]}),
    ("f6", None),
]


@pytest.mark.parametrize(("text", "value"), EXAMPLES)
def test_examples_of_the_standard_both_ways(text: str, value: object) -> None:
    assert decode(bytes.fromhex(text)) == value
    assert encode(value) == bytes.fromhex(text)
    assert cbor2.loads(bytes.fromhex(text)) == value


REFUSED = [
    ("", "cbor.truncated", 0),
    ("18", "cbor.truncated", 0),
    ("1817", "cbor.shortest", 0),
    ("1900ff", "cbor.shortest", 0),
    ("1a0000ffff", "cbor.shortest", 0),
    ("1b00000000ffffffff", "cbor.shortest", 0),
    ("3817", "cbor.shortest", 0),
    ("5801aa", "cbor.shortest", 0),
    ("1c", "cbor.syntax", 0),
    ("5f4101ff", "cbor.indefinite", 0),
    ("7f6161ff", "cbor.indefinite", 0),
    ("9f01ff", "cbor.indefinite", 0),
    ("bf0102ff", "cbor.indefinite", 0),
    ("ff", "cbor.indefinite", 0),
    ("f4", "cbor.type", 0),
    ("f5", "cbor.type", 0),
    ("f7", "cbor.type", 0),
    ("f820", "cbor.type", 0),
    ("f90000", "cbor.type", 0),
    ("fb3ff199999999999a", "cbor.type", 0),
    ("c101", "cbor.tag", 0),
    ("c249010000000000000000", "cbor.tag", 0),
    ("62c328", "cbor.text", 0),
    ("63eda080", "cbor.text", 0),
    ("42aa", "cbor.truncated", 0),
    ("5bffffffffffffffff", "cbor.truncated", 0),
    ("9bffffffffffffffff", "cbor.truncated", 0),
    ("bbffffffffffffffff", "cbor.truncated", 0),
    ("8201", "cbor.truncated", 0),
    ("a201020103", "cbor.duplicate-key", 3),
    ("a2616101616102", "cbor.duplicate-key", 4),
    ("a18001", "cbor.key", 1),
    ("a1f601", "cbor.key", 1),
    ("0000", "cbor.trailing", 1),
]


@pytest.mark.parametrize(("text", "code", "offset"), REFUSED)
def test_refused_with_code_and_offset(text: str, code: str, offset: int) -> None:
    with pytest.raises(ParseError) as caught:
        decode(bytes.fromhex(text))
    assert (caught.value.code, caught.value.offset) == (code, offset)


def test_booleans_only_where_asked_and_never_as_keys() -> None:
    assert decode(bytes.fromhex("82f4f5"), booleans=True) == [False, True]
    with pytest.raises(ParseError) as caught:
        decode(bytes.fromhex("a1f401"), booleans=True)
    assert caught.value.code == "cbor.key"


def test_tags_only_where_named() -> None:
    assert decode(bytes.fromhex("d28101"), tags=(18,)) == Tag(18, [1])
    assert encode(Tag(18, [1])) == bytes.fromhex("d28101")
    with pytest.raises(ParseError, match="tag 17"):
        decode(bytes.fromhex("d18101"), tags=(18,))


def test_indefinite_length_is_for_the_outermost_map_only() -> None:
    assert decode(bytes.fromhex("bf01020304ff"), indefinite_outer_map=True) == {1: 2, 3: 4}
    assert decode(bytes.fromhex("bfff"), indefinite_outer_map=True) == {}
    for text, code in [
        ("bf01bf0203ffff", "cbor.indefinite"),
        ("bf019fffff", "cbor.indefinite"),
        ("bf01ff", "cbor.indefinite"),
        ("bf0102", "cbor.truncated"),
        ("bf01020103ff", "cbor.duplicate-key"),
        ("bf0102ff00", "cbor.trailing"),
        ("81bf0102ff", "cbor.indefinite"),
        ("9f01ff", "cbor.indefinite"),
    ]:
        with pytest.raises(ParseError) as caught:
            decode(bytes.fromhex(text), indefinite_outer_map=True)
        assert caught.value.code == code, text


@pytest.mark.parametrize("wrap", [b"\x81", b"\xa1\x00", b"\xd2"])
def test_depth_is_capped_at_the_limit_exactly(wrap: bytes) -> None:
    decode(wrap * 8 + b"\x00", tags=(18,))
    with pytest.raises(LimitError) as caught:
        decode(wrap * 9 + b"\x00", tags=(18,))
    assert caught.value.code == "cbor.depth"
    with pytest.raises(LimitError):
        decode(wrap * 500_000, tags=(18,))


def test_items_are_capped_before_they_are_allocated() -> None:
    assert decode(b"\x83\x00\x00\x00", max_items=4) == [0, 0, 0]
    with pytest.raises(LimitError):
        decode(b"\x83\x00\x00\x00", max_items=3)
    with pytest.raises(LimitError):
        decode(b"\xbf\x00\x00\x01\x00\xff", max_items=4, indefinite_outer_map=True)
    assert decode(b"\xbf\x00\x00\x01\x00\xff", max_items=5, indefinite_outer_map=True) == {0: 0, 1: 0}


@pytest.mark.parametrize(
    "value", [1.5, 1 << 64, -(1 << 64) - 1, object(), {True: 1}, {None: 1}, {(1,): 2}, "\ud800", {1: {2}}]
)
def test_what_has_no_place_is_refused_by_the_writer(value: object) -> None:
    with pytest.raises(UsageError) as caught:
        encode(value)
    assert caught.value.code == "cbor.value"


def test_a_value_inside_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(GlassclaveError):
        encode(loop)


def test_map_order_is_kept() -> None:
    assert encode({3: 0, 1: 0, "b": 0, "a": 0}).hex() == "a403000100616200616100"
    assert encode((1, 2)) == encode([1, 2])
