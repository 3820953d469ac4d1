"""in-toto statements: one subject, one digest, exactly the predicate type that was asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glassclave.errors import LimitError, ParseError
from glassclave.provenance.statement import (
    PREDICATE_TYPE,
    build_statement,
    parse_predicate,
    parse_statement,
)
from tests.unit.provenance.predicates import SIGNED

DIGEST = "9b" * 32
PAYLOAD = build_statement("ghcr.io/acme/hello", DIGEST, SIGNED)
COSIGN = "https://sigstore.dev/cosign/sign/v1"


def test_what_is_built_is_read() -> None:
    statement = parse_statement(PAYLOAD, predicate_type=PREDICATE_TYPE)
    assert (statement.subject_name, statement.subject_sha256) == ("ghcr.io/acme/hello", DIGEST)
    assert statement.predicate_type == PREDICATE_TYPE
    assert parse_predicate(statement.predicate, source="s") == SIGNED
    assert build_statement("ghcr.io/acme/hello", DIGEST, SIGNED) == PAYLOAD
    assert list(json.loads(PAYLOAD)) == ["_type", "subject", "predicateType", "predicate"]


def test_a_statement_as_cosign_writes_it_is_read() -> None:
    subject = {"digest": {"sha256": DIGEST}, "annotations": {"PCR0": "00"}}
    payload = json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [subject],
            "predicateType": COSIGN,
            "predicate": {},
        }
    ).encode()
    statement = parse_statement(payload, predicate_type=COSIGN)
    assert (statement.subject_name, dict(statement.annotations)) == (None, {"PCR0": "00"})
    assert statement.predicate == {}


def test_other_predicates_can_be_stated() -> None:
    payload = build_statement("n", DIGEST, {}, predicate_type=COSIGN)
    assert parse_statement(payload, predicate_type=COSIGN).predicate == {}


def test_what_is_signed_is_compact_ascii_and_json_that_everybody_reads() -> None:
    assert build_statement("\u00e9", DIGEST, {"n": 1}, predicate_type=COSIGN) == (
        b'{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"\\u00e9","digest":{"sha256":"'
        + DIGEST.encode()
        + b'"}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{"n":1}}'
    )
    with pytest.raises(ValueError, match="JSON compliant"):
        build_statement("n", DIGEST, {"n": float("nan")}, predicate_type=COSIGN)


def test_the_longest_statement_is_read_and_a_byte_more_is_not() -> None:
    longest = PAYLOAD + b" " * ((2 << 20) - len(PAYLOAD))
    assert parse_statement(longest, predicate_type=PREDICATE_TYPE).subject_sha256 == DIGEST
    with pytest.raises(LimitError) as caught:
        parse_statement(longest + b" ", predicate_type=PREDICATE_TYPE)
    assert caught.value.code == "json.size"


SUBJECT = {"name": "n", "digest": {"sha256": DIGEST}}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "statement.type"),
        ({"predicateType": PREDICATE_TYPE + "/"}, "statement.predicate-type"),
        ({"predicateType": COSIGN}, "statement.predicate-type"),
        ({"predicateType": None}, "field.type"),
        ({"subject": []}, "statement.subjects"),
        ({"subject": [SUBJECT, SUBJECT]}, "statement.subjects"),
        ({"subject": SUBJECT}, "field.type"),
        ({"subject": [SUBJECT | {"uri": "u"}]}, "field.unknown"),
        ({"subject": [{"name": "n", "digest": {}}]}, "field.missing"),
        ({"subject": [{"name": "n", "digest": {"sha512": "00"}}]}, "field.unknown"),
        ({"subject": [{"name": "n", "digest": {"sha256": DIGEST, "sha512": "00"}}]}, "field.unknown"),
        ({"subject": [{"name": "n", "digest": {"sha256": DIGEST.upper()}}]}, "hex.case"),
        ({"subject": [{"name": "n", "digest": {"sha256": DIGEST[:-2]}}]}, "hex.size"),
        ({"predicate": []}, "field.type"),
        ({"extra": 1}, "field.unknown"),
    ],
)
def test_any_other_statement_is_refused(change: dict[str, Any], code: str) -> None:
    payload = json.dumps(json.loads(PAYLOAD) | change).encode()
    with pytest.raises(ParseError) as caught:
        parse_statement(payload, predicate_type=PREDICATE_TYPE)
    assert caught.value.code == code


@pytest.mark.parametrize("digest", ["", "9b" * 31, "9B" * 32, "sha256:" + DIGEST])
def test_no_statement_is_built_about_a_digest_of_another_form(digest: str) -> None:
    with pytest.raises(ParseError):
        build_statement("n", digest, SIGNED)
