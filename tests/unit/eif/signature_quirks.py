"""What real parsers make of odd signature sections (EIF reference §3.5): more rows of `quirks`."""

from __future__ import annotations

from glassclave import cbor
from glassclave.eif.signature import SignatureSection, decode_section, encode_section
from tests.unit.eif.images import KERNEL, SIGNATURE, by_hand
from tests.unit.eif.quirks import SIGNATURE_AT, Aws, Quirk
from tests.unit.eif.signed_images import SIGNED

_SECTION = decode_section(SIGNED["P-384"][SIGNATURE_AT:])
_PEM, _SIGN1 = list(_SECTION.certificate_file), list(_SECTION.sign1)
_ITEMS = cbor.decode(_SECTION.sign1)
assert isinstance(_ITEMS, list)


def _entry(**changes: object) -> dict[str, object]:
    return {"signing_certificate": _PEM, "signature": _SIGN1, **changes}


def _with_sign1(item: object) -> bytes:
    return cbor.encode([_entry(signature=list(cbor.encode(item)))])


def _signed(name: str, section: bytes, ours: str | None, aws: Aws, *checks: str) -> Quirk:
    return Quirk(
        name=name,
        make=lambda s: by_hand([*s, (SIGNATURE, section)]),
        ours=ours,
        aws=aws,
        checks=("CheckCRC", *checks),
    )


_SHAPE, _HOLDS = "eif.signature.shape", "SignatureCheck"
_FLIPPED = _SECTION.sign1[:-1] + bytes([_SECTION.sign1[-1] ^ 1])
SIGNATURES = (
    _signed("sound", encode_section(_SECTION), None, "reads", _HOLDS),
    _signed(
        "keys-in-the-other-order",
        cbor.encode([{"signature": _SIGN1, "signing_certificate": _PEM}]),
        _SHAPE,
        "reads",
        _HOLDS,
    ),
    _signed("extra-key", cbor.encode([_entry(extra=1)]), _SHAPE, "reads", _HOLDS),
    _signed(
        "indefinite-array",
        b"\x9f" + encode_section(_SECTION)[1:] + b"\xff",
        "cbor.indefinite",
        "reads",
        _HOLDS,
    ),
    _signed("tag-18", _with_sign1(cbor.Tag(18, _ITEMS)), None, "reads", _HOLDS),
    _signed(
        "byte-strings",
        cbor.encode([_entry(signing_certificate=bytes(_PEM), signature=bytes(_SIGN1))]),
        "eif.signature.byte-string",
        "reads",
        _HOLDS,
    ),
    _signed("no-element", b"\x80", _SHAPE, "panics"),
    _signed("two-elements", cbor.encode([_entry(), _entry()]), _SHAPE, "reads", _HOLDS),
    _signed("bytes-behind", encode_section(_SECTION) + b"\0", "cbor.trailing", "refuses"),
    _signed("five-items", _with_sign1([*_ITEMS, 1]), "cose.shape", "refuses"),
    _signed("empty-protected-header", _with_sign1([b"", *_ITEMS[1:]]), "cose.protected", "refuses"),
    _signed(
        "algorithm-of-another-curve",
        _with_sign1([bytes.fromhex("a10126"), *_ITEMS[1:]]),
        "cose.signature.size",
        "refuses",
    ),
    _signed(
        "flipped-bit",
        encode_section(SignatureSection(certificate_file=bytes(_PEM), sign1=_FLIPPED)),
        "cose.signature",
        "refuses",
    ),
    _signed("short-signature", _with_sign1([*_ITEMS[:3], bytes(4)]), "cose.signature.size", "panics"),
    Quirk(
        name="another-image",
        make=lambda s: by_hand([(KERNEL, b"kERNEL"), *s[1:], (SIGNATURE, encode_section(_SECTION))]),
        ours="eif.signature.payload",
        aws="reads",
    ),
)
"""§3.5 row by row, for the sections of the public vector: the signature is of that image."""
