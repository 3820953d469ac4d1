"""A statement about a log: what a later job signs of the whole run (``docs/spec/build-log-v1.md``)."""

from __future__ import annotations

from collections.abc import Mapping

from glassclave.fields import Fields
from glassclave.provenance.claimed import BuildLogClaim
from glassclave.provenance.strict import hex_text

LOG_PREDICATE_TYPE = "https://glassclave.github.io/spec/build-log/v1"
_SHA256_SIZE = 32


def log_predicate(record: BuildLogClaim) -> dict[str, object]:
    """Names the record's file by size and SHA-256."""
    return {"record": {"size": record.size, "sha256": record.sha256.hex()}}


def parse_log_predicate(values: Mapping[str, object], *, source: str = "log statement") -> BuildLogClaim:
    """Strictly read. `ParseError` ``field.*``, ``hex.*``."""
    fields = Fields(values, "predicate", source)
    fields.only("record")
    record = fields.child("record")
    record.only("size", "sha256")
    return BuildLogClaim(size=record.integer("size"), sha256=hex_text(record, "sha256", _SHA256_SIZE))
