"""Any rebuild statement that can be held is written and read back; damage ends in words."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from glassclave.errors import GlassclaveError
from glassclave.fields import parse_json
from glassclave.provenance.rebuild import (
    REBUILD_TYPE,
    RebuildPredicate,
    Surrounding,
    parse_rebuild,
    rebuild_predicate_record,
)
from glassclave.provenance.statement import build_statement, parse_statement
from glassclave.results import Measurements

SPEC = Path(__file__).resolve().parents[2] / "docs" / "spec"
VALIDATOR = Draft202012Validator(json.loads((SPEC / "rebuild-v1.schema.json").read_text(encoding="utf-8")))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DIGESTS = st.binary(min_size=48, max_size=48)
COMMITS = st.sampled_from([20, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
REBUILDS = st.builds(
    RebuildPredicate,
    measurements=st.builds(Measurements, pcr0=DIGESTS, pcr1=DIGESTS, pcr2=DIGESTS, pcr8=st.none()),
    repository=TEXTS,
    commit=COMMITS.map(bytes.hex),
    tool_name=TEXTS,
    tool_version=TEXTS,
    builder_name=TEXTS,
    builder_version=TEXTS,
    surroundings=st.lists(
        st.builds(Surrounding, what=TEXTS, stated=st.none() | TEXTS, found=st.none() | TEXTS), max_size=3
    ).map(tuple),
)


@given(REBUILDS)
def test_a_rebuild_survives_its_statement(predicate: RebuildPredicate) -> None:
    record = rebuild_predicate_record(predicate)
    VALIDATOR.validate(json.loads(json.dumps(record)))
    payload = build_statement("name", "00" * 32, record, predicate_type=REBUILD_TYPE)
    statement = parse_statement(payload, predicate_type=REBUILD_TYPE)
    assert parse_rebuild(statement.predicate, source="s") == predicate


@given(REBUILDS, st.integers(min_value=0), st.binary(max_size=3))
def test_damage_ends_in_words(predicate: RebuildPredicate, place: int, damage: bytes) -> None:
    data = bytearray(json.dumps(rebuild_predicate_record(predicate)).encode())
    at = place % len(data)
    data[at : at + 2] = damage
    try:
        value = parse_json(bytes(data), source="s")
        if not isinstance(value, dict):
            return
        again = parse_rebuild(value, source="s")
    except GlassclaveError:
        return
    assert parse_rebuild(rebuild_predicate_record(again), source="s") == again
