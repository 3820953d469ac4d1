"""What every reader must bring: files that it reads and refuses, paths that are not its own, a row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glassclave.errors import ParseError
from glassclave.packages import Reader, reader_names, readers
from glassclave.packages.apk import READER as APK
from glassclave.packages.database import Package
from tests.unit.packages.cases import CASES, cases_of, data_of

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = (ROOT / "docs" / "outside.md").read_text(encoding="utf-8")
MODULES = ROOT / "src" / "glassclave" / "packages"
SHARED = ("__init__", "changes", "database", "stanzas")


def breaches(reader: Reader, cases: dict[str, Any] | None, document: str) -> Iterator[str]:
    """Everything that a reader lacks or does wrong."""
    if not re.search(
        rf"^\| `{re.escape(reader.id)}` \|.*\| {re.escape(reader.reference)} \|$", document, re.M
    ):
        yield "no row in the document"
    for kind in ("positive", "negative", "elsewhere"):
        if not (cases and cases.get(kind)):
            yield f"no {kind} case"
    for case in (cases or {}).get("positive", ()):
        if not concerned(reader, case):
            yield f"{case['name']}: not its own"
        wanted = [Package(reader.id, name, version) for name, version in case["packages"]]
        if outcome(reader, case) != wanted:
            yield f"{case['name']}: other packages"
    for case in (cases or {}).get("negative", ()):
        if not concerned(reader, case):
            yield f"{case['name']}: not its own"
        if outcome(reader, case) != case["code"]:
            yield f"{case['name']}: not refused with {case['code']}"
    for path in (cases or {}).get("elsewhere", ()):
        if reader.concerns(path.encode()):
            yield f"{path}: taken for its own"


def concerned(reader: Reader, case: dict[str, Any]) -> bool:
    path = case["path"].encode()
    return reader.directory(path) is not None if case.get("directory") else reader.concerns(path)


def outcome(reader: Reader, case: dict[str, Any]) -> list[Package] | str:
    try:
        return sorted(reader.read(case["path"].encode(), data_of(case)))
    except ParseError as error:
        return error.code


def test_every_module_is_a_reader_of_its_own_name() -> None:
    files = sorted(path.stem for path in MODULES.glob("*.py") if path.stem not in SHARED)
    assert list(reader_names()) == files
    assert [reader.id for reader in readers()] == files
    assert sorted(path.stem for path in CASES.glob("*.json")) == files


@pytest.mark.parametrize("reader", readers(), ids=lambda reader: reader.id)
def test_a_reader_keeps_the_contract(reader: Reader) -> None:
    assert list(breaches(reader, cases_of(reader.id), DOCUMENT)) == []
    assert 0 < reader.limit <= 64 << 20
    assert reader.reference.startswith("https://")


@pytest.mark.parametrize("reader", readers(), ids=lambda reader: reader.id)
def test_no_two_readers_want_one_file(reader: Reader) -> None:
    for other in readers():
        for case in (cases_of(other.id) or {})["positive"]:
            assert concerned(reader, case) == (reader is other), case["name"]


APK_CASES = cases_of("apk") or {}


@pytest.mark.parametrize(
    ("reader", "cases", "document", "breach"),
    [
        (APK, None, DOCUMENT, "no positive case"),
        (APK, APK_CASES | {"positive": []}, DOCUMENT, "no positive case"),
        (APK, APK_CASES | {"negative": []}, DOCUMENT, "no negative case"),
        (APK, APK_CASES | {"elsewhere": []}, DOCUMENT, "no elsewhere case"),
        (APK, APK_CASES, DOCUMENT.replace("| `apk` |", "| `apq` |"), "no row in the document"),
        (replace(APK, reference="https://example.org"), APK_CASES, DOCUMENT, "no row in the document"),
        (replace(APK, concerns=lambda _path: False), APK_CASES, DOCUMENT, "two packages: not its own"),
        (
            replace(APK, concerns=lambda _path: True),
            APK_CASES,
            DOCUMENT,
            "lib/apk/db/scripts.tar: taken for its own",
        ),
        (replace(APK, read=lambda _path, _data: ()), APK_CASES, DOCUMENT, "two packages: other packages"),
        (
            replace(APK, read=lambda _path, _data: ()),
            APK_CASES,
            DOCUMENT,
            "no name: not refused with packages.form",
        ),
    ],
)
def test_the_contract_notices(
    reader: Reader, cases: dict[str, Any] | None, document: str, breach: str
) -> None:
    assert breach in list(breaches(reader, cases, document))


def test_every_code_is_in_the_document() -> None:
    sources = [*MODULES.glob("*.py"), ROOT / "src/glassclave/flows/outside.py"]
    sources.append(ROOT / "src/glassclave/image/repositories.py")
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    codes = set(re.findall(r"\w+Error\(\s*\"((?:packages|repository)\.[a-z.]+)\"", text))
    assert len(codes) >= 12
    assert {code for code in codes if f"`{code}`" not in DOCUMENT} == set()
