"""The predicate of a rebuild: one spelling, and every other one refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from glassclave.errors import ParseError
from glassclave.provenance.rebuild import REBUILD_TYPE, parse_rebuild, rebuild_predicate_record
from glassclave.provenance.statement import PREDICATE_TYPE, build_statement, parse_predicate, parse_statement
from tests.unit.provenance.predicates import SIGNED
from tests.unit.provenance.rebuilds import REBUILD

SPEC = Path(__file__).resolve().parents[3] / "docs" / "spec"
SCHEMA = json.loads((SPEC / "rebuild-v1.schema.json").read_text(encoding="utf-8"))


def record() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(rebuild_predicate_record(REBUILD)))
    return found


def test_what_is_written_is_read_and_follows_the_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert list(Draft202012Validator(SCHEMA).iter_errors(record())) == []
    assert parse_rebuild(record(), source="s") == REBUILD
    assert SCHEMA["$id"].startswith(REBUILD_TYPE)
    page = (SPEC / "rebuild-v1.md").read_text(encoding="utf-8")
    assert [key for key in SCHEMA["properties"] if f"`{key}" not in page] == []


CHANGES: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("another result", lambda r: r.update(result="different"), "field.value"),
    ("no result", lambda r: r.pop("result"), "field.missing"),
    ("another hash", lambda r: r.update(hashAlgorithm="SHA256"), "field.value"),
    ("a clock", lambda r: r.update(at="2026-11-24T00:00:00Z"), "field.unknown"),
    ("no PCR2", lambda r: r["pcrs"].pop("PCR2"), "field.missing"),
    ("PCR8", lambda r: r["pcrs"].update(PCR8="00" * 48), "field.unknown"),
    ("a short PCR", lambda r: r["pcrs"].update(PCR0="00" * 47), "hex.size"),
    ("upper case", lambda r: r["pcrs"].update(PCR0="AB" * 48), "hex.case"),
    ("a branch", lambda r: r["source"].update(commit="main"), "claims.commit"),
    ("half a commit", lambda r: r["source"].update(commit="7f" * 10), "claims.commit"),
    ("no repository", lambda r: r["source"].pop("repository"), "field.missing"),
    ("more of the source", lambda r: r["source"].update(ref="x"), "field.unknown"),
    ("a number for a name", lambda r: r["tool"].update(name=1), "field.type"),
    ("more of the tool", lambda r: r["tool"].update(os="x"), "field.unknown"),
    ("more of the builder", lambda r: r["builder"].update(os="x"), "field.unknown"),
    ("no list", lambda r: r.update(surroundings={}), "field.type"),
    ("too long a list", lambda r: r.update(surroundings=r["surroundings"] * 1025), "field.size"),
    ("half a difference", lambda r: r["surroundings"][0].pop("found"), "field.missing"),
    ("more of a difference", lambda r: r["surroundings"][0].update(why="x"), "field.unknown"),
    ("a null name", lambda r: r["surroundings"][0].update(what=None), "field.type"),
]


@pytest.mark.parametrize(("change", "code"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_the_smallest_change_is_refused(change: Callable[[dict[str, Any]], object], code: str) -> None:
    bent = record()
    change(bent)
    with pytest.raises(ParseError) as caught:
        parse_rebuild(bent, source="s")
    assert caught.value.code == code
    assert list(Draft202012Validator(SCHEMA).iter_errors(bent))


def test_the_longest_list_is_read() -> None:
    longest = record()
    longest["surroundings"] *= 1024
    assert len(parse_rebuild(longest, source="s").surroundings) == 1024


def test_neither_is_read_as_the_other() -> None:
    rebuilt = build_statement("n", "00" * 32, record(), predicate_type=REBUILD_TYPE)
    measured = build_statement("n", "00" * 32, SIGNED)
    for payload, kind in ((rebuilt, PREDICATE_TYPE), (measured, REBUILD_TYPE)):
        with pytest.raises(ParseError) as caught:
            parse_statement(payload, predicate_type=kind)
        assert caught.value.code == "statement.predicate-type"
    # Nor with the type of the other one written on it.
    with pytest.raises(ParseError):
        parse_predicate(record(), source="s")
    disguised = parse_statement(measured, predicate_type=PREDICATE_TYPE).predicate
    with pytest.raises(ParseError):
        parse_rebuild(disguised, source="s")


def test_every_code_of_a_rebuild_is_documented() -> None:
    sources = SPEC.parents[1] / "src" / "glassclave"
    text = "".join(
        (SPEC / name).read_text(encoding="utf-8")
        for name in ("rebuild-v1.md", "verdict.md", "build-log-v1.md")
    )
    code = re.compile(r'"((?:rebuild|issue|github|git)\.[a-z0-9.-]+)"')
    found = {one for path in sources.rglob("*.py") for one in code.findall(path.read_text(encoding="utf-8"))}
    found -= {"rebuild.md"}
    assert len(found) > 20
    assert [one for one in sorted(found) if f"`{one}`" not in text] == []
    named = set(re.findall(r"`((?:rebuild|issue|github|git)\.[a-z0-9.-]+)`", text))
    from_http = {f"github.{what}" for what in ("size", "unavailable", "tls", "url", "redirect")}
    assert named - found == from_http | {f"rebuild.pcr{index}.mismatch" for index in range(3)}
