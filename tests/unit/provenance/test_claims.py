from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from glassclave.errors import GlassclaveError
from glassclave.provenance.claims import (
    ARC,
    Claims,
    WorkflowUri,
    foreign_signer,
    parse_claims,
    repository_of,
    split_workflow_uri,
)

SIGNER = "https://github.com/acme/hello/.github/workflows/build.yml@refs/heads/main"
AT = datetime(2026, 11, 23, tzinfo=UTC)


def utf8(text: str) -> bytes:
    raw = text.encode()
    length = bytes([len(raw)]) if len(raw) < 128 else bytes([0x81, len(raw)])
    return b"\x0c" + length + raw


GOOD = {
    1: b"https://token.actions.githubusercontent.com",
    2: b"push",
    3: b"a" * 40,
    5: b"acme/hello",
    6: b"refs/heads/main",
    8: utf8("https://token.actions.githubusercontent.com"),
    9: utf8(SIGNER),
    12: utf8("https://github.com/acme/hello"),
    13: utf8("a" * 40),
    14: utf8("refs/heads/main"),
    16: utf8("https://github.com/acme"),
    20: utf8("push"),
    21: utf8("https://github.com/acme/hello/actions/runs/7/attempts/1"),
}


def _san(names: list[x509.GeneralName] | bytes | None) -> x509.ExtensionType:
    """``names`` as bytes: the DER as it stands, for what the library would not write."""
    if isinstance(names, bytes):
        return x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), names)
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SIGNER)] if names is None else names)


def certificate(
    extensions: dict[int, bytes],
    names: list[x509.GeneralName] | bytes | None = None,
    more: tuple[x509.UnrecognizedExtension, ...] = (),
) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(AT)
        .not_valid_after(AT + timedelta(minutes=10))
        .add_extension(_san(names), critical=True)
    )
    claims = (
        x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{ARC}{number}"), value)
        for number, value in extensions.items()
    )
    for extension in (*claims, *more):
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def code_of(extensions: dict[int, bytes], names: list[x509.GeneralName] | bytes | None = None) -> str:
    with pytest.raises(GlassclaveError) as caught:
        parse_claims(certificate(extensions, names))
    return caught.value.code


def test_claims_are_read_by_name() -> None:
    claims = parse_claims(certificate(GOOD))
    assert claims.build_signer_uri == claims.san_uri == SIGNER
    assert claims.source_repository_digest == "a" * 40
    assert claims.present()["build_trigger"] == "push"
    assert claims.visibility is None


def test_the_old_claims_may_be_absent() -> None:
    assert parse_claims(certificate({n: v for n, v in GOOD.items() if n > 6})).trigger_v1 is None


@pytest.mark.parametrize(
    "change",
    [
        {1: b"https://other.example"},
        {2: b"pull_request"},
        {3: b"b" * 40},
        {5: b"acme/evil"},
        {6: b"refs/heads/x"},
        {9: utf8(SIGNER + "x")},
        {16: utf8("https://github.com/ac")},
        {21: utf8("https://github.com/acme/hello-evil/actions/runs/7")},
    ],
)
def test_two_claims_that_contradict_each_other_are_refused(change: dict[int, bytes]) -> None:
    assert code_of(GOOD | change) == "identity.claims.inconsistent"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"push",
        b"\x0c\x05push",
        b"\x0c\x03push",
        b"\x0c\x81\x04push",
        b"\x16\x04push",
        b"\x0c\x04pu\x00h",
        b"\x0c\x04pu\xffh",
        b"\x0c\x80push",
    ],
)
def test_claims_of_another_form_are_refused(value: bytes) -> None:
    assert code_of({**GOOD, 20: value}) == "signature.certificate.claim"


@pytest.mark.parametrize("below", ["8.1", "12.0", "1.8"])
def test_an_extension_below_a_claims_number_is_not_that_claim(below: str) -> None:
    """Its value would be read last, over the claim's own."""
    oid = x509.ObjectIdentifier(ARC + below)
    evil = x509.UnrecognizedExtension(oid, utf8("https://github.com/acme/evil"))
    assert parse_claims(certificate(GOOD, more=(evil,))) == parse_claims(certificate(GOOD))


def test_a_claim_of_two_length_bytes_is_read() -> None:
    long = "x" * 300
    value = b"\x0c\x82" + len(long).to_bytes(2, "big") + long.encode()
    assert parse_claims(certificate({**GOOD, 24: value})).token_subject == long
    assert code_of({**GOOD, 24: b"\x0c\x82\x00\xff" + b"x" * 255}) == "signature.certificate.claim"
    assert code_of({**GOOD, 24: b"\x0c\x83\x00\x01\x2c" + b"x" * 300}) == "signature.certificate.claim"


def test_exactly_one_subject_name() -> None:
    uri = x509.UniformResourceIdentifier(SIGNER)
    assert code_of(GOOD, [uri, x509.DNSName("x.example")]) == "signature.certificate.san"
    person = parse_claims(certificate(GOOD, [x509.RFC822Name("a@b.example")]))
    assert person.san_uri is None


def test_bytes_that_are_no_certificate() -> None:
    with pytest.raises(GlassclaveError) as caught:
        parse_claims(b"\x30\x03\x02\x01\x01")
    assert caught.value.code == "signature.certificate.form"


@pytest.mark.parametrize("names", [b"\x30\x02\xa3\x00", b"\x30\x04\xa5\x02\x30\x00"], ids=["x400", "edi"])
def test_names_that_the_library_does_not_know(names: bytes) -> None:
    assert code_of(GOOD, names) == "signature.certificate.form"


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        (SIGNER, WorkflowUri("acme/hello", ".github/workflows/build.yml", "refs/heads/main")),
        ("https://github.com/acme/hello", None),
        ("https://github.com/acme/hello@refs/heads/main", None),
        ("https://github.com/acme/hello/x", None),
        ("https://github.com/acme/hello/x@", None),
        ("https://github.com//hello/x@r", None),
        ("http://github.com/acme/hello/x@r", None),
        ("https://github.com.evil.example/acme/hello/x@r", None),
    ],
)
def test_workflow_addresses_are_split_or_refused(uri: str, parts: WorkflowUri | None) -> None:
    assert split_workflow_uri(uri) == parts


def test_repository_addresses() -> None:
    assert repository_of("https://github.com/acme/hello") == "acme/hello"
    for wrong in (
        "https://github.com/acme",
        "https://github.com/a/b/c",
        "https://github.com//b",
        "acme/hello",
    ):
        assert repository_of(wrong) is None


@pytest.mark.parametrize(
    ("repository", "signer", "found"),
    [
        ("acme/hello", "acme/hello/.github/workflows/a.yml@refs/heads/main", None),
        ("Acme/Hello", "acme/hello/.github/workflows/a.yml@refs/heads/main", None),
        ("acme/hello", "acme/builder/.github/workflows/a.yml@v1", "acme/builder/.github/workflows/a.yml"),
        ("acme/hello", "", None),
        ("", "acme/builder/.github/workflows/a.yml@v1", None),
    ],
)
def test_who_signed_from_elsewhere(repository: str, signer: str, found: str | None) -> None:
    claims = Claims(
        source_repository_uri=f"https://github.com/{repository}",
        build_signer_uri=f"https://github.com/{signer}",
    )
    assert foreign_signer(claims) == found
    assert foreign_signer(Claims()) is None
