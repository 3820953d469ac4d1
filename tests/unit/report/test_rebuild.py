"""A rebuild for people, programs and an issue: no more claimed than was seen, nothing untrusted loose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from glassclave.provenance.rebuild import Rebuilt, Surrounding
from glassclave.report.rebuild import (
    MAX_REPORT,
    RebuildReport,
    rebuild_json,
    rebuild_lines,
    rebuild_markdown,
)
from glassclave.results import FileDifference, Measurements
from tests.unit.flows.published import CUSTOM, MemorySigstore, Published, whole
from tests.unit.flows.test_rebuild_sign import rebuilt_of

SPEC = Path(__file__).resolve().parents[3] / "docs" / "spec"
EVIL = "x\x1b[2J\u202e`</code>@acme/all <img src=x> #1 [a](javascript:b)\n# head"


def validator() -> Draft202012Validator:
    schemas = [
        json.loads((SPEC / f"{name}.schema.json").read_text(encoding="utf-8"))
        for name in ("rebuild", "verdict")
    ]
    known = Registry().with_resources([(one["$id"], Resource.from_contents(one)) for one in schemas])
    return Draft202012Validator(schemas[0], registry=known)


def measured(published: Published) -> Measurements:
    return published.predicate.measured.measurements


def report_of(*, custom: bool = False, **changes: object) -> RebuildReport:
    published = whole()
    if custom:
        published.sigstore = MemorySigstore(CUSTOM)
    rebuilt = replace(rebuilt_of(measured(published)), **changes)  # type: ignore[arg-type]  # any fields
    return RebuildReport(verdict=published.verify().verdict, rebuilt=rebuilt)


def different(*files: FileDifference, **changes: object) -> RebuildReport:
    found = replace(measured(whole()), pcr0=b"0" * 48, pcr2=b"2" * 48)
    return report_of(**{"found": found, "files": files, **changes})  # type: ignore[arg-type]


def refused() -> RebuildReport:
    return RebuildReport(verdict=Published().verify().verdict, rebuilt=None)


def signed() -> RebuildReport:
    report = report_of()
    assert report.verdict.signature is not None
    return replace(report, signed=report.verdict.signature)


REPORTS = {
    "equal": report_of(),
    "signed": signed(),
    "custom": report_of(custom=True),
    "different": different(FileDifference("/stamp", "content")),
    "different, no file": different(),
    "different, files unknown": report_of(
        found=replace(measured(whole()), pcr2=b"2" * 48),
        files=None,
        why_not="ends early [ramdisk.cpio.truncated]",
    ),
    "surroundings": different(surroundings=(Surrounding(what="base a", stated=None, found="sha256:00"),)),
    "refused": refused(),
}


def shown(report: RebuildReport, *, ascii_only: bool = False, width: int = 100) -> list[str]:
    return rebuild_lines(report, ascii_only=ascii_only, colour=False, width=width)


@pytest.mark.parametrize("name", REPORTS)
def test_every_outcome_follows_the_schema_and_ends_in_its_sentence(name: str) -> None:
    report = REPORTS[name]
    record = json.loads(rebuild_json(report))
    assert [error.message for error in validator().iter_errors(record)] == []
    assert shown(report)[-1] == record["sentence"]
    assert record["result"] == name.partition(",")[0] or name in ("signed", "custom", "surroundings")
    for ascii_only in (True, False):
        text = "\n".join(shown(report, ascii_only=ascii_only))
        assert text.isascii() or not ascii_only
    for word in ("verified", "proven", "trusted"):
        assert word not in record["sentence"].lower()
    assert ("UNDER CUSTOM TRUST" in record["sentence"]) is (name == "custom")


@pytest.mark.parametrize(
    "change",
    [
        {"result": "equal", "rebuilt": None},
        {"result": "refused"},
        {"result": "verified"},
        {"extra": 1},
        {"signed": {"logIndex": 1, "signedAt": "x"}},
        {"verdict": {}},
    ],
)
def test_the_schema_refuses_another_outcome(change: dict[str, object]) -> None:
    record = json.loads(rebuild_json(REPORTS["different"]))
    assert list(validator().iter_errors(record | change))


def test_the_sentences() -> None:
    assert shown(REPORTS["equal"])[-1] == (
        "EQUAL: commit 7f3e7f3e7f3e gave the same PCRs here"
        " (one machine, today's answers of registries and mirrors)."
    )
    assert shown(REPORTS["different"])[-1].startswith(
        "DIFFERENT: commit 7f3e7f3e7f3e gave another PCR0, PCR2 here; 1 file differs ("
    )
    assert "no file differs: look at kernel" in shown(REPORTS["different, no file"])[-1]
    assert "which files differ cannot be told" in shown(REPORTS["different, files unknown"])[-1]
    assert shown(REPORTS["refused"])[-1] == "NOT REBUILT: what does not verify is not built."


def test_the_lines_name_registers_files_and_what_was_not_the_same() -> None:
    lines = shown(REPORTS["different"])
    assert any(line.startswith("✗ PCR2") for line in lines)
    assert any(line.startswith("✓ PCR1") for line in lines)
    assert "rebuild.pcr2.mismatch" in "\n".join(lines)
    assert "  /stamp  content" in lines
    noted = shown(REPORTS["surroundings"])
    assert any("base a was not told, here sha256:00" in line for line in noted)
    many = shown(different(*(FileDifference(f"/f{n}", "content") for n in range(50))))
    assert "  and 10 more (--json has all)" in many
    assert any("signed, log index 1" in line for line in shown(REPORTS["signed"]))


def hostile() -> RebuildReport:
    return different(
        FileDifference(EVIL, "content"),
        surroundings=(Surrounding(what=EVIL, stated=EVIL, found=None),),
        folder=EVIL,
        why_not=EVIL,
    )


def test_nothing_untrusted_is_markup_a_mention_or_leaves_its_line() -> None:
    text = rebuild_markdown(hostile())
    outside = "".join(
        part for number, part in enumerate(text.replace("```", "").split("`")) if number % 2 == 0
    )
    for bad in ("@acme", "<img", "</code>", "[a](", "\x1b", "\u202e", "javascript"):
        assert bad not in outside, bad
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert [line for line in text.splitlines() if line.startswith("# ")] == []
    assert text.count("`") % 2 == 0
    terminal = "\n".join(shown(hostile()))
    assert "\x1b" not in terminal
    assert "\u202e" not in terminal


def test_a_refusal_in_markdown_names_the_check() -> None:
    text = rebuild_markdown(REPORTS["refused"])
    assert "`nobody signed this artifact` (`signature.none`)" in text
    assert "NOT REBUILT" in text


@pytest.mark.parametrize("long", ["x", "\u00e4", "`"])
def test_the_file_fits_into_an_issue_whatever_is_in_it(long: str) -> None:
    files = [FileDifference(f"/{number}/{long * 300}", "content") for number in range(2000)]
    text = rebuild_markdown(different(*files))
    assert len(text.encode()) <= MAX_REPORT
    assert "### Files that differ: 2,000" in text
    kept = text.count(": content")
    assert 20 < kept < 2000
    assert f"- and {2000 - kept:,} more" in text
    assert text.rstrip().endswith("```")
    surroundings = tuple(Surrounding(what=long * 60000, stated=long, found=long) for _ in range(1024))
    assert len(rebuild_markdown(different(*files, surroundings=surroundings)).encode()) <= MAX_REPORT


def test_what_is_equal_is_told_too() -> None:
    text = rebuild_markdown(REPORTS["equal"])
    assert text.count("| equal |") == 3
    assert "Files that differ" not in text
    assert (
        f"glassclave rebuild registry.example/o/r@{REPORTS['equal'].verdict.digest} --repo acme/hello" in text
    )


def test_a_rebuilt_record_is_equal_by_three_registers() -> None:
    one: Rebuilt | None = REPORTS["equal"].rebuilt
    assert one is not None
    assert one.equal
    assert replace(one, published=replace(one.published, pcr8=b"8" * 48)).equal
    for index, name in enumerate(("pcr0", "pcr1", "pcr2")):
        other = replace(one, found=replace(one.found, **{name: b"x" * 48}))
        assert (other.equal, other.different_registers) == (False, (index,))
