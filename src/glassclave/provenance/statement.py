"""in-toto statements (in-toto Attestation Framework, "Statement v1"): one artifact, one predicate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from glassclave.errors import ParseError
from glassclave.fields import Fields, parse_json
from glassclave.provenance.predicate import (
    MAX_SIZE,
    PREDICATE_TYPE,
    MeasurementPredicate,
    parse_predicate,
    predicate_record,
)
from glassclave.provenance.strict import hex_text

__all__ = [
    "PREDICATE_TYPE",
    "STATEMENT_TYPE",
    "MeasurementPredicate",
    "Statement",
    "build_statement",
    "parse_predicate",
    "parse_statement",
]

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

_SHA256_SIZE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement about one artifact. ``predicate`` is its JSON object, not yet interpreted.

    ``subject_name`` is for people and ``None`` where cosign wrote the statement; ``subject_sha256`` is
    lower-case hex; ``annotations`` are the subject's.
    """

    subject_name: str | None
    subject_sha256: str
    annotations: Mapping[str, str]
    predicate_type: str
    predicate: Mapping[str, object]


def build_statement(
    subject_name: str,
    subject_sha256: str,
    predicate: MeasurementPredicate | Mapping[str, object],
    *,
    predicate_type: str = PREDICATE_TYPE,
) -> bytes:
    """The statement's bytes: compact ASCII JSON, keys in the order of in-toto's specification.

    ``subject_sha256``: 64 lower-case hex digits of the manifest's digest. Raises `ParseError` ``hex.*``.
    """
    hex_text(Fields({"sha256": subject_sha256}, "subject"), "sha256", _SHA256_SIZE)
    record = predicate_record(predicate) if isinstance(predicate, MeasurementPredicate) else dict(predicate)
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": subject_name, "digest": {"sha256": subject_sha256}}],
        "predicateType": predicate_type,
        "predicate": record,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def parse_statement(payload: bytes, *, predicate_type: str, source: str = "statement") -> Statement:
    """Strictly read: exactly this predicate type, exactly one subject, named by exactly one sha256.

    Raises `ParseError` ``statement.*``, ``field.*``, ``hex.*``, ``json.*``.
    """
    fields = Fields.of(parse_json(payload, source=source, limit=2 * MAX_SIZE), source=source)
    fields.only("_type", "subject", "predicateType", "predicate")
    _exactly(fields, "_type", STATEMENT_TYPE, "statement.type")
    _exactly(fields, "predicateType", predicate_type, "statement.predicate-type")
    subjects = fields.array("subject")
    if len(subjects) != 1:
        raise ParseError(
            "statement.subjects",
            f"{len(subjects)} subjects, exactly one is expected",
            field="subject",
            source=source,
        )
    subject = Fields.of(subjects[0], path="subject[0]", source=source)
    subject.only("name", "digest", "annotations")
    digest = subject.child("digest")
    digest.only("sha256")
    return Statement(
        subject_name=subject.optional_text("name"),
        subject_sha256=hex_text(digest, "sha256", _SHA256_SIZE).hex(),
        annotations=subject.text_map("annotations"),
        predicate_type=predicate_type,
        predicate=fields.child("predicate").values,
    )


def _exactly(fields: Fields, name: str, wanted: str, code: str) -> None:
    if fields.text(name) != wanted:
        raise ParseError(code, f"must be {wanted}", field=name, source=fields.source)
