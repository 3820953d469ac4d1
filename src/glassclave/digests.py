"""Digests and the PCR rule. Hex is lower case; comparison of digests is constant-time."""

from __future__ import annotations

import hashlib
import hmac
import re

from glassclave.errors import ParseError

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*\Z")
_OCI_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


def pcr_of_digest(content_digest: bytes) -> bytes:
    """PCR value of a SHA-384 content digest: H(48 zero bytes + digest) (EIF specification, "PCRs")."""
    return hashlib.sha384(bytes(48) + content_digest).digest()


def sha256_digest(data: bytes) -> str:
    """OCI digest (``sha256:…``) of ``data``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def is_oci_digest(text: str) -> bool:
    """Whether ``text`` is a well-formed sha256 digest of the OCI image specification."""
    return _OCI_DIGEST.match(text) is not None


def same_bytes(left: bytes, right: bytes) -> bool:
    """Constant-time equality."""
    return hmac.compare_digest(left, right)


def parse_hex(text: str, *, field: str, size: int | None = None) -> bytes:
    """Bytes of a hex string (either case, no separators, no white space).

    Raises `ParseError` ``hex.syntax`` or ``hex.size`` naming ``field``; ``size`` is in bytes.
    """
    if not text.isascii() or _HEX.match(text) is None:
        raise ParseError("hex.syntax", "is not hex: an even number of digits 0-9, a-f", field=field)
    value = bytes.fromhex(text)
    if size is not None and len(value) != size:
        raise ParseError("hex.size", f"has {len(value) * 2} hex digits, {size * 2} are needed", field=field)
    return value
