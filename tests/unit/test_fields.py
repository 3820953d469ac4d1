from __future__ import annotations

import pytest

from glassclave.errors import GlassclaveError, LimitError, ParseError
from glassclave.fields import Fields, parse_json


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'{"a":1,"a":2}', "json.duplicate-key"),
        (b'{"a":NaN}', "json.number"),
        (b'{"a":1e999}', "json.number"),
        (b'["\\ud800"]', "json.encoding"),
        (b'{"\\udfff":1}', "json.encoding"),
        (b"{", "json.syntax"),
        (b"\xff", "json.encoding"),
        (b"[" * 65 + b"]" * 65, "json.depth"),
        (b"[" * 100_000, "json.depth"),
        (b"1" * 5000, "json.number"),
        (b" " * 101, "json.size"),
    ],
)
def test_hostile_json_gets_a_typed_error(text: bytes, code: str) -> None:
    limit = 100 if code == "json.size" else 1 << 20
    with pytest.raises(ParseError) as caught:
        parse_json(text, source="input", limit=limit)
    assert caught.value.code == code
    assert caught.value.source == "input"


def test_brackets_inside_strings_do_not_count_as_depth() -> None:
    text = b'{"a":"' + b"[" * 1000 + b'\\"{"}'
    assert parse_json(text, source="input") == {"a": "[" * 1000 + '"{'}


def test_errors_name_the_whole_path() -> None:
    fields = Fields.of({"a": {"b": [{"c": 1}]}}, source="file.json")
    inner = next(iter(fields.child("a").objects("b")))
    with pytest.raises(ParseError) as caught:
        inner.text("c")
    assert (caught.value.field, caught.value.source) == ("a.b[0].c", "file.json")
    assert caught.value.code == "field.type"


@pytest.mark.parametrize(
    ("value", "getter"),
    [
        (True, "integer"),
        (1.5, "integer"),
        (-1, "integer"),
        (1, "text"),
        ("x", "boolean"),
        ([1], "texts"),
        ("zz", "hex"),
        ("abc", "hex"),
        ({}, "array"),
        ([], "child"),
    ],
)
def test_wrong_types_are_refused(value: object, getter: str) -> None:
    with pytest.raises(ParseError):
        getattr(Fields({"x": value}), getter)("x")


def test_missing_and_null_are_different_for_required_fields_only() -> None:
    fields = Fields({"x": None})
    assert fields.optional_text("x") is None
    assert fields.optional_text("y") is None
    for name in ("x", "y"):
        with pytest.raises(ParseError):
            fields.text(name)


def test_unknown_fields_of_our_own_formats_are_refused() -> None:
    Fields({"a": 1}).only("a", "b")
    with pytest.raises(ParseError, match=r"field\.unknown"):
        Fields({"a": 1, "z": 2}).only("a", "b")


def test_limits_are_their_own_kind_of_error() -> None:
    with pytest.raises(LimitError):
        Fields({"x": "abc"}).text("x", limit=2)
    with pytest.raises(LimitError):
        Fields({"x": [1, 2, 3]}).array("x", limit=2)


def test_an_error_says_what_where_and_code() -> None:
    error = GlassclaveError("a.b", "is wrong", offset=7, field="x.y", source="f")
    assert str(error) == "is wrong (f, field x.y, offset 7) [a.b]"
