"""The signing certificate: what is refused, and the words that ``describe-eif`` has for the rest."""

from __future__ import annotations

import base64
import warnings
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.name import _ASN1Type

from glassclave.eif.certificate import openssl_time, parse_certificate
from glassclave.errors import ParseError
from tests.unit.eif.signing import certificate_of, key_on

NAMES = {
    "2.5.4.3": "commonName",
    "2.5.4.4": "surname",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "countryName",
    "2.5.4.7": "localityName",
    "2.5.4.8": "stateOrProvinceName",
    "2.5.4.9": "streetAddress",
    "2.5.4.10": "organizationName",
    "2.5.4.11": "organizationalUnitName",
    "2.5.4.12": "title",
    "2.5.4.13": "description",
    "2.5.4.15": "businessCategory",
    "2.5.4.17": "postalCode",
    "2.5.4.41": "name",
    "2.5.4.42": "givenName",
    "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier",
    "2.5.4.46": "dnQualifier",
    "2.5.4.65": "pseudonym",
    "2.5.4.97": "organizationIdentifier",
    "1.2.840.113549.1.9.1": "emailAddress",
    "1.2.840.113549.1.9.2": "unstructuredName",
    "0.9.2342.19200300.100.1.1": "userId",
    "0.9.2342.19200300.100.1.25": "domainComponent",
    "1.3.6.1.4.1.1.2.3": "1.3.6.1.4.1.1.2.3",
}
ALGORITHMS = {
    "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.2.840.10045.4.3.1": "ecdsa-with-SHA224",
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
    "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
    "1.2.840.113549.1.1.10": "rsassaPss",
    "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
    "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
    "1.3.101.112": "ED25519",
    "1.3.101.113": "ED448",
    "1.2.840.113549.1.1.14": "sha224WithRSAEncryption",
    "1.3.6.1.4.1.1.2.3": "1.3.6.1.4.1.1.2.3",
}
"""Of OpenSSL, the last of each table without a word of its own."""
P384, SHA384 = bytes.fromhex("06052b81040022"), "1.2.840.10045.4.3.3"
VERSION_3 = bytes.fromhex("a003020102")
KEY = key_on("P-384")


def pem_of(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n" % base64.encodebytes(der)


def der_of(*attributes: x509.NameAttribute[str] | x509.NameAttribute[bytes]) -> bytes:
    name = x509.Name(attributes or [x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    return x509.load_pem_x509_certificate(certificate_of(KEY, name=name)).public_bytes(
        serialization.Encoding.DER
    )


def issuer_of(*attributes: x509.NameAttribute[str] | x509.NameAttribute[bytes]) -> dict[str, str]:
    return parse_certificate(pem_of(der_of(*attributes))).issuer


def refusal(der: bytes) -> str:
    with pytest.raises(ParseError) as caught:
        parse_certificate(pem_of(der))
    return caught.value.code


def tlv(tag: int, content: bytes) -> bytes:
    """DER of a value (X.690 §8.1)."""
    size = len(content)
    long = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, size) if size < 128 else (tag, 128 + len(long), *long)) + content


def object_identifier(dotted: str) -> bytes:
    """DER of a number (X.690 §8.19)."""
    first, second, *rest = map(int, dotted.split("."))
    out = bytearray()
    for number in (40 * first + second, *rest):
        groups = [number & 127]
        while number := number >> 7:
            groups.append(number & 127 | 128)
        out += bytes(groups[::-1])
    return tlv(6, bytes(out))


def with_algorithm(dotted: str) -> bytes:
    """A certificate that says that it is signed in another way, inside and outside."""
    whole = x509.load_der_x509_certificate(der_of())
    old, new = tlv(0x30, object_identifier(SHA384)), tlv(0x30, object_identifier(dotted))
    inside = whole.tbs_certificate_bytes.partition(VERSION_3)[2]
    assert inside.count(old) == 1
    return tlv(0x30, tlv(0x30, VERSION_3 + inside.replace(old, new)) + new + tlv(3, b"\0" + whole.signature))


def test_attributes_of_a_name_in_the_words_of_openssl() -> None:
    attributes = [x509.NameAttribute(x509.ObjectIdentifier(number), "US") for number in NAMES]
    assert list(issuer_of(*attributes).items()) == sorted((name, "US") for name in NAMES.values())


@pytest.mark.parametrize(("dotted", "word"), ALGORITHMS.items())
def test_algorithms_in_the_words_of_openssl(dotted: str, word: str) -> None:
    assert parse_certificate(pem_of(with_algorithm(dotted))).algorithm == word


def test_months_in_the_words_of_openssl() -> None:
    printed = [openssl_time(datetime(2026, month, 1, tzinfo=UTC)) for month in range(1, 13)]
    assert " ".join(one[:3] for one in printed) == "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("\u00e4\u6f22 '", "\u00e4\u6f22 '"),
        ('"', "\\"),
        ("\\", "\\\\"),
        ("\n\r\t\0", "\\n\\r\\t\\0"),
        ("\x1b\x7f", "\\u{1b}\\u{7f}"),
        ("a\u0301", "a\\u{301}"),
        ("a\u20dd", "a\\u{20dd}"),
        ("\u00a0\u3000", "\\u{a0}\\u{3000}"),
        ("\u200b\u2028\u2029", "\\u{200b}\\u{2028}\\u{2029}"),
        ("\ue000\U000e0080", "\\u{e000}\\u{e0080}"),
    ],
)
def test_text_of_a_name_as_rust_prints_it(text: str, printed: str) -> None:
    assert issuer_of(x509.NameAttribute(x509.NameOID.COMMON_NAME, text)) == {"commonName": printed}


def test_a_bit_string_where_a_name_may_have_one_is_shown_byte_by_byte() -> None:
    number = x509.NameOID.X500_UNIQUE_IDENTIFIER
    assert issuer_of(x509.NameAttribute(number, b"a\xe4", _ASN1Type.BitString)) == {"2.5.4.45": "a\xe4"}


@pytest.mark.parametrize(
    "curve",
    [
        pytest.param("06052b81040021", id="point of another curve"),
        pytest.param("06052b8104007f", id="unknown curve"),
    ],
)
def test_a_key_that_cannot_be_read(curve: str) -> None:
    der = der_of()
    assert der.count(P384) == 1
    assert refusal(der.replace(P384, bytes.fromhex(curve))) == "eif.certificate.key"


def test_base64_is_read_to_the_letter() -> None:
    pem = certificate_of(KEY)
    with pytest.raises(ParseError) as caught:
        parse_certificate(pem.replace(b"MII", b"M!II", 1))
    assert caught.value.code == "eif.certificate.pem"


def test_oddities_of_a_certificate_are_no_warnings() -> None:
    der = der_of()
    serial = VERSION_3 + b"\2\1\7"
    assert der.count(serial) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_certificate(pem_of(der.replace(serial, serial[:-1] + b"\x87"))).issuer
