"""The limits of a document, each met and then passed by one; what is derived from its module id."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from glassclave.attestation.document import AttestationDocument, parse_document
from glassclave.cbor import decode
from glassclave.cose import sign_sign1
from glassclave.errors import GlassclaveError
from tests.unit.attestation.forge import DROP, INSTANCE, MODULE, NOW, PCRS, Forge, key


def parse(**fields: object) -> AttestationDocument:
    return parse_document(Forge(fields=fields).document())


def code_of(**fields: object) -> str:
    with pytest.raises(GlassclaveError) as caught:
        parse(**fields)
    return caught.value.code


def code_of_payload(payload: bytes) -> str:
    with pytest.raises(GlassclaveError) as caught:
        parse_document(sign_sign1(payload, key(4)))
    return caught.value.code


@pytest.mark.parametrize(
    ("name", "right", "wrong", "code"),
    [
        ("module_id", "x" * 256, "x" * 257, "module-id"),
        ("module_id", "x", b"x", "module-id"),
        ("digest", "SHA384", b"SHA384", "digest"),
        ("timestamp", 1, "1", "timestamp"),
        ("timestamp", 253_402_300_799_999, 253_402_300_800_000, "timestamp"),
        ("pcrs", {0: bytes(48)}, [bytes(48)], "pcrs"),
        ("pcrs", {31: bytes(48)}, {32: bytes(48)}, "pcrs"),
        ("pcrs", {0: bytes(48)}, {"0": bytes(48)}, "pcrs"),
        ("pcrs", {0: bytes(48)}, {0: bytes(49)}, "pcrs"),
        ("pcrs", dict.fromkeys(range(32), bytes(48)), dict.fromkeys(range(33), bytes(48)), "pcrs"),
        ("certificate", bytes(1024), bytes(1025), "certificate"),
        ("certificate", b"x", "x", "certificate"),
        ("cabundle", [b"x"] * 8, [b"x"] * 9, "cabundle"),
        ("cabundle", [b"x"], {}, "cabundle"),
        ("cabundle", [b"x"], {b"x": 0}, "cabundle"),
        ("cabundle", [b"x"], [b"x", None], "certificate"),
        ("cabundle", [bytes(1024)], [bytes(1025)], "certificate"),
        ("user_data", bytes(1024), bytes(1025), "optional"),
        ("public_key", bytes(1024), bytes(1025), "optional"),
        ("nonce", bytes(1024), bytes(1025), "optional"),
        ("nonce", b"x", "x", "optional"),
    ],
)
def test_each_field_at_its_limit_and_one_beyond(name: str, right: object, wrong: object, code: str) -> None:
    parse(**{name: right})
    assert code_of(**{name: wrong}) == f"attestation.document.{code}"


@pytest.mark.parametrize("name", ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"])
def test_each_required_field_must_be_there_and_not_null(name: str) -> None:
    for value in (DROP, None):
        assert code_of(**{name: value}) == "attestation.document.missing"


@pytest.mark.parametrize("name", ["public_key", "user_data", "nonce"])
def test_each_optional_field_may_be_absent_null_or_empty(name: str) -> None:
    for value in (DROP, None, b""):
        assert getattr(parse(**{name: value}), name) is None
    assert getattr(parse(**{name: b"x"}), name) == b"x"


def test_the_fields_are_read_each_from_its_own() -> None:
    document = parse(public_key=b"key", user_data=b"data", nonce=b"nonce")
    assert (document.public_key, document.user_data, document.nonce) == (b"key", b"data", b"nonce")
    assert (document.module_id, document.digest, document.created) == (MODULE, "SHA384", NOW)
    assert list(parse(pcrs={2: PCRS[2], 0: PCRS[0]}).pcrs) == [0, 2]


def items(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(items(key) + items(inner) for key, inner in value.items())
    return 1 + sum(map(items, value)) if isinstance(value, list) else 1


def test_a_payload_is_neither_deep_nor_long() -> None:
    left = 256 - items(decode(Forge().payload(), max_depth=3)) - items("surprise") - items([])
    for wide, code in ((left, "attestation.document.unknown-field"), (left + 1, "cbor.items")):
        assert code_of(surprise=[0] * wide) == code
    assert code_of(surprise=[[0]]) == "attestation.document.unknown-field"
    assert code_of(surprise=[[[0]]]) == "cbor.depth"
    assert code_of_payload(b"") == "attestation.document.payload"
    assert code_of_payload(b"\x00") == "attestation.document.payload"
    assert code_of_payload(bytes(16384)) == "cbor.trailing"
    assert code_of_payload(bytes(16385)) == "attestation.document.payload"


def test_a_nitrotpm_document_is_told_apart_before_anything_else_of_it_is_read() -> None:
    assert code_of(nitrotpm_pcrs={}, module_id=DROP) == "attestation.nitrotpm"


@pytest.mark.parametrize(
    "module",
    [
        f"{INSTANCE}-enc019a0000000012a",
        f"{INSTANCE}-enc019a0000000012ab0",
        f"{INSTANCE}-enc019a0000000012ab\n",
        f"x{MODULE}",
        "i-0123456-enc019a0000000012ab",
        f"i-{'0' * 33}-enc019a0000000012ab",
        MODULE.upper(),
    ],
)
def test_a_module_id_of_another_form_names_no_instance_and_no_time(module: str) -> None:
    document = parse(module_id=module)
    assert (document.instance_id, document.launched) == (None, None)


def test_what_the_module_id_says() -> None:
    assert parse().instance_id == INSTANCE
    assert parse(module_id=f"{INSTANCE}-enc0000000003e812ab").launched == datetime(
        1970, 1, 1, 0, 0, 1, tzinfo=UTC
    )
    last = 253_402_300_799_999
    for milliseconds, year in ((last, 9999), (last + 1, None)):
        launched = parse(module_id=f"{INSTANCE}-enc{milliseconds:012x}12ab").launched
        assert (launched and launched.year) == year


@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_zero_register_of_the_image_is_debug_mode(index: int) -> None:
    assert not parse(pcrs=PCRS).debug
    assert parse(pcrs={**PCRS, index: bytes(48)}).debug
    assert not parse(pcrs={**PCRS, 3: bytes(48), 4: bytes(48), 8: bytes(48)}).debug
    assert not parse(pcrs={one: pcr for one, pcr in PCRS.items() if one != index}).debug
