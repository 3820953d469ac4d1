from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from glassclave.errors import GlassclaveError, LimitError, ParseError
from glassclave.provenance.cosign import (
    BUNDLE,
    CERTIFICATE,
    CHAIN,
    SIGNATURE,
    TIMESTAMP,
    build_payload,
    layer_annotations,
    read_layer,
    signature_config,
    signed_digest,
)

DIGEST = "sha256:" + "a" * 64
ANNOTATIONS = {SIGNATURE: "c2ln", CERTIFICATE: "PEM", CHAIN: "", BUNDLE: "{}", TIMESTAMP: "{}"}
Document = dict[str, Any]


def test_the_payload_is_what_cosign_writes() -> None:
    """cosign's SIGNATURE_SPEC.md, "Simple Signing"; its own output, but for the order, is these bytes."""
    assert build_payload("ghcr.io/acme/hello", DIGEST) == (
        b'{"critical":{"identity":{"docker-reference":"ghcr.io/acme/hello"},'
        b'"image":{"docker-manifest-digest":"' + DIGEST.encode() + b'"},'
        b'"type":"cosign container image signature"},"optional":null}'
    )
    assert signed_digest(build_payload("ghcr.io/acme/hello", DIGEST)) == DIGEST


def test_what_other_publishers_annotate_does_not_matter() -> None:
    document = json.loads(build_payload("x.example/r", DIGEST))
    document["optional"] = {"creator": "somebody"}
    assert signed_digest(json.dumps(document).encode()) == DIGEST


def other_kind(document: Document) -> None:
    document["critical"]["type"] = "atomic container signature"


def no_kind(document: Document) -> None:
    del document["critical"]["type"]


def no_digest(document: Document) -> None:
    document["critical"]["image"] = {}


def other_algorithm(document: Document) -> None:
    document["critical"]["image"]["docker-manifest-digest"] = "sha512:" + "a" * 128


def short_digest(document: Document) -> None:
    document["critical"]["image"]["docker-manifest-digest"] = DIGEST[:-1]


def upper_digest(document: Document) -> None:
    document["critical"]["image"]["docker-manifest-digest"] = "sha256:" + "A" * 64


@pytest.mark.parametrize(
    ("bend", "code"),
    [
        (other_kind, "signature.payload.kind"),
        (no_kind, "field.missing"),
        (no_digest, "field.missing"),
        (other_algorithm, "signature.payload.digest"),
        (short_digest, "signature.payload.digest"),
        (upper_digest, "signature.payload.digest"),
    ],
)
def test_payloads_that_say_something_else(bend: Callable[[Document], None], code: str) -> None:
    document = json.loads(build_payload("x.example/r", DIGEST))
    bend(document)
    with pytest.raises(ParseError) as caught:
        signed_digest(json.dumps(document).encode())
    assert caught.value.code == code


def test_a_payload_with_two_digests_is_read_by_nobody() -> None:
    twice = build_payload("x.example/r", DIGEST).replace(
        b'"image":{', b'"image":{"docker-manifest-digest":"sha256:' + b"b" * 64 + b'",'
    )
    with pytest.raises(GlassclaveError) as caught:
        signed_digest(twice)
    assert caught.value.code == "json.duplicate-key"


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff", b" " * (1 << 20) + b"{}"])
def test_bytes_that_are_no_payload(data: bytes) -> None:
    with pytest.raises(ParseError):
        signed_digest(data)


def test_the_longest_payload_is_read_and_a_byte_more_is_not() -> None:
    payload = build_payload("x.example/r", DIGEST)
    longest = payload + b" " * ((1 << 20) - len(payload))
    assert signed_digest(longest) == DIGEST
    with pytest.raises(LimitError):
        signed_digest(longest + b" ")


def test_annotations_are_read_as_they_are_written() -> None:
    signature = read_layer(b"payload", ANNOTATIONS | {"other": "ignored"})
    assert layer_annotations(signature) == ANNOTATIONS
    least = {SIGNATURE: "c2ln", CERTIFICATE: "PEM"}
    assert layer_annotations(read_layer(b"payload", least)) == least


@pytest.mark.parametrize("name", [SIGNATURE, CERTIFICATE])
@pytest.mark.parametrize("value", [None, ""])
def test_a_layer_without_signature_or_certificate(name: str, value: str | None) -> None:
    annotations = {key: text for key, text in ANNOTATIONS.items() if key != name}
    if value is not None:
        annotations[name] = value
    with pytest.raises(ParseError) as caught:
        read_layer(b"payload", annotations)
    assert (caught.value.code, caught.value.field) == ("signature.annotation.missing", name)


def test_the_configuration_lists_every_layer_and_no_time() -> None:
    created = "0001-01-01T00:00:00Z"
    assert json.loads(signature_config([DIGEST, DIGEST])) == {
        "architecture": "",
        "created": created,
        "history": [{"created": created}, {"created": created}],
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": [DIGEST, DIGEST]},
        "config": {},
    }
    assert signature_config([DIGEST]) == signature_config([DIGEST])
