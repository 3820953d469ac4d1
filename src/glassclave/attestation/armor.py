"""Documents as services hand them out: raw bytes, or the same as hex or base64 text.

A convenience of the command line, outside of `parse_document`: what is judged is always the raw document.
"""

from __future__ import annotations

import base64
import binascii
import re

from glassclave.attestation.document import MAX_DOCUMENT_SIZE
from glassclave.errors import LimitError, ParseError

MAX_ARMORED_SIZE = 3 * MAX_DOCUMENT_SIZE
"""Hex doubles the size; the rest is for line breaks."""

_HEX = re.compile(rb"(?:[0-9a-fA-F]{2})+\Z")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}\Z")


def unarmor(data: bytes) -> tuple[bytes, str]:
    """The raw document in ``data`` and what it was written in: ``raw``, ``hex`` or ``base64``.

    A raw document begins with a byte that is not ASCII, so the three cannot be mixed up. Base64 may use
    either alphabet, with or without padding. `ParseError` ``attestation.armor`` for any other text.
    """
    if len(data) > MAX_ARMORED_SIZE:
        raise LimitError(
            "attestation.document.size", f"has {len(data)} bytes, at most {MAX_ARMORED_SIZE} are read"
        )
    if not data.strip():
        raise ParseError("attestation.armor", "is empty", hint="the service gave no document")
    if not data.isascii():
        return data, "raw"
    text = b"".join(data.split())
    if _HEX.match(text):
        return bytes.fromhex(text.decode("ascii")), "hex"
    if _BASE64.match(text):
        bare = text.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        try:
            return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True), "base64"
        except binascii.Error as error:
            raise ParseError("attestation.armor", "is neither hex nor base64") from error
    raise ParseError(
        "attestation.armor",
        "is text, but neither hex nor base64",
        hint="take the document itself out of the service's answer, for example with jq -r .document",
    )
