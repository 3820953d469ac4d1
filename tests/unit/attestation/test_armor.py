"""Text around a document comes off, and only text that is hex or base64 to the end."""

from __future__ import annotations

import base64

import pytest

from glassclave.attestation.armor import unarmor
from glassclave.errors import LimitError, ParseError
from tests.unit.attestation.forge import Forge

DOCUMENT = Forge().document()


@pytest.mark.parametrize(
    ("text", "written_in"),
    [
        (DOCUMENT, "raw"),
        (DOCUMENT.hex().encode(), "hex"),
        (DOCUMENT.hex().upper().encode() + b"\n", "hex"),
        (base64.b64encode(DOCUMENT), "base64"),
        (base64.encodebytes(DOCUMENT), "base64"),
        (base64.b64encode(DOCUMENT).rstrip(b"="), "base64"),
        (base64.urlsafe_b64encode(DOCUMENT), "base64"),
    ],
)
def test_every_writing_gives_the_same_document(text: bytes, written_in: str) -> None:
    assert unarmor(text) == (DOCUMENT, written_in)


@pytest.mark.parametrize("text", [b"", b" \n", b"{}", b'{"document": "hEShATgi"}', b"abc=d", b"=", b"A"])
def test_other_text_is_refused(text: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        unarmor(text)
    assert caught.value.code == "attestation.armor"


def test_base64_that_begins_like_hex_is_base64() -> None:
    assert unarmor(b"AAzz") == (b"\x00\x0c\xf3", "base64")


@pytest.mark.parametrize("nothing", [b"", b" \n"])
def test_of_nothing_it_is_said_that_it_is_nothing(nothing: bytes) -> None:
    with pytest.raises(ParseError, match="is empty"):
        unarmor(nothing)


def test_size_is_capped() -> None:
    assert unarmor(b"A" * 196608) == (b"\xaa" * 98304, "hex")
    with pytest.raises(LimitError) as caught:
        unarmor(b"A" * 196609)
    assert caught.value.code == "attestation.document.size"
