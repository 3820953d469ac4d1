"""Signatures: AWS's vectors, round trips, and every deviation refused by its own code."""

from __future__ import annotations

import base64
import io
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from glassclave import cbor, cose
from glassclave.digests import pcr_of_digest
from glassclave.eif.certificate import check_validity, openssl_time, parse_certificate
from glassclave.eif.describe import describe
from glassclave.eif.format import SectionType
from glassclave.eif.signature import (
    SignatureSection,
    appraise_image,
    check_signature,
    decode_section,
    encode_section,
    image_signer,
    parse_signature,
    payload_of,
    read_signature,
)
from glassclave.eif.signing import sign_image
from glassclave.errors import GlassclaveError, ParseError, RefusedError, UsageError
from tests.unit.eif.images import (
    CMDLINE,
    KERNEL,
    PARTS,
    PCR0,
    PCR1,
    PCR2,
    RAMDISK,
    SIGNATURE,
    by_hand,
    codes,
    inspect,
    measure,
    patched,
    read,
    write,
)
from tests.unit.eif.signed_images import SIGNED, SIGNED_PCR8

SIGNATURE_OFFSET = 881
CURVES: dict[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}


def certificate_for(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, text: str = "test") -> bytes:
    """A self-signed certificate in PEM; ``text``: its subject's name."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    start = datetime(2026, 11, 3, 5, 4, 3, tzinfo=UTC)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=7,
        not_valid_before=start,
        not_valid_after=start + timedelta(days=365),
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def signed_section(name: str = "P-384") -> SignatureSection:
    signature = read_signature(read(SIGNED[name]))
    assert signature is not None
    return signature.section


def refusal(data: bytes) -> str:
    """Code with which a section is refused, signed by AWS's code for the public vector."""
    with pytest.raises(GlassclaveError) as caught:
        check_signature(parse_signature(data), bytes.fromhex(PCR0))
    return caught.value.code


@pytest.mark.parametrize("name", SIGNED)
def test_case_05_images_signed_by_aws_code(name: str) -> None:
    appraised = appraise_image(read(SIGNED[name]))
    assert (appraised.file_sha256, appraised.file_sha384) == (None, None)  # nobody asked for them
    measurements = appraised.measurements
    registers = [value.hex() for value in measurements.by_index().values()]
    assert registers == [PCR0, PCR1, PCR2, SIGNED_PCR8[name]]
    found = inspect(SIGNED[name])
    assert found.findings == ()
    document = describe(found)
    assert document["IsSigned"] is document["SignatureCheck"] is document["CheckCRC"] is True


def test_the_certificate_in_the_words_of_describe_eif() -> None:
    certificate = describe(inspect(SIGNED["P-384"]))["SigningCertificate"]
    assert isinstance(certificate, dict)
    assert list(certificate["IssuerName"].items()) == [
        ("commonName", "aws.nitro-enclaves"),
        ("countryName", "US"),
        ("emailAddress", "a@b.c"),
        ("localityName", "Seattle"),
        ("organizationName", "Org \\q\\"),
        ("organizationalUnitName", "AWS"),
        ("stateOrProvinceName", "WA"),
    ]
    assert certificate["Algorithm"] == "ecdsa-with-SHA384"
    assert certificate["NotBefore"] == "Nov 23 03:05:28 2026 GMT"
    assert certificate["NotAfter"] == "Nov 20 03:05:28 2036 GMT"
    assert certificate["Signature"].startswith("30:65:02:30:26:42:77:11:4D:71")
    assert openssl_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "Jan  2 03:04:05 2026 GMT"


@pytest.mark.parametrize("name", CURVES)
def test_case_05_sign_and_verify(name: str) -> None:
    key = ec.generate_private_key(CURVES[name])
    pem = certificate_for(key)
    data, written = write(sign=image_signer(pem, key))
    assert write(sign=image_signer(pem, key))[0] == data  # RFC 6979: no chance in a signature
    measured = appraise_image(read(data))
    assert measured.measurements == written.measurements
    der = x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA384())
    assert written.measurements.pcr8 == pcr_of_digest(der)
    assert inspect(data).findings == ()


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (ec.generate_private_key(ec.SECP256K1()), "cose.key"),
        (ed25519.Ed25519PrivateKey.generate(), "eif.sign.key"),
        (rsa.generate_private_key(65537, 2048), "eif.sign.key"),
        (ec.generate_private_key(ec.SECP256R1()), "eif.sign.pair"),
    ],
)
def test_case_05_keys_that_cannot_sign(key: object, code: str) -> None:
    pem = certificate_for(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(UsageError) as caught:
        image_signer(pem, key)
    assert caught.value.code == code


def test_case_06_cbor_bytes() -> None:
    payload = payload_of(bytes(range(48)))
    assert payload.hex() == (
        "a26e72656769737465725f696e646578006e72656769737465725f76616c75659830000102030405060708090a0b0c0d0e0f"
        "101112131415161718181819181a181b181c181d181e181f1820182118221823182418251826182718281829182a182b182c"
        "182d182e182f"
    )
    section = SignatureSection(
        certificate_file=b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        sign1=bytes.fromhex("d28444a1013822a04040"),
    )
    data = encode_section(section)
    assert data.hex() == (
        "81a2737369676e696e675f6365727469666963617465983b182d182d182d182d182d1842184518471849184e182018431845"
        "185218541849184618491843184118541845182d182d182d182d182d0a184d1849184918420a182d182d182d182d182d1845"
        "184e1844182018431845185218541849184618491843184118541845182d182d182d182d182d0a697369676e61747572658a"
        "18d21884184418a1011838182218a018401840"
    )
    assert decode_section(data) == section


def test_case_07_forms_of_a_certificate_file() -> None:
    pem = signed_section().certificate_file
    other = certificate_for(ec.generate_private_key(ec.SECP256R1()))
    der = parse_certificate(pem).der
    for form in (pem + other, b"text\n" + pem, pem.replace(b"\n", b"\r\n"), pem.rstrip(b"\n")):
        assert parse_certificate(form).der == der
        assert decode_section(encode_section(SignatureSection(certificate_file=form, sign1=b""))) == (
            SignatureSection(certificate_file=form, sign1=b"")
        )
    assert parse_certificate(other + pem).der != der
    with pytest.raises(ParseError) as caught:
        parse_certificate(der)
    assert caught.value.code == "eif.certificate.pem"
    assert caught.value.hint is not None
    assert "openssl" in caught.value.hint
    with pytest.raises(UsageError) as refused:
        image_signer(der, ec.generate_private_key(ec.SECP256R1()))
    assert refused.value.code == "eif.sign.certificate"


@pytest.mark.parametrize(
    ("pem", "code"),
    [
        (b"-----BEGIN CERTIFICATE-----\nMI!B\n-----END CERTIFICATE-----\n", "eif.certificate.pem"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "eif.certificate.der"),
        (certificate_for(rsa.generate_private_key(65537, 2048)), "eif.certificate.key"),
    ],
)
def test_certificates_that_are_none(pem: bytes, code: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_certificate(pem)
    assert caught.value.code == code


def test_a_certificate_of_an_unknown_version() -> None:
    # cryptography has an exception of its own for this, which is no ValueError.
    der = parse_certificate(signed_section().certificate_file).der
    assert der.count(bytes.fromhex("a003020102")) == 1
    odd = der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a00302015b"))
    pem = b"-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n" % base64.encodebytes(odd)
    with pytest.raises(ParseError) as caught:
        parse_certificate(pem)
    assert caught.value.code == "eif.certificate.der"


def test_a_name_with_a_bit_string_in_it() -> None:
    # Found by fuzzing: cryptography answers with a TypeError.
    key = ec.generate_private_key(ec.SECP256R1())
    der = parse_certificate(certificate_for(key, "\0abc")).der
    odd = der.replace(b"\x0c\x04\0abc", b"\x03\x04\0abc")
    assert odd != der
    pem = b"-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n" % base64.encodebytes(odd)
    with pytest.raises(ParseError) as caught:
        parse_certificate(pem)
    assert caught.value.code == "eif.certificate.der"


def test_dates_of_a_certificate() -> None:
    certificate = parse_certificate(signed_section().certificate_file)
    check_validity(certificate, at=certificate.not_before)
    check_validity(certificate, at=certificate.not_after)
    second = timedelta(seconds=1)
    with pytest.raises(RefusedError, match="not-yet-valid"):
        check_validity(certificate, at=certificate.not_before - second)
    with pytest.raises(RefusedError, match="expired"):
        check_validity(certificate, at=certificate.not_after + second)


@pytest.mark.parametrize("curve", ["P-256", "P-521"])
def test_case_08_signing_again_with_a_shorter_and_a_longer_signature(curve: str) -> None:
    key = ec.generate_private_key(CURVES[curve])
    signer = image_signer(certificate_for(key), key)
    for before in (write()[0], SIGNED["P-384"]):
        out = io.BytesIO()
        written = sign_image(read(before), out, signer)
        measured = appraise_image(read(out.getvalue()))
        assert measured.measurements == written.measurements
        assert [value.hex() for value in measured.measurements.by_index().values()][:3] == [PCR0, PCR1, PCR2]
        sections = read(out.getvalue()).of_type(SectionType.SIGNATURE)
        assert [section.offset for section in sections] == [SIGNATURE_OFFSET]
        assert out.getvalue() == write(sign=signer)[0]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (by_hand([PARTS[0], PARTS[1], (RAMDISK, b"r")], version=3), "eif.sign.version"),
        (patched(by_hand(), 6, b"\2\x40"), "eif.sign.flags"),
        (by_hand([(CMDLINE, b"c"), (KERNEL, b"k"), PARTS[2], (RAMDISK, b"r")]), "eif.sign.order"),
    ],
)
def test_images_that_cannot_be_signed_without_changing_them(data: bytes, code: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(UsageError) as caught:
        sign_image(read(data), io.BytesIO(), image_signer(certificate_for(key), key))
    assert caught.value.code == code


def test_case_09_another_kernel_under_the_same_signature() -> None:
    data = patched(SIGNED["P-384"], 548 + 12, b"k")
    assert measure(data).crc_ok
    with pytest.raises(RefusedError) as caught:
        appraise_image(read(data))
    assert caught.value.code == "eif.signature.payload"
    found = inspect(data)
    assert describe(found)["SignatureCheck"] is False
    assert found.refused


def test_case_09_a_flipped_bit_and_another_algorithm() -> None:
    section = signed_section()
    flipped = section.sign1[:-1] + bytes([section.sign1[-1] ^ 1])
    es256 = section.sign1.replace(bytes.fromhex("44a1013822"), bytes.fromhex("43a10126"))
    for sign1, code in ((flipped, "cose.signature"), (es256, "cose.signature.size")):
        data = encode_section(SignatureSection(certificate_file=section.certificate_file, sign1=sign1))
        assert refusal(data) == code
        found = inspect(by_hand([*PARTS, (RAMDISK, b"RAMDISK0"), (RAMDISK, b"RAMDISK1"), (SIGNATURE, data)]))
        assert code in codes(found)
        assert describe(found)["SignatureCheck"] is False


def test_a_signature_by_another_key() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    section = signed_section()
    data = encode_section(SignatureSection(certificate_file=certificate_for(key), sign1=section.sign1))
    assert refusal(data) == "cose.signature"


def entry(certificate: object, signature: object) -> object:
    return {"signing_certificate": certificate, "signature": signature}


CERTIFICATE, SIGN1 = list(signed_section().certificate_file), list(signed_section().sign1)
SIGN1_ITEMS = cbor.decode(bytes(SIGN1))
assert isinstance(SIGN1_ITEMS, list)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x80", "eif.signature.shape"),
        (b"\x81\xa0", "eif.signature.shape"),
        (b"\xa0", "eif.signature.shape"),
        (b"", "cbor.truncated"),
        (cbor.encode([entry(CERTIFICATE, SIGN1)] * 2), "eif.signature.shape"),
        (cbor.encode([{"signature": SIGN1, "signing_certificate": CERTIFICATE}]), "eif.signature.shape"),
        (cbor.encode([entry(CERTIFICATE, "text")]), "eif.signature.shape"),
        (cbor.encode([entry(bytes(CERTIFICATE), bytes(SIGN1))]), "eif.signature.byte-string"),
        (cbor.encode([entry([256, *CERTIFICATE], SIGN1)]), "eif.signature.byte"),
        (cbor.encode([entry([-1, *CERTIFICATE], SIGN1)]), "eif.signature.byte"),
        (cbor.encode([entry(CERTIFICATE, SIGN1)]) + b"\0", "cbor.trailing"),
        (cbor.encode([entry(CERTIFICATE, list(cbor.encode([*SIGN1_ITEMS, 1])))]), "cose.shape"),
        (cbor.encode([entry(CERTIFICATE, list(cbor.encode([b"", *SIGN1_ITEMS[1:]])))]), "cose.protected"),
        (
            cbor.encode([entry(CERTIFICATE, list(cbor.encode([*SIGN1_ITEMS[:3], bytes(95)])))]),
            "cose.signature.size",
        ),
        (cbor.encode({0: entry(CERTIFICATE, SIGN1)}), "eif.signature.shape"),
        (cbor.encode([["signing_certificate", "signature"]]), "eif.signature.shape"),
        (cbor.encode([entry(CERTIFICATE, ["x"])]), "eif.signature.byte"),
        (cbor.encode([entry(bytes(CERTIFICATE), SIGN1)]), "eif.signature.byte-string"),
        (cbor.encode([entry(CERTIFICATE, bytes(SIGN1))]), "eif.signature.byte-string"),
        (cbor.encode([[[[]]]]), "eif.signature.shape"),
        (cbor.encode([[[[[]]]]]), "cbor.depth"),
        (bytes(32768), "cbor.trailing"),
        (bytes(32769), "eif.signature.size"),
    ],
)
def test_case_10_malformed_sections(data: bytes, code: str) -> None:
    assert refusal(data) == code
    found = inspect(by_hand([*PARTS, (RAMDISK, b"RAMDISK0"), (RAMDISK, b"RAMDISK1"), (SIGNATURE, data)]))
    assert code in codes(found)
    assert found.refused


def test_case_10_a_tagged_cose_is_accepted() -> None:
    data = cbor.encode([entry(CERTIFICATE, list(cbor.encode(cbor.Tag(18, SIGN1_ITEMS))))])
    check_signature(parse_signature(data), bytes.fromhex(PCR0))


def test_case_10_byte_strings_are_read_leniently_only() -> None:
    data = cbor.encode([entry(bytes(CERTIFICATE), bytes(SIGN1))])
    signature = parse_signature(data, lenient=True)
    assert signature.section.byte_strings
    check_signature(signature, bytes.fromhex(PCR0))
    with pytest.raises(ParseError) as caught:
        decode_section(data)
    assert caught.value.code == "eif.signature.byte-string"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"register_index": 1, "register_value": list(bytes.fromhex(PCR0))}, "eif.signature.payload"),
        ({"register_index": 0, "register_value": list(bytes.fromhex(PCR0))[:47]}, "eif.signature.payload"),
        ({"register_value": list(bytes.fromhex(PCR0)), "register_index": 0}, "eif.signature.payload"),
        ([], "eif.signature.payload"),
        (["register_index", "register_value"], "eif.signature.payload"),
        ([[]], "eif.signature.payload"),
        ([[[]]], "cbor.depth"),
        ([0] * 63, "eif.signature.payload"),
        ([0] * 64, "cbor.items"),
    ],
)
def test_signed_payloads_that_are_not_pcr0(payload: object, code: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    sign1 = cose.sign_sign1(cbor.encode(payload), key)
    data = encode_section(SignatureSection(certificate_file=certificate_for(key), sign1=sign1))
    assert refusal(data) == code


def test_of_a_signed_pcr0_that_is_too_short_it_is_said() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    section = SignatureSection(
        certificate_file=certificate_for(key), sign1=cose.sign_sign1(payload_of(bytes(47)), key)
    )
    with pytest.raises(RefusedError) as caught:
        check_signature(parse_signature(encode_section(section)), bytes.fromhex(PCR0))
    assert caught.value.message == "the signed PCR0 has 47 bytes, not 48"
