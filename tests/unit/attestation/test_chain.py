"""The walk over a good chain with one thing in one record of it changed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from glassclave.attestation.chain import (
    Certificate,
    parse_certificate,
    parse_chain,
    verify_path,
    verify_validity,
)
from glassclave.errors import ParseError, RefusedError
from tests.unit.attestation.forge import CHAIN, NOW, Level, certificate, chain, key

GOOD = parse_chain(chain()[:-1], chain()[-1])
ROOT, LEAF = 0, 4
EVERY = range(5)


def refusal(records: Sequence[Certificate]) -> tuple[str, str | None]:
    with pytest.raises(RefusedError) as caught:
        verify_path(records)
    return caught.value.code.removeprefix("attestation.chain."), caught.value.field


def bent(index: int, **changes: Any) -> list[Certificate]:
    return [replace(one, **changes) if place == index else one for place, one in enumerate(GOOD)]


def test_the_good_chain_is_named_from_root_to_leaf() -> None:
    verify_path(GOOD)
    assert [one.place for one in GOOD] == [*(f"cabundle[{index}]" for index in range(4)), "certificate"]
    assert [one.common_name for one in GOOD] == [level.name for level in CHAIN]
    assert [one.path_length for one in GOOD] == [None, 2, 1, 0, None]
    assert [one.ca for one in GOOD] == [True, True, True, True, False]


@pytest.mark.parametrize("index", EVERY)
@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"version": x509.Version.v1}, "version"),
        ({"key": ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()}, "key"),
        ({"key": key(1, "p256").public_key()}, "key"),
        ({"algorithm": x509.ObjectIdentifier("1.2.840.10045.4.3.2")}, "algorithm"),
        ({"strange": ("1.2.3.4",)}, "critical-extension"),
    ],
)
def test_the_form_of_every_certificate(index: int, changes: dict[str, Any], rule: str) -> None:
    assert refusal(bent(index, **changes)) == (rule, GOOD[index].place)


@pytest.mark.parametrize("index", range(4))
def test_every_authority_must_be_one(index: int) -> None:
    place = GOOD[index].place
    for changes, rule in (
        ({"ca": False}, "authority"),
        ({"ca": None}, "authority"),
        ({"ca_critical": False}, "authority"),
        ({"signs_certificates": False}, "key-usage"),
        ({"path_length": 2 - index}, "path-length"),
    ):
        assert refusal(bent(index, **changes)) == (rule, place)
    verify_path(bent(index, path_length=3 - index, signs_data=False))


def test_the_leaf_must_be_none() -> None:
    for changes, rule in (
        ({"ca": True}, "authority"),
        ({"path_length": 0}, "path-length"),
        ({"signs_data": False}, "key-usage"),
        ({"signs_certificates": True}, "key-usage"),
    ):
        assert refusal(bent(LEAF, **changes)) == (rule, "certificate")
    verify_path(bent(LEAF, ca=None, ca_critical=True))


@pytest.mark.parametrize("index", range(1, 5))
def test_each_is_issued_by_the_one_before(index: int) -> None:
    place = GOOD[index].place
    for changes, rule in (
        ({"issuer_name": "another"}, "name"),
        ({"issuer_key": 77}, "signature"),
        ({"issuer_name": "another", "issuer_key": 77}, "name"),
    ):
        der = certificate(replace(CHAIN[index], **changes), CHAIN[index - 1])
        other = parse_certificate(der, place=place)
        assert refusal(bent(index, parsed=other.parsed)) == (rule, place)


def test_an_issuers_name_that_cannot_be_read_names_nobody() -> None:
    good = certificate(replace(CHAIN[LEAF], issuer_name="instancf"), CHAIN[LEAF - 1])
    assert good.count(b"instancf") == 1
    other = parse_certificate(good.replace(b"instancf", b"instanc\xff"), place="certificate")
    with pytest.raises(ValueError, match="issuer"):
        _ = other.parsed.issuer
    assert refusal(bent(LEAF, parsed=other.parsed)) == ("name", "certificate")


def test_a_certificate_is_read_once_for_each_place() -> None:
    der = chain()[LEAF]
    first, again = (parse_chain(chain()[:-1], der) for _ in range(2))
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert parse_certificate(der, place="other").place == "other"
    for _ in range(2):  # a failure is found again
        with pytest.raises(ParseError):
            parse_certificate(b"no certificate", place="certificate")


def test_both_ends_of_a_validity_belong_to_it() -> None:
    second = timedelta(seconds=1)
    for one in GOOD:
        verify_validity([one], one.not_before)
        verify_validity([one], one.not_after)
        for at, rule in ((one.not_before - second, "not-yet-valid"), (one.not_after + second, "expired")):
            with pytest.raises(RefusedError) as caught:
                verify_validity(GOOD if one is GOOD[ROOT] else [one], at)
            assert (caught.value.code, caught.value.field) == (f"attestation.chain.{rule}", one.place)


def read(level: Level) -> Certificate:
    return parse_certificate(certificate(level, CHAIN[3]), place="p")


def test_what_is_read_of_extensions() -> None:
    plain = read(replace(CHAIN[LEAF], ca=None, usages=None))
    assert (plain.ca, plain.ca_critical, plain.path_length) == (None, False, None)
    assert (plain.signs_certificates, plain.signs_data, plain.strange) == (False, False, ())
    odd = read(replace(CHAIN[LEAF], extra=(("1.2.3.4", True), ("1.2.3.5", False), ("1.2.3.6", True))))
    assert odd.strange == ("1.2.3.4", "1.2.3.6")
    for usage, flags in (("key_cert_sign", (True, False)), ("digital_signature", (False, True))):
        one = read(replace(CHAIN[LEAF], usages=frozenset({usage})))
        assert (one.signs_certificates, one.signs_data) == flags


@pytest.mark.parametrize("der", [b"", b"\x30\x00", chain()[0][:-1], chain()[0] + b"\x00"])
def test_what_is_no_certificate(der: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        parse_chain([chain()[0]], der)
    assert (caught.value.code, caught.value.field) == ("attestation.chain.certificate", "certificate")


def made(
    names: Sequence[str] = ("x",),
    extensions: Sequence[tuple[str, bytes]] = (),
    old: bytes = b"",
    new: bytes = b"",
) -> bytes:
    """DER of a certificate with these common names and extensions, its first ``old`` replaced."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    builder = (
        x509.CertificateBuilder(issuer_name=subject, subject_name=subject, public_key=key(9).public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(hours=1))
    )
    for oid, value in extensions:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        builder = builder.add_extension(extension, critical=False)
    der = builder.sign(key(9), SHA384()).public_bytes(Encoding.DER)
    assert old in der
    return der.replace(old, new, 1)


NULLS = [("1.2.3.4", b"\x05\x00"), ("1.2.3.5", b"\x05\x00")]


@pytest.mark.parametrize(
    "der",
    [
        made(extensions=NULLS, old=b"\x2a\x03\x05", new=b"\x2a\x03\x04"),
        made(old=b"\xa0\x03\x02\x01\x02", new=b"\xa0\x03\x02\x01\x05"),
        made(old=b"\x2a\x86\x48\xce\x3d\x02\x01", new=b"\x2a\x86\x48\xce\x3d\x02\x09"),
        made(extensions=[("2.5.29.17", b"\x30\x02\xa3\x00")]),
    ],
    ids=["an extension twice", "version 6", "a key of no known kind", "a name of no known kind"],
)
def test_what_the_library_does_not_know_is_unreadable(der: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        parse_certificate(der, place="p")
    assert caught.value.code == "attestation.chain.certificate"


def test_oddities_of_a_certificate_are_no_warnings() -> None:
    version, serial = b"\xa0\x03\x02\x01\x02", b"\x02\x01\x01"
    negative = made(old=version + serial, new=version + b"\x02\x01\x81")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_certificate(negative, place="odd").common_name == "x"


def test_a_name_is_one_common_name() -> None:
    for names, found in (((), None), (("x",), "x"), (("x", "y"), None)):
        assert parse_certificate(made(names), place="p").common_name == found


def test_two_algorithms_in_one_certificate_are_no_signature() -> None:
    sha384 = b"\x2a\x86\x48\xce\x3d\x04\x03\x03"
    odd = parse_certificate(chain()[2].replace(sha384, sha384[:-1] + b"\x02", 1), place="p")
    assert odd.algorithm == GOOD[2].algorithm
    assert refusal(bent(2, parsed=odd.parsed)) == ("signature", "cabundle[2]")
