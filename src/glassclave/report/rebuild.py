"""A rebuild as lines for people, as JSON (``docs/spec/rebuild.schema.json``) and as a file for an issue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glassclave.attestation.content import time_text
from glassclave.policy.verdict import Verdict
from glassclave.provenance.evidence import VerifiedSignature
from glassclave.provenance.rebuild import Rebuilt, Surrounding
from glassclave.report.records import json_text
from glassclave.report.summary import code_span, text
from glassclave.report.text import plain, render_checks, render_findings
from glassclave.report.verdict import custom_trust, level_sentence, untagged, verdict_lines, verdict_record
from glassclave.results import PCR_COVERS, Check, FileDifference, Finding, Severity, Status

SCHEMA = "https://glassclave.github.io/spec/rebuild-result-v1"
LIMITS = "one machine, today's answers of registries and mirrors"
MAX_REPORT = 48_000
"""Bytes of the Markdown: an issue takes 65,536 characters, and the file goes through a job's output."""
_SHOWN = 40
_DIGITS = 12
_EQUAL, _DIFFERENT, _REFUSED = "equal", "different", "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildReport:
    """``rebuilt``: ``None`` where the verdict is negative and nothing was built. ``signed``: if it was."""

    verdict: Verdict
    rebuilt: Rebuilt | None
    signed: VerifiedSignature | None = None

    @property
    def result(self) -> str:
        """``equal``, ``different`` or ``refused``."""
        if self.rebuilt is None:
            return _REFUSED
        return _EQUAL if self.rebuilt.equal else _DIFFERENT

    @property
    def reference(self) -> str:
        """By digest: what was judged, whatever a tag names later."""
        return f"{untagged(self.verdict.reference)}@{self.verdict.digest}"


def rebuild_lines(report: RebuildReport, *, ascii_only: bool, colour: bool, width: int) -> list[str]:
    """The whole answer, the sentence last."""
    rebuilt, custom = report.rebuilt, custom_trust(report.verdict, whole=True)
    if rebuilt is None:
        lines = verdict_lines(report.verdict, ascii_only=ascii_only, colour=colour, width=width)
        return [*lines, plain(rebuild_sentence(report), ascii_only=ascii_only)]
    lines = [] if custom is None else [plain(custom, ascii_only=ascii_only)]
    lines += render_checks(_checks(report, rebuilt), ascii_only=ascii_only, colour=colour, width=width)
    if rebuilt.files or rebuilt.why_not:
        lines.append("")
    shown = list(rebuilt.files or ())[:_SHOWN]
    lines += [plain(f"  {file.path}  {file.what}", ascii_only=ascii_only) for file in shown]
    left = len(rebuilt.files or ()) - len(shown)
    lines += [f"  and {left:,} more (--json has all)"] if left > 0 else []
    if rebuilt.why_not:
        lines.append(plain(f"  which files differ cannot be told: {rebuilt.why_not}", ascii_only=ascii_only))
    if rebuilt.surroundings:
        findings = [_finding(one) for one in rebuilt.surroundings]
        lines += ["", *render_findings(findings, ascii_only=ascii_only, colour=colour, width=width)]
    return [*lines, "", plain(rebuild_sentence(report), ascii_only=ascii_only)]


def _checks(report: RebuildReport, rebuilt: Rebuilt) -> list[Check]:
    where = f"{rebuilt.repository} at {rebuilt.commit}, folder {rebuilt.folder}"
    checks = [
        _passed("published", f"{report.reference[: _DIGITS - 64]}: {level_sentence(report.verdict)}"),
        _passed("source", where),
    ]
    published, found = rebuilt.published.by_index(), rebuilt.found.by_index()
    for index in (0, 1, 2):
        one, other = published[index].hex(), found[index].hex()
        name, what = f"PCR{index}", PCR_COVERS[index]
        checks.append(
            _passed(name, f"equal  {one[:12]}…  {what}")
            if one == other
            else Check(
                step=name,
                code=f"rebuild.pcr{index}.mismatch",
                status=Status.FAIL,
                message=f"another value: {what}",
                expected=one,
                actual=other,
            )
        )
    if report.signed is not None:
        at = time_text(report.signed.signed_at)
        checks.append(_passed("statement", f"signed, log index {report.signed.log_index:,}, {at}"))
    return checks


def _passed(step: str, message: str) -> Check:
    return Check(step=step, code=step, status=Status.PASS, message=message)


def _finding(one: Surrounding) -> Finding:
    message = f"{one.what} was {one.stated or 'not told'}, here {one.found or 'not told'}"
    return Finding(code="rebuild.surroundings", severity=Severity.NOTE, message=message)


def rebuild_sentence(report: RebuildReport) -> str:
    """What was shown, in words that claim no more."""
    rebuilt, custom = report.rebuilt, custom_trust(report.verdict, whole=False)
    end = f" {custom}." if custom else ""
    if rebuilt is None:
        return f"NOT REBUILT: what does not verify is not built.{end}"
    if rebuilt.equal:
        return f"EQUAL: commit {rebuilt.commit[:12]} gave the same PCRs here ({LIMITS}).{end}"
    names = ", ".join(f"PCR{index}" for index in rebuilt.different_registers)
    found = f"commit {rebuilt.commit[:12]} gave another {names} here; {_count(rebuilt)}"
    return f"DIFFERENT: {found} ({LIMITS}).{end}"


def _count(rebuilt: Rebuilt) -> str:
    if rebuilt.files is None:
        return "which files differ cannot be told"
    if not rebuilt.files:
        return "no file differs: look at kernel, command line and the order of the ramdisk"
    return "1 file differs" if len(rebuilt.files) == 1 else f"{len(rebuilt.files):,} files differ"


def rebuild_record(report: RebuildReport) -> dict[str, object]:
    """What ``--json`` prints."""
    rebuilt, signed = report.rebuilt, report.signed
    return {
        "schema": SCHEMA,
        "result": report.result,
        "reference": report.reference,
        "rebuilt": None if rebuilt is None else _rebuilt_record(rebuilt),
        "signed": None
        if signed is None
        else {"logIndex": signed.log_index, "signedAt": time_text(signed.signed_at)},
        "verdict": verdict_record(report.verdict),
        "sentence": rebuild_sentence(report),
    }


def _rebuilt_record(rebuilt: Rebuilt) -> dict[str, object]:
    files = rebuilt.files
    return {
        "repository": rebuilt.repository,
        "commit": rebuilt.commit,
        "folder": rebuilt.folder,
        "measurements": {
            "published": _registers(rebuilt.published.of_image),
            "rebuilt": _registers(rebuilt.found.of_image),
        },
        "files": None if files is None else [{"path": one.path, "what": one.what} for one in files],
        "filesUnknown": rebuilt.why_not,
        "surroundings": [
            {"what": one.what, "stated": one.stated, "found": one.found} for one in rebuilt.surroundings
        ],
    }


def _registers(values: tuple[bytes, bytes, bytes]) -> dict[str, str]:
    return {f"PCR{index}": value.hex() for index, value in enumerate(values)}


def rebuild_markdown(report: RebuildReport) -> str:
    """For an issue: nothing untrusted is markup, a mention or a link; at most `MAX_REPORT` bytes."""
    rebuilt = report.rebuilt
    head = [f"`{code_span(report.reference)}`", "", f"**{text(rebuild_sentence(report))}**"]
    if rebuilt is None:
        failed = [check for check in report.verdict.checks if check.status is Status.FAIL]
        lines = [*head, "", *(f"- `{code_span(one.message)}` (`{code_span(one.code)}`)" for one in failed)]
        return _capped(lines, [], _again(report))
    place = f"`{code_span(rebuilt.repository)}` at `{code_span(rebuilt.commit)}`"
    head += [
        "",
        f"Built again from {place}, folder `{code_span(rebuilt.folder)}`.",
        "",
        *_register_table(rebuilt),
    ]
    tail = [*_surroundings_lines(rebuilt.surroundings), *_again(report)]
    if rebuilt.why_not:
        head += ["", f"Which files differ cannot be told: `{code_span(rebuilt.why_not)}`"]
    return _capped(head, rebuilt.files or (), tail)


def _register_table(rebuilt: Rebuilt) -> list[str]:
    rows = zip(rebuilt.published.of_image, rebuilt.found.of_image, strict=True)
    return [
        "| | published | rebuilt | of |",
        "|---|---|---|---|",
        *(
            f"| PCR{index} | `{one.hex()}` | {'equal' if one == other else f'`{other.hex()}`'} |"
            f" {PCR_COVERS[index]} |"
            for index, (one, other) in enumerate(rows)
        ),
    ]


def _surroundings_lines(surroundings: Sequence[Surrounding]) -> list[str]:
    if not surroundings:
        return []
    rows = [
        f"- `{code_span(one.what)}`: `{code_span(one.stated or 'not told')}`,"
        f" now `{code_span(one.found or 'not told')}`"
        for one in surroundings[:_SHOWN]
    ]
    return ["", "### Not as in the first build", "", *rows]


def _again(report: RebuildReport) -> list[str]:
    command = f"glassclave rebuild {report.reference} --repo {report.verdict.policy.repository}"
    return ["", "To look at it yourself:", "", "```sh", code_span(command), "```"]


def _capped(head: list[str], files: Sequence[FileDifference], tail: list[str]) -> str:
    """Head and tail whole; of the files as many as there is room for."""
    rows = [f"- `{code_span(one.path)}`: {text(one.what)}" for one in files]
    title = ["", f"### Files that differ: {len(rows):,}", ""] if rows else []
    room = MAX_REPORT - _size([*head, *title, *tail]) - 100
    kept: list[str] = []
    for row in rows:
        room -= _size([row])
        if room < 0:
            break
        kept.append(row)
    left = len(rows) - len(kept)
    more = [f"- and {left:,} more"] if left else []
    whole = "\n".join([*head, *title, *kept, *more, *tail]) + "\n"
    return whole.encode()[:MAX_REPORT].decode(errors="ignore")


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)


def rebuild_json(report: RebuildReport) -> str:
    """`rebuild_record` as text."""
    return json_text(rebuild_record(report))
