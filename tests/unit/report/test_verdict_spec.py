"""The specification of the verdict is the program's: its schema holds, and it names every code there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from glassclave.attestation.expectation import Historical
from glassclave.policy.model import Policy
from glassclave.policy.verdict import Verdict
from glassclave.report.records import json_text
from glassclave.report.verdict import verdict_record
from tests.unit.flows.published import CUSTOM, EVIL, MemorySigstore, Published, whole
from tests.unit.flows.test_verify_levels import LIVE, document

ROOT = Path(__file__).resolve().parents[3]
SPEC = ROOT / "docs" / "spec"
SOURCES = ROOT / "src" / "glassclave"
SCHEMA = json.loads((SPEC / "verdict.schema.json").read_text(encoding="utf-8"))
# Rooms of which every code can stand in a verdict or keep one from being given.
JUDGING = (
    "policy",
    "flows/verify.py",
    "flows/evidence.py",
    "clients/sigstore_keys.py",
    "clients/sigstore_verifier.py",
    "oci/artifact.py",
    "provenance/claims.py",
    "provenance/cosign.py",
    "provenance/statement.py",
    "cli/verify.py",
)
CODE = re.compile(r'"((?:artifact|signature|identity|statement|image|policy|verify)\.[a-z0-9.-]+)"')


def foreign_root() -> Verdict:
    published = whole()
    published.sigstore = MemorySigstore(CUSTOM)
    return published.verify().verdict


def by_another() -> Verdict:
    published = Published()
    published.sign(EVIL)
    return published.verify().verdict


VERDICTS = {
    "provenance": whole().verify().verdict,
    "live": whole().verify(document=document(LIVE)).verdict,
    "historical": whole().verify(document=document(Historical())).verdict,
    "another policy": whole().verify(policy=Policy(repository="acme/other", visibility=None)).verdict,
    "unsigned": Published().verify().verdict,
    "by another": by_another(),
    "custom": foreign_root(),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_every_verdict_follows_the_schema(name: str) -> None:
    record = json.loads(json_text(verdict_record(VERDICTS[name])))
    Draft202012Validator.check_schema(SCHEMA)
    assert list(Draft202012Validator(SCHEMA).iter_errors(record)) == []
    assert record["schema"] == SCHEMA["$id"]


@pytest.mark.parametrize(
    "change", [{"level": "verified"}, {"extra": 1}, {"checks": []}, {"links": {"source": "http://evil"}}]
)
def test_the_schema_refuses_another_verdict(change: dict[str, object]) -> None:
    record = verdict_record(VERDICTS["provenance"]) | change
    assert list(Draft202012Validator(SCHEMA).iter_errors(record))


def codes_in_the_source() -> Iterator[str]:
    for place in JUDGING:
        path = SOURCES / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            yield from CODE.findall(file.read_text(encoding="utf-8"))


def test_every_code_is_documented() -> None:
    documented = set(re.findall(r"`([a-z0-9.-]+)`", (SPEC / "verdict.md").read_text(encoding="utf-8")))
    codes = set(codes_in_the_source())
    assert len(codes) > 50
    assert codes - documented == set()


def test_no_code_is_documented_that_is_not_there() -> None:
    text = (SPEC / "verdict.md").read_text(encoding="utf-8")
    named = set(CODE.findall(re.sub(r"`([a-z0-9.-]+)`", r'"\1"', text)))
    assert named - set(codes_in_the_source()) == set()


def test_the_word_that_claims_too_much_is_never_said() -> None:
    for verdict in VERDICTS.values():
        assert not re.search(r"\bverified\b", str(verdict_record(verdict)["sentence"]), re.IGNORECASE)
