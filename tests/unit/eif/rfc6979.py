"""Deterministic ECDSA on P-384 with SHA-384 from RFC 6979 §3.2 alone: an oracle, slow and not for secrets."""

from __future__ import annotations

import hashlib
import hmac

P = 2**384 - 2**128 - 2**96 + 2**32 - 1
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
G = (
    0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
    0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F,
)
Point = tuple[int, int] | None


def _add(left: Point, right: Point) -> Point:
    if left is None or right is None:
        return left or right
    (x1, y1), (x2, y2) = left, right
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, P) if left == right else (y2 - y1) * pow(x2 - x1, -1, P)
    x3 = (slope * slope - x1 - x2) % P
    return x3, (slope * (x1 - x3) - y1) % P


def multiply(scalar: int) -> tuple[int, int]:
    """``scalar`` times the generator."""
    result: Point = None
    addend: Point = G
    while scalar:
        if scalar & 1:
            result = _add(result, addend)
        addend = _add(addend, addend)
        scalar >>= 1
    assert result is not None
    return result


def nonce(secret: int, digest: bytes) -> int:
    """``k`` of RFC 6979 §3.2, for a hash as long as the order: no bits are cut off."""
    seed = secret.to_bytes(48, "big") + (int.from_bytes(digest, "big") % N).to_bytes(48, "big")
    v, k = b"\1" * 48, bytes(48)
    for separator in (b"\0", b"\1"):
        k = hmac.digest(k, v + separator + seed, "sha384")
        v = hmac.digest(k, v, "sha384")
    while True:
        v = hmac.digest(k, v, "sha384")
        candidate = int.from_bytes(v, "big")
        if 1 <= candidate < N:
            return candidate
        k = hmac.digest(k, v + b"\0", "sha384")
        v = hmac.digest(k, v, "sha384")


def sign(secret: int, message: bytes) -> bytes:
    """r and s, 48 bytes each."""
    digest = hashlib.sha384(message).digest()
    k = nonce(secret, digest)
    r = multiply(k)[0] % N
    s = pow(k, -1, N) * (int.from_bytes(digest, "big") + r * secret) % N
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")
