"""Signing: deterministic to the letter of RFC 6979, certificates linted, keys in every form of a file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from glassclave import cose
from glassclave.eif.certificate_lint import lint_certificate
from glassclave.eif.signature import image_signer, payload_of, read_signature
from glassclave.eif.signing import sign_image
from glassclave.eif.signing_key import parse_signing_key
from glassclave.errors import GlassclaveError
from glassclave.results import Severity
from tests.unit.eif import rfc6979
from tests.unit.eif.images import PCR0, read, write
from tests.unit.eif.signing import AT, CURVES, END, START, certificate_of, key_on, key_pem

SECOND = timedelta(seconds=1)


def test_the_oracle_has_the_vector_of_the_rfc() -> None:
    """RFC 6979, A.2.6, SHA-384, message "sample"."""
    secret = int(
        "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5",
        16,
    )
    assert rfc6979.sign(secret, b"sample").hex() == (
        "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c"
        "81a648152e44acf96e36dd1e80fabe46"
        "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94f"
        "a329c145786e679e7b82c71a38628ac8"
    )


def test_the_signature_is_that_of_rfc_6979() -> None:
    key = key_on("P-384")
    out = io.BytesIO()
    sign_image(read(write()[0]), out, image_signer(certificate_of(key), key))
    signature = read_signature(read(out.getvalue()))
    assert signature is not None
    protected = bytes.fromhex("a1013822")  # {1: -35}, ES384
    message = cose.to_be_signed(protected, payload_of(bytes.fromhex(PCR0)))
    assert signature.sign1.protected == protected
    assert signature.sign1.signature == rfc6979.sign(key.private_numbers().private_value, message)


@pytest.mark.parametrize(
    ("extensions", "wanted"),
    [
        ([], []),
        ([x509.BasicConstraints(ca=False, path_length=None)], []),
        ([x509.BasicConstraints(ca=True, path_length=None)], [("eif.certificate.ca", Severity.NOTE)]),
        ([x509.BasicConstraints(ca=True, path_length=0)], [("eif.certificate.ca", Severity.NOTE)]),
        ("digital_signature", []),
        ("key_cert_sign", [("eif.certificate.usage", Severity.WARNING)]),
    ],
)
def test_lint_of_extensions(
    extensions: Sequence[x509.ExtensionType] | str, wanted: list[tuple[str, Severity]]
) -> None:
    if isinstance(extensions, str):
        names = [
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
            *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        ]
        extensions = [x509.KeyUsage(**{name: name == extensions for name in names})]
    certificate, findings = lint_certificate(certificate_of(key_on(), extensions=extensions), at=AT)
    assert [(one.code, one.severity) for one in findings] == wanted
    assert (certificate.not_before, certificate.not_after) == (START, END)


@pytest.mark.parametrize(("curve", "codes"), [("P-256", 1), ("P-384", 0), ("P-521", 1)])
def test_lint_of_the_curve(curve: str, codes: int) -> None:
    _, findings = lint_certificate(certificate_of(key_on(curve)), at=AT)
    assert [one.code for one in findings] == ["eif.certificate.curve"] * codes


SHA1 = b"""
-----BEGIN CERTIFICATE-----
MIIBsDCCATegAwIBAgIUUsF3EWTbv5qwy7RbK+oFYGA/o0gwCQYHKoZIzj0EATAP
MQ0wCwYDVQQDDAR0ZXN0MCAXDTI2MTEyNTAwMTMzMVoYDzIxMjYxMTAxMDAxMzMx
WjAPMQ0wCwYDVQQDDAR0ZXN0MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEndUcbISa
Dk2yjKAEjE9XXhOZ6SAPcjz3Y8bX5niXF17moe2e59YEA3oJNwwq+Xnc/6o9hD/x
Q48WNsyqU6ukUkpF3mk6+pCLLUPcRxuu50a0uJsJuWCla7ajM9hqQp3bo1MwUTAd
BgNVHQ4EFgQUiFNQt5kQ85o34IzHk7TWL2gk9E0wHwYDVR0jBBgwFoAUiFNQt5kQ
85o34IzHk7TWL2gk9E0wDwYDVR0TAQH/BAUwAwEB/zAJBgcqhkjOPQQBA2gAMGUC
MQCVGdWYrTyCkjLetLEN0zhkFQ0eXC3u8IupMkBmT6+kjhHUngHlkbJmft39WTSd
G7MCMEsP+sMQdiGH8NgrAbV4jo7fR/59jdFymhUJA+EKdfH4KtI8sk3rcgrxVOlZ
t17ADg==
-----END CERTIFICATE-----
"""
"""By ``openssl req -new -x509 -sha1``, valid for a hundred years from 2026 on: our library signs no SHA-1."""


def test_lint_of_sha_1() -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    _, findings = lint_certificate(SHA1, at=at)
    assert [one.code for one in findings] == ["eif.certificate.sha1", "eif.certificate.ca"]


def x509_pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (START - SECOND, "eif.certificate.not-yet-valid"),
        (START, None),
        (END, None),
        (END + SECOND, "eif.certificate.expired"),
    ],
)
def test_lint_of_dates(at: datetime, code: str | None) -> None:
    pem = certificate_of(key_on())
    if code is None:
        lint_certificate(pem, at=at)
        return
    with pytest.raises(GlassclaveError) as caught:
        lint_certificate(pem, at=at)
    assert caught.value.code == code
    assert caught.value.exit_status == 1
    assert caught.value.hint


def test_lint_of_how_many_there_are() -> None:
    one, two = (certificate_of(key_on()) for _ in range(2))
    lint_certificate(b"text before\n" + one + b"text behind\n", at=AT)
    for pem, code in (
        (one + two, "eif.certificate.count"),
        (one + one, "eif.certificate.count"),
        (b"", "eif.certificate.pem"),
        (x509.load_pem_x509_certificate(one).public_bytes(serialization.Encoding.DER), "eif.certificate.pem"),
        (key_pem(key_on()), "eif.certificate.pem"),
    ):
        with pytest.raises(GlassclaveError) as caught:
            lint_certificate(pem, at=AT)
        assert caught.value.code == code


def test_lint_of_extensions_that_cannot_be_read() -> None:
    pem = certificate_of(key_on(), extensions=[x509.BasicConstraints(ca=True, path_length=None)])
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    # BasicConstraints' value 30 03 01 01 ff: a sequence with one true. Made a NULL of a wrong length.
    assert der.count(bytes.fromhex("30030101ff")) == 1
    broken = der.replace(bytes.fromhex("30030101ff"), bytes.fromhex("30030501ff"))
    with pytest.raises(GlassclaveError) as caught:
        lint_certificate(x509_pem(broken), at=AT)
    assert caught.value.code == "eif.certificate.extensions"


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("password", [None, b"p\xc3\xa4ss word"])
def test_keys_are_read(curve: str, password: bytes | None) -> None:
    key = key_on(curve)
    parameters = b"-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n"
    for prefix in (b"", parameters):  # what `openssl ecparam -genkey` writes in front
        found = parse_signing_key(prefix + key_pem(key, password), source="key.pem", password=password)
        assert found.private_numbers() == key.private_numbers()


RSA = rsa.generate_private_key(65537, 2048)
ED25519 = ed25519.Ed25519PrivateKey.generate()


def pkcs8(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption())


@pytest.mark.parametrize(
    ("pem", "password", "code", "status"),
    [
        (b"", None, "eif.sign.key.form", 3),
        (
            b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
            None,
            "eif.sign.key.form",
            3,
        ),
        (certificate_of(key_on()), None, "eif.sign.key.form", 3),
        (key_pem(key_on()), b"needless", "eif.sign.key.password", 2),
        (key_pem(key_on(), b"right"), None, "eif.sign.key.encrypted", 2),
        (key_pem(key_on(), b"right"), b"wrong", "eif.sign.key.password", 2),
        (pkcs8(RSA), None, "eif.sign.key", 2),
        (pkcs8(ED25519), None, "eif.sign.key", 2),
        (pkcs8(ec.generate_private_key(ec.SECP256K1())), None, "cose.key", 2),
    ],
)
def test_keys_that_cannot_sign(pem: bytes, password: bytes | None, code: str, status: int) -> None:
    with pytest.raises(GlassclaveError) as caught:
        parse_signing_key(pem, source="key.pem", password=password)
    assert (caught.value.code, caught.value.exit_status) == (code, status)
    assert caught.value.source == "key.pem"
    assert "wrong" not in str(caught.value) + str(caught.value.hint)
