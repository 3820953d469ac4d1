"""The glance into a bundle: a type or nothing, never an error, whatever the bytes."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from glassclave.provenance.bundle import claimed_predicate_type

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "sigstore"


def bundle(payload: bytes) -> bytes:
    return json.dumps({"dsseEnvelope": {"payload": base64.b64encode(payload).decode()}}).encode()


def test_the_type_inside_is_found() -> None:
    assert claimed_predicate_type(bundle(b'{"predicateType":"https://slsa.dev/provenance/v1"}')) == (
        "https://slsa.dev/provenance/v1"
    )


def test_a_type_and_a_statement_of_any_usual_length_are_read() -> None:
    for length, found in ((1024, "x" * 1024), (1025, None)):
        assert claimed_predicate_type(bundle(b'{"predicateType":"%s"}' % (b"x" * length))) == found
    assert claimed_predicate_type(bundle(b'{"predicateType":"t","more":"%s"}' % (b"x" * 100_000))) == "t"


def test_base64_with_anything_between_is_not_read() -> None:
    right = bundle(b'{"predicateType":"t"}')
    assert claimed_predicate_type(right) == "t"
    assert claimed_predicate_type(right.replace(b'"eyJw', b'"ey-Jw')) is None


def test_real_bundles_over_a_statement_and_over_bytes() -> None:
    stated = (VECTORS / "real2.dsse.json").read_bytes()
    assert claimed_predicate_type(stated) == "https://sigstore.dev/cosign/sign/v1"
    assert claimed_predicate_type((VECTORS / "real2.bundle.json").read_bytes()) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"messageSignature":{}}',
        b'{"dsseEnvelope":[]}',
        b'{"dsseEnvelope":{"payload":1}}',
        b'{"dsseEnvelope":{"payload":"*"}}',
        '{"dsseEnvelope":{"payload":"é"}}'.encode(),
        b'{"dsseEnvelope":{"payload":"AA=="},"dsseEnvelope":{}}',
        bundle(b""),
        bundle(b"{}"),
        bundle(b'{"predicateType":1}'),
        bundle(b'{"predicateType":"' + b"x" * 2000 + b'"}'),
        bundle(b"[" * 100_000),
        b"[" * 100_000,
    ],
)
def test_anything_else_has_none(data: bytes) -> None:
    assert claimed_predicate_type(data) is None
