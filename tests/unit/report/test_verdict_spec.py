"""The specification of the verdict is the program's: its schema holds, and it names every code there is."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from glassclave.attestation.expectation import Historical
from glassclave.errors import ParseError, UnavailableError
from glassclave.policy.model import Policy
from glassclave.policy.verdict import Verdict
from glassclave.report.attestation import DOCUMENT_SCHEMA
from glassclave.report.records import json_text
from glassclave.report.verdict import verdict_record
from glassclave.results import Status
from tests.unit.flows.published import CUSTOM, EVIL, MemorySigstore, Published, whole
from tests.unit.flows.seed import ACCEPTING, Seed
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
    "flows/beside.py",
    "flows/find_image.py",
    "flows/stated.py",
    "flows/log_referrer.py",
    "clients/sigstore_keys.py",
    "clients/sigstore_verifier.py",
    "oci/artifact.py",
    "oci/foreign.py",
    "provenance/claims.py",
    "provenance/cosign.py",
    "provenance/statement.py",
    "cli/demands.py",
    "cli/verify.py",
    "buildlog/text.py",
    "buildlog/record.py",
)
CODE = re.compile(r'"((?:artifact|signature|identity|statement|image|log|policy|verify)\.[a-z0-9.-]+)"')


def foreign_root() -> Verdict:
    published = whole()
    published.sigstore = MemorySigstore(CUSTOM)
    return published.verify().verdict


def by_another() -> Verdict:
    published = Published()
    published.sign(EVIL)
    return published.verify().verdict


def unstated() -> Verdict:
    published = Seed()
    published.sign()
    return published.verify(policy=ACCEPTING).verdict


VERDICTS = {
    "unstated": unstated(),
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


@pytest.mark.parametrize("key", ["document", "statement"])
def test_what_is_nested_is_strict_too(key: str) -> None:
    record = verdict_record(VERDICTS["live"])
    part = record[key]
    assert isinstance(part, dict)
    for changed in (part | {"extra": 1}, dict(list(part.items())[1:])):
        assert list(Draft202012Validator(SCHEMA).iter_errors(record | {key: changed}))


def test_what_is_nested_is_what_its_own_specification_says() -> None:
    record = json.loads(json_text(verdict_record(VERDICTS["live"])))
    statement, document_ = record["statement"], dict(record["document"])
    document_.pop("at")
    document_ |= {"schema": DOCUMENT_SCHEMA, "verified": False}
    for name, part in (("measurement-v1", statement), ("attestation-document", document_)):
        schema = json.loads((SPEC / f"{name}.schema.json").read_text(encoding="utf-8"))
        assert list(Draft202012Validator(schema).iter_errors(part)) == []


def test_the_page_names_every_key() -> None:
    section = (SPEC / "verdict.md").read_text(encoding="utf-8").partition("## JSON")[2].partition("\n## ")[0]
    named = re.findall(r"^\| (.*?) \|", section, re.MULTILINE)[2:]
    keys = [key for cell in named for key in re.findall(r"`([a-z]+)`", cell)]
    assert sorted(keys) == sorted(SCHEMA["properties"])
    assert sorted(SCHEMA["required"]) == sorted(keys)


def families(*steps: str) -> dict[str, set[str]]:
    """Codes and families (``json.*``) that the page names for each of the checks' steps."""
    text = (SPEC / "verdict.md").read_text(encoding="utf-8")
    sections = {step: text.partition(f"\n### {step}\n")[2].partition("\n#")[0] for step in steps}
    return {
        step: {
            code
            for line in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
            for code in re.findall(r"`([a-z0-9.*-]+)`", line)
        }
        for step, section in sections.items()
    }


def bent(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data))
    kind = draw.randrange(3)
    if kind == 0:
        return data[:place] + bytes([draw.randrange(256)]) + data[place + 1 :]
    return data[:place] + data[place + draw.randrange(1, 9) :] if kind == 1 else data[: place + 1]


def test_whatever_is_bent_the_code_is_named_for_its_step() -> None:
    """Bytes of manifest, signatures, statement and image are bent, the same ones in every run."""
    named = families("artifact", "signature", "identity", "statement", "image")
    draw = random.Random(7)
    seen: set[str] = set()
    for turn in range(600):
        published = Published()
        published.sign() if turn % 2 else published.sign_bundle()
        published.state()
        registry = published.registry
        if turn % 3 == 0:
            digest = draw.choice(sorted(registry.manifests))
            stored = registry.manifests[digest]
            registry.manifests[digest] = replace(stored, data=bent(stored.data, draw))
        else:
            digest = draw.choice(sorted(registry.blobs))
            registry.blobs[digest] = bent(registry.blobs[digest], draw)
        try:
            checks = published.verify().verdict.checks
        except (KeyError, TypeError, ValueError, UnavailableError):
            continue  # the registry and the Sigstore in memory believe their input
        except ParseError as error:  # what a tag names and is no JSON is no verdict
            assert error.code.startswith("json.")
            continue
        for check in checks:
            if check.status is Status.FAIL:
                seen.add(check.code)
                family = check.code.partition(".")[0] + ".*"
                assert {check.code, family} & named[check.step], (check.step, check.code)
    assert len(seen) > 12


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
