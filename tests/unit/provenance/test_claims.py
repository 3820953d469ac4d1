from __future__ import annotations

from dataclasses import replace
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
    if len(raw) < 0x80:
        return b"\x0c" + bytes([len(raw)]) + raw
    size = 1 if len(raw) < 0x100 else 2
    return b"\x0c" + bytes([0x80 | size]) + len(raw).to_bytes(size, "big") + raw


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


NAMES = {
    1: "issuer_v1", 2: "trigger_v1", 3: "digest_v1", 4: "workflow_name_v1", 5: "repository_v1", 6: "ref_v1",
    8: "issuer", 9: "build_signer_uri", 10: "build_signer_digest", 11: "runner_environment",
    12: "source_repository_uri", 13: "source_repository_digest", 14: "source_repository_ref",
    15: "source_repository_identifier", 16: "source_repository_owner_uri",
    17: "source_repository_owner_identifier", 18: "build_config_uri", 19: "build_config_digest",
    20: "build_trigger", 21: "run_invocation_uri", 22: "visibility", 23: "deployment_environment",
    24: "token_subject",
}  # fmt: skip


@pytest.mark.parametrize(("number", "name"), NAMES.items())
def test_each_claim_has_the_number_that_fulcio_gives_it(number: int, name: str) -> None:
    text = SIGNER if number == 9 else f"claim {number}"
    value = text.encode() if number < 7 else utf8(text)
    assert parse_claims(certificate({number: value})).present() == {"san_uri": SIGNER, name: text}


@pytest.mark.parametrize("number", GOOD)
def test_a_claim_that_is_absent_contradicts_none(number: int) -> None:
    claims = parse_claims(certificate({one: value for one, value in GOOD.items() if one != number}))
    assert claims == replace(parse_claims(certificate(GOOD)), **{NAMES[number]: None})


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 129, 255, 256, 257, 4095, 4096])
def test_a_claim_of_any_length_up_to_the_limit_is_read(length: int) -> None:
    assert parse_claims(certificate({24: utf8("x" * length)})).token_subject == "x" * length


@pytest.mark.parametrize(
    "value",
    [utf8("x" * 4097), utf8("\u00e9" * 2049), b"\x0c", b"\x0c\x81\x7f" + b"x" * 127, b"\x0c\x81\x00",
     b"\x0c\x82\x00\x80" + b"x" * 128, utf8("a\x1fb"), utf8("a\x7fb")],
)  # fmt: skip
def test_a_claim_one_byte_beyond_the_form_is_refused(value: bytes) -> None:
    assert code_of({24: value}) == "signature.certificate.claim"


def test_what_stands_next_to_control_characters_is_read() -> None:
    text = "a b~\u0080"
    assert parse_claims(certificate({1: text.encode(), 24: utf8(text)})).token_subject == text


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


def test_a_certificate_without_subject_names() -> None:
    der = certificate(GOOD)
    (names, other) = (b"\x06\x03\x55\x1d" + bytes([number]) for number in (17, 99))
    assert der.count(names) == 1
    with pytest.raises(GlassclaveError) as caught:
        parse_claims(der.replace(names, other))
    assert caught.value.code == "signature.certificate.san"


def test_bytes_that_are_no_certificate() -> None:
    with pytest.raises(GlassclaveError) as caught:
        parse_claims(b"\x30\x03\x02\x01\x01")
    assert caught.value.code == "signature.certificate.form"


@pytest.mark.parametrize("names", [b"\x30\x02\xa3\x00", b"\x30\x04\xa5\x02\x30\x00"], ids=["x400", "edi"])
def test_names_that_the_library_does_not_know(names: bytes) -> None:
    assert code_of(GOOD, names) == "signature.certificate.form"


def test_a_claim_that_is_there_twice_and_a_version_that_is_not_known() -> None:
    der = certificate({1: b"a", 2: b"a"})
    first, second = (b"\x06\x0a\x2b\x06\x01\x04\x01\x83\xbf\x30\x01" + bytes([n]) for n in (1, 2))
    version = b"\xa0\x03\x02\x01"
    for bent in (der.replace(second, first), der.replace(version + b"\2", version + b"\5")):
        assert bent != der
        with pytest.raises(GlassclaveError) as caught:
            parse_claims(bent)
        assert caught.value.code == "signature.certificate.form"


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        (SIGNER, WorkflowUri("acme/hello", ".github/workflows/build.yml", "refs/heads/main")),
        ("acme/hello/x@r", None),
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
        ("acme/hello", "Acme/Hello/.github/workflows/a.yml@refs/heads/main", None),
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
