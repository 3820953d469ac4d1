"""What every rule must bring: cases where it applies, cases where it must not, a row in the specification."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glassclave.normalizers import Rule, rule_names, rules
from glassclave.normalizers.pyc import RULE as PYC

ROOT = Path(__file__).resolve().parents[3]
CASES = ROOT / "tests" / "vectors" / "normalizers"
SPECIFICATION = ROOT / "docs" / "spec" / "layout-glassclave-1.md"
MODULES = ROOT / "src" / "glassclave" / "normalizers"


def breaches(rule: Rule, cases: dict[str, Any] | None, specification: str) -> list[str]:
    """Everything that a rule lacks or does wrong."""
    found = []
    if not re.search(rf"^\| `{re.escape(rule.id)}` \|.*{re.escape(rule.reference)}", specification, re.M):
        found.append("no row in the specification")
    if not (rule.reason and rule.reference.startswith("https://")):
        found.append("no reason or no public reference")
    if not (cases and cases.get("positive")):
        return [*found, "no case where it applies"]
    if not cases.get("negative"):
        found.append("no case where it must not apply")
    for case in cases["positive"]:
        found += _wrong_where_it_applies(rule, case, cases["mtime"])
    for case in cases.get("negative", ()):
        path, data = case["path"].encode(), bytes.fromhex(case["bytes"])
        if rule.concerns(path) and rule.matches(path, data[: rule.head_size]):
            found.append(f"{case['name']}: applies")
    return found


def _wrong_where_it_applies(rule: Rule, case: dict[str, str], mtime: int) -> list[str]:
    path, before, after = case["path"].encode(), bytes.fromhex(case["before"]), bytes.fromhex(case["after"])
    head, rest = before[: rule.head_size], before[rule.head_size :]
    if not (rule.concerns(path) and rule.matches(path, head)):
        return [f"{case['name']}: does not apply"]
    canonical = rule.canonical(head, mtime)
    found = [] if canonical + rest == after else [f"{case['name']}: another canonical form"]
    if len(canonical) != len(head):
        found.append(f"{case['name']}: another size")
    elif not rule.matches(path, canonical) or rule.canonical(canonical, mtime) != canonical:
        found.append(f"{case['name']}: the canonical form is not its own")
    return found


def cases_of(rule: Rule) -> dict[str, Any] | None:
    path = CASES / f"{rule.id}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def test_every_module_is_a_rule_of_its_own_name() -> None:
    files = sorted(path.stem for path in MODULES.glob("*.py") if path.stem not in ("__init__", "rule"))
    assert list(rule_names()) == files
    assert [rule.id for rule in rules("glassclave-1")] == files
    assert rules("nitro-cli") == ()


@pytest.mark.parametrize("rule", rules("glassclave-1"), ids=lambda rule: rule.id)
def test_a_rule_keeps_the_contract(rule: Rule) -> None:
    assert breaches(rule, cases_of(rule), SPECIFICATION.read_text(encoding="utf-8")) == []


CASES_OF_PYC = cases_of(PYC) or {}
DOCUMENT = SPECIFICATION.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("rule", "cases", "document", "breach"),
    [
        (PYC, None, DOCUMENT, "no case where it applies"),
        (PYC, CASES_OF_PYC | {"positive": []}, DOCUMENT, "no case where it applies"),
        (PYC, CASES_OF_PYC | {"negative": []}, DOCUMENT, "no case where it must not apply"),
        (PYC, CASES_OF_PYC, DOCUMENT.replace("| `pyc` |", "| `pyo` |"), "no row in the specification"),
        (replace(PYC, reason=""), CASES_OF_PYC, DOCUMENT, "no reason or no public reference"),
        (replace(PYC, matches=lambda _path, _head: True), CASES_OF_PYC, DOCUMENT, "empty: applies"),
        (
            replace(PYC, concerns=lambda _path: False),
            CASES_OF_PYC,
            DOCUMENT,
            "constant already: does not apply",
        ),
        (
            replace(PYC, canonical=lambda head, _mtime: head),
            CASES_OF_PYC,
            DOCUMENT,
            "Python 3.11, checked by time: another canonical form",
        ),
        (
            replace(PYC, canonical=lambda head, _mtime: head + b"\0"),
            CASES_OF_PYC,
            DOCUMENT,
            "constant already: another size",
        ),
    ],
)
def test_the_contract_notices(rule: Rule, cases: dict[str, Any] | None, document: str, breach: str) -> None:
    assert breach in breaches(rule, cases, document)
