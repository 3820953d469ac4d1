"""COSE_Sign1 (RFC 9052 §4.2) with ECDSA, in the one shape that Nitro documents and EIF signatures have.

Protected header: exactly ``{1: algorithm}`` in shortest form. Unprotected header: empty, because nothing
protects it. Payload attached. Signature: r and s, each as long as the curve's field. Both values of s verify,
as the standard has it (genuine hypervisors write either): a received signature is no identity of anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from glassclave.cbor import Tag, decode, encode
from glassclave.errors import ParseError, RefusedError, UsageError

SIGN1_TAG = 18
"""CBOR tag of COSE_Sign1; AWS writes documents and EIF signatures without it, RFC 9052 allows both."""

_ALG = 1  # header label (RFC 9052 §3.1)


class Algorithm(IntEnum):
    """COSE algorithm numbers (RFC 9053 §2.1), each bound to one curve and one hash here."""

    ES256 = -7
    ES384 = -35
    ES512 = -36


@dataclass(frozen=True, slots=True)
class _Suite:
    curve: type[ec.EllipticCurve]
    digest: type[hashes.HashAlgorithm]
    size: int


_SUITES = {
    Algorithm.ES256: _Suite(ec.SECP256R1, hashes.SHA256, 32),
    Algorithm.ES384: _Suite(ec.SECP384R1, hashes.SHA384, 48),
    Algorithm.ES512: _Suite(ec.SECP521R1, hashes.SHA512, 66),
}
_BY_PROTECTED = {encode({_ALG: int(algorithm)}): algorithm for algorithm in Algorithm}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign1:
    """A parsed COSE_Sign1. Nothing in it is to be believed before `verify_sign1`.

    ``protected``: the header's bytes as received; ``signature``: r and s, concatenated; ``tagged``: whether
    tag 18 stood in front.
    """

    protected: bytes
    unprotected: dict[object, object]
    payload: bytes
    signature: bytes
    tagged: bool
    algorithm: Algorithm


def parse_sign1(data: bytes) -> Sign1:
    """The COSE_Sign1 that ``data`` is, to the last byte; `ParseError` ``cbor.*`` or ``cose.*``."""
    value = decode(data, max_depth=4, max_items=64, tags=(SIGN1_TAG,))
    tagged = isinstance(value, Tag)
    if isinstance(value, Tag):
        value = value.value
    if not isinstance(value, list) or len(value) != 4:
        raise ParseError("cose.shape", "is not an array of four items (COSE_Sign1)", offset=0)
    protected, unprotected, payload, signature = value
    for name, part in (("protected", protected), ("payload", payload), ("signature", signature)):
        if not isinstance(part, bytes):
            raise ParseError("cose.shape", "must be a byte string", field=name)
    if unprotected != {} or not isinstance(unprotected, dict):
        raise ParseError(
            "cose.unprotected",
            "must be an empty map: nothing protects what stands there",
            field="unprotected",
        )
    algorithm = _BY_PROTECTED.get(protected)
    if algorithm is None:
        raise ParseError(
            "cose.protected",
            "is not exactly one algorithm of ES256, ES384, ES512",
            field="protected",
        )
    size = _SUITES[algorithm].size * 2
    if len(signature) != size:
        raise ParseError(
            "cose.signature.size",
            f"has {len(signature)} bytes, {algorithm.name} has {size}",
            field="signature",
        )
    return Sign1(
        protected=protected,
        unprotected=unprotected,
        payload=payload,
        signature=signature,
        tagged=tagged,
        algorithm=algorithm,
    )


def to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """The Sig_structure that is hashed and signed (RFC 9052 §4.4), without external data."""
    return encode(["Signature1", protected, b"", payload])


def verify_sign1(sign1: Sign1, public_key: object) -> None:
    """Return when ``public_key`` signed; else `RefusedError` ``cose.key`` or ``cose.signature``.

    The key must lie on the curve of the algorithm. Judges the signature only, not whose key it is.
    """
    suite = _SUITES[sign1.algorithm]
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(public_key.curve, suite.curve):
        raise RefusedError("cose.key", f"the key does not fit the algorithm {sign1.algorithm.name}")
    r = int.from_bytes(sign1.signature[: suite.size], "big")
    s = int.from_bytes(sign1.signature[suite.size :], "big")
    try:
        public_key.verify(
            utils.encode_dss_signature(r, s),
            to_be_signed(sign1.protected, sign1.payload),
            ec.ECDSA(suite.digest()),
        )
    except InvalidSignature as error:
        raise RefusedError("cose.signature", "the signature is not of this payload by this key") from error


def sign_sign1(payload: bytes, private_key: ec.EllipticCurvePrivateKey, *, tagged: bool = False) -> bytes:
    """A COSE_Sign1 of ``payload``; the same key and payload always give the same bytes (RFC 6979)."""
    algorithm = algorithm_of(private_key.curve)
    suite = _SUITES[algorithm]
    protected = encode({_ALG: int(algorithm)})
    der = private_key.sign(
        to_be_signed(protected, payload), ec.ECDSA(suite.digest(), deterministic_signing=True)
    )
    r, s = utils.decode_dss_signature(der)
    signature = r.to_bytes(suite.size, "big") + s.to_bytes(suite.size, "big")
    item: object = [protected, {}, payload, signature]
    return encode(Tag(SIGN1_TAG, item) if tagged else item)


def algorithm_of(curve: ec.EllipticCurve) -> Algorithm:
    """The algorithm that goes with ``curve``; `UsageError` ``cose.key`` for any other curve."""
    for algorithm, suite in _SUITES.items():
        if isinstance(curve, suite.curve):
            return algorithm
    raise UsageError("cose.key", f"curve {curve.name} cannot sign here", hint="use P-256, P-384 or P-521")
