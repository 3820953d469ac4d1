"""Only one root is trusted by default, by the digest of its bytes; any other is called custom."""

from __future__ import annotations

import base64
import time

import pytest
from cryptography import x509

from glassclave.attestation.roots import (
    AWS_G1_SHA256,
    AWS_US_GOV_SHA256,
    _shipped,
    aws_root,
    parse_root,
    us_gov_root,
)
from glassclave.errors import ParseError, UnavailableError
from tests.unit.attestation.forge import ROOT, key
from tests.unit.attestation.vectors import FOLDER
from tests.unit.eif.signing import certificate_of

AWS_PEM = (FOLDER / "roots" / "aws-nitro-enclaves-root-g1.pem").read_bytes()


def _pem(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


def test_the_shipped_roots_are_the_pinned_ones() -> None:
    assert (aws_root().sha256, aws_root().custom) == (AWS_G1_SHA256, False)
    assert (us_gov_root().sha256, us_gov_root().custom) == (AWS_US_GOV_SHA256, True)
    assert parse_root(AWS_PEM, source="f") == aws_root()
    assert parse_root(aws_root().der, source="f") == aws_root()


def test_a_root_with_the_same_name_is_custom() -> None:
    forged = parse_root((FOLDER / "hostile" / "mock" / "forged-aws-dn-root.pem").read_bytes(), source="f")
    assert forged.custom
    assert forged.name == "aws.nitro-enclaves"
    assert forged.sha256 != AWS_G1_SHA256


def test_a_root_file_is_one_certificate() -> None:
    assert parse_root(_pem(ROOT.der), source="f") == ROOT
    assert parse_root(ROOT.der, source="f") == ROOT
    assert parse_root(b"comment\n" + _pem(ROOT.der), source="f") == ROOT
    assert AWS_PEM.count(b"=\n") == 1  # its base64 ends there, and nothing may follow
    for data, code in [
        (b"", "syntax"),
        (b"hello", "syntax"),
        (ROOT.der + b"\x00", "syntax"),
        (_pem(ROOT.der) * 2, "count"),
        (b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "count"),
        (b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n", "syntax"),
        (AWS_PEM.replace(b"=\n", b"=AAAA\n"), "syntax"),
        (b"-----BEGIN PRIVATE KEY-----\n" + _pem(ROOT.der), "count"),
    ]:
        with pytest.raises(ParseError) as caught:
            parse_root(data, source="f")
        assert (caught.value.code, caught.value.source) == (f"attestation.root.{code}", "f")


def test_a_shipped_root_that_is_not_the_pinned_one_is_not_used() -> None:
    for name, sha256 in (("aws-g1.pem", AWS_US_GOV_SHA256), ("aws-us-gov.pem", AWS_G1_SHA256)):
        with pytest.raises(UnavailableError) as caught:
            _shipped(name, sha256, "x")
        assert (caught.value.code, caught.value.source) == ("attestation.root.damaged", name)


def test_a_root_without_a_common_name_has_its_whole_name() -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "acme")])
    assert parse_root(certificate_of(key(1), name=name), source="f").name == "O=acme"


def test_a_root_file_full_of_blanks_takes_no_time() -> None:
    started = time.process_time()
    with pytest.raises(ParseError, match=r"attestation\.root\.count"):
        parse_root(b"-----BEGIN CERTIFICATE-----" + b" " * 65000, source="f")
    assert time.process_time() - started < 1
