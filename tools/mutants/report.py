"""What a run found, as a page of evidence, and the reasons for what is left alive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one change. ``by``: test that killed it, ``import``, ``crash``, ``timeout``; empty: it lives."""

    module: str
    mutant: str
    line: int
    by: str


def read_reasons(path: Path) -> dict[tuple[str, str], str]:
    """The reasons for survivors: a module at the margin, below it a mutant, below that its reason."""
    reasons: dict[tuple[str, str], str] = {}
    module = mutant = ""
    for line in path.read_text("utf-8").splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        depth = len(line) - len(line.lstrip())
        if depth == 0:
            module = text
        elif depth == 2:
            mutant = text
        else:
            before = reasons.get((module, mutant))
            reasons[module, mutant] = f"{before} {text}" if before else text
    return reasons


def table(outcomes: Iterable[Outcome]) -> list[str]:
    """Modules with their figures."""
    by_module: dict[str, list[Outcome]] = {}
    for one in outcomes:
        by_module.setdefault(one.module, []).append(one)
    rows = ["| module | mutants | killed | survivors |", "|---|---:|---:|---:|"]
    total = killed = 0
    for module, found in by_module.items():
        dead = sum(bool(one.by) for one in found)
        rows.append(f"| `{module}` | {len(found)} | {dead} | {len(found) - dead} |")
        total, killed = total + len(found), killed + dead
    return [*rows, f"| all | {total} | {killed} | {total - killed} |"]


def write_page(path: Path, outcomes: Sequence[Outcome], reasons: dict[tuple[str, str], str]) -> None:
    """The page, anew between its two marks; what stands around them is written by hand."""
    alive = [one for one in outcomes if not one.by]
    rows = ["| module | mutant | why it may live |", "|---|---|---|"]
    for one in alive:
        reason = reasons.get((one.module, one.mutant), "**no reason yet**")
        rows.append(f"| `{one.module}` | {_code(one.mutant)} | {reason} |")
    lines = [BEGIN, "", *table(outcomes), "", "## Survivors", "", *rows, "", END]
    text = path.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    path.write_text(before + "\n".join(lines) + rest.partition(END)[2], "utf-8")


BEGIN, END = "<!-- written by make mutants -->", "<!-- up to here -->"


def _code(text: str) -> str:
    text = text.replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"
