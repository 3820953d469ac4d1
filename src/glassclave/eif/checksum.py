"""CRC-32 of a concatenation from the CRCs of its parts.

An image's checksum covers its header, and the header is known only when all sections are written. CRC-32 is
linear over GF(2), so the checksum of the body can be taken while it streams and joined to the header's.
"""

from __future__ import annotations

from isal.isal_zlib import crc32

__all__ = ["combine_crc32", "crc32"]
# `crc32` is that of zlib, several times faster: a tenth of the work on an image was this.

_POLYNOMIAL = 0xEDB88320  # CRC-32/ISO-HDLC, reflected: the one of zlib and gzip
_ONE = 1 << 31  # x^0 in reflected bit order
_X_TO_8 = 1 << 23


def _multiply(left: int, right: int) -> int:
    """Product of two polynomials modulo the CRC's."""
    product = 0
    bit = _ONE
    while bit:
        if left & bit:
            product ^= right
        bit >>= 1
        right = (right >> 1) ^ (_POLYNOMIAL if right & 1 else 0)
    return product


def combine_crc32(first: int, second: int, second_size: int) -> int:
    """CRC-32 of ``a + b`` from those of ``a`` and of ``b``, and the size of ``b`` in bytes."""
    shift, power = _ONE, _X_TO_8
    while second_size:
        if second_size & 1:
            shift = _multiply(shift, power)
        power = _multiply(power, power)
        second_size >>= 1
    return _multiply(shift, first) ^ second
