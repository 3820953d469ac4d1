"""The threat model names tests and reason codes: every one of them exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" | ")]
    for line in TEXT.splitlines()
    if line.startswith("| ")
]
STOPPED = [row for row in ROWS if len(row) == 6 and re.fullmatch(r"\d+\.\d+", row[0])]
OPEN = [row for row in ROWS if len(row) == 5 and re.fullmatch(r"\d+\.\d+", row[0])]
CODES = sorted({code for row in STOPPED for code in re.findall(r"`([^`]+)`", row[4])})
TESTS = sorted({test for row in STOPPED for test in re.findall(r"`([^`]+)`", row[5])})


@cache
def names_of_tests(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def pattern_of(node: ast.expr) -> str:
    """A string of the program as a pattern: what is put in while it runs is one word."""
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(pattern_of(part) for part in node.values)
    return "[a-z0-9-]+"


@cache
def codes_of_the_program() -> re.Pattern[str]:
    """Every string of the program that has the form of a code."""
    found: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr) or (
                isinstance(node, ast.Constant) and isinstance(node.value, str)
            ):
                found.add(pattern_of(node))
    form = re.compile(r"[a-z]+(\\[.-][a-z0-9]+|\\\.\[a-z0-9-\]\+|\[a-z0-9-\]\+)+")
    return re.compile("|".join(sorted(filter(form.fullmatch, found))))


@cache
def documented_codes() -> frozenset[str]:
    """What the specifications name; the number of a register stands there as *n*."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "spec").glob("*.md"))
    texts = [text.replace("`*n*`", number) for number in "0128"]
    return frozenset(code for each in texts for code in re.findall(r"`([a-z0-9.-]+)`", each))


def test_the_tables_are_read() -> None:
    assert len(STOPPED) > 80
    assert len(OPEN) > 50
    assert len(CODES) > 90
    numbers = [row[0] for row in (*STOPPED, *OPEN)]
    assert len(numbers) == len(set(numbers)), "a number stands for two attacks"


@pytest.mark.parametrize("row", STOPPED, ids=lambda row: str(row[0]))
def test_what_is_called_stopped_names_a_test(row: list[str]) -> None:
    assert re.fullmatch(r"`tests/[^`]+`(, `tests/[^`]+`)*", row[5])
    assert re.fullmatch(r"–|`[^`]+`(, `[^`]+`)*", row[4])


@pytest.mark.parametrize("row", STOPPED, ids=lambda row: str(row[0]))
def test_the_files_of_its_tests_name_its_codes(row: list[str]) -> None:
    paths = {ROOT / path for path in re.findall(r"`([^`:]+)::", row[5])}
    texts = "".join(path.read_text(encoding="utf-8") for path in paths)
    codes = re.findall(r"`([^`]+)`", row[4])
    assert [code for code in codes if code.rpartition(".")[2] not in texts] == []


@pytest.mark.parametrize("row", OPEN, ids=lambda row: str(row[0]))
def test_what_is_not_stopped_says_what_to_do(row: list[str]) -> None:
    assert row[3]
    assert row[4]


@pytest.mark.parametrize("test", TESTS)
def test_every_test_exists(test: str) -> None:
    path, _, name = test.partition("::")
    assert name in names_of_tests(ROOT / path)


@pytest.mark.parametrize("code", CODES)
def test_every_code_exists(code: str) -> None:
    assert code in documented_codes() or codes_of_the_program().fullmatch(code)


@pytest.mark.parametrize("code", ["attestation.pcr.mismatch", "eif.kernel", "signature.nothing", "x", ""])
def test_the_search_for_codes_sees_one_that_is_not_there(code: str) -> None:
    assert code not in documented_codes()
    assert not codes_of_the_program().fullmatch(code)
