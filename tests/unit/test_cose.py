"""COSE_Sign1: signed and verified by us, seconded by cbor2 and plain ECDSA, refused when bent."""

from __future__ import annotations

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from glassclave.cbor import Tag, encode
from glassclave.cose import Algorithm, parse_sign1, sign_sign1, verify_sign1
from glassclave.errors import ParseError, RefusedError, UsageError

KEYS = {
    Algorithm.ES256: ec.derive_private_key(7, ec.SECP256R1()),
    Algorithm.ES384: ec.derive_private_key(7, ec.SECP384R1()),
    Algorithm.ES512: ec.derive_private_key(7, ec.SECP521R1()),
}
HASHES: dict[Algorithm, hashes.HashAlgorithm] = {
    Algorithm.ES256: hashes.SHA256(),
    Algorithm.ES384: hashes.SHA384(),
    Algorithm.ES512: hashes.SHA512(),
}
PROTECTED = {Algorithm.ES256: "a10126", Algorithm.ES384: "a1013822", Algorithm.ES512: "a1013823"}


@pytest.mark.parametrize("algorithm", Algorithm)
def test_round_trip_and_second_opinion(algorithm: Algorithm) -> None:
    key = KEYS[algorithm]
    data = sign_sign1(b"payload", key)
    assert data == sign_sign1(b"payload", key), "RFC 6979: no randomness in a signature"
    sign1 = parse_sign1(data)
    assert (sign1.algorithm, sign1.protected.hex(), sign1.tagged) == (algorithm, PROTECTED[algorithm], False)
    verify_sign1(sign1, key.public_key())

    protected, unprotected, payload, signature = cbor2.loads(data)
    assert unprotected == {}
    half = len(signature) // 2
    der = utils.encode_dss_signature(*(int.from_bytes(signature[i : i + half], "big") for i in (0, half)))
    message = cbor2.dumps(["Signature1", protected, b"", payload])
    key.public_key().verify(der, message, ec.ECDSA(HASHES[algorithm]))


def test_tag_18_is_read_once() -> None:
    data = sign_sign1(b"p", KEYS[Algorithm.ES384], tagged=True)
    assert data[0] == 0xD2
    assert parse_sign1(data).tagged
    with pytest.raises(ParseError) as caught:
        parse_sign1(b"\xd2" + data)
    assert caught.value.code == "cose.shape"


def _parts(**changes: object) -> bytes:
    sign1 = parse_sign1(sign_sign1(b"payload", KEYS[Algorithm.ES384]))
    parts: dict[str, object] = {
        "protected": sign1.protected,
        "unprotected": {},
        "payload": sign1.payload,
        "signature": sign1.signature,
    }
    return encode(list({**parts, **changes}.values()))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"protected": b""}, "cose.protected"),
        ({"protected": bytes.fromhex("a0")}, "cose.protected"),
        ({"protected": bytes.fromhex("a101382200")}, "cose.protected"),
        ({"protected": bytes.fromhex("a1013824")}, "cose.protected"),
        ({"protected": bytes.fromhex("a201382203f6")}, "cose.protected"),
        ({"protected": {1: -35}}, "cose.shape"),
        ({"unprotected": {4: b"kid"}}, "cose.unprotected"),
        ({"unprotected": None}, "cose.unprotected"),
        ({"payload": None}, "cose.shape"),
        ({"payload": "payload"}, "cose.shape"),
        ({"signature": b""}, "cose.signature.size"),
        ({"signature": bytes(95)}, "cose.signature.size"),
        ({"signature": bytes(97)}, "cose.signature.size"),
        ({"fifth": 0}, "cose.shape"),
    ],
)
def test_another_shape_is_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_sign1(_parts(**changes))
    assert caught.value.code == code
    parse_sign1(_parts())


def test_bytes_after_the_end_and_other_items_are_refused() -> None:
    for data, code in [
        (_parts() + b"\x00", "cbor.trailing"),
        (encode({}), "cose.shape"),
        (encode([]), "cose.shape"),
    ]:
        with pytest.raises(ParseError) as caught:
            parse_sign1(data)
        assert caught.value.code == code
    with pytest.raises(ParseError, match="tag 17"):
        parse_sign1(encode(Tag(17, [b"", {}, b"", b""])))


@pytest.mark.parametrize("signature", [bytes(96), b"\xff" * 96])
def test_signature_of_nothing_is_refused(signature: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        verify_sign1(parse_sign1(_parts(signature=signature)), KEYS[Algorithm.ES384].public_key())
    assert caught.value.code == "cose.signature"


def test_one_bit_of_payload_or_signature_or_another_key_is_refused() -> None:
    public = KEYS[Algorithm.ES384].public_key()
    good = parse_sign1(_parts())
    verify_sign1(good, public)
    flipped = bytes((good.signature[0] ^ 1,)) + good.signature[1:]
    for data, key in [
        (_parts(payload=b"Payload"), public),
        (_parts(signature=flipped), public),
        (_parts(), ec.derive_private_key(8, ec.SECP384R1()).public_key()),
    ]:
        with pytest.raises(RefusedError) as caught:
            verify_sign1(parse_sign1(data), key)
        assert caught.value.code == "cose.signature"


def test_a_key_of_another_kind_is_refused() -> None:
    others: list[object] = [
        KEYS[Algorithm.ES256].public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
        None,
    ]
    for key in others:
        with pytest.raises(RefusedError) as caught:
            verify_sign1(parse_sign1(_parts()), key)
        assert caught.value.code == "cose.key"
    with pytest.raises(UsageError):
        sign_sign1(b"p", ec.generate_private_key(ec.SECP256K1()))


def test_the_other_value_of_s_verifies_too() -> None:
    """A choice: ES384 has no low-s rule and hypervisors write either; so signatures are no identity."""
    order = int(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
    )
    good = parse_sign1(_parts())
    s = order - int.from_bytes(good.signature[48:], "big")
    other = parse_sign1(_parts(signature=good.signature[:48] + s.to_bytes(48, "big")))
    assert other.signature != good.signature
    verify_sign1(other, KEYS[Algorithm.ES384].public_key())
