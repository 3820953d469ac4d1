"""Pictures of what one sees, from real runs: docs/pictures/*.svg (`make pictures`).

Terminal output with its colours as SVG, without a script, a web font or a link, so that a page that shows it
asks nobody for anything.
"""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from glassclave_sandbox.services import Services

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
COLUMNS = 118
REPOSITORY = "acme/enclave"
_COLOURS = {
    "31": "#ff7b72",
    "32": "#7ee787",
    "33": "#e3b341",
    "36": "#79c0ff",
    "2": "#8b949e",
    "3": "#c9d1d9",
}
_FONTS = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
_CODE = re.compile(r"\x1b\[([0-9;]*)m")
_LINE, _CHARACTER, _MARGIN = 19, 8.4, 16


Piece = tuple[str, frozenset[str]]


def rows(text: str) -> list[list[Piece]]:
    """Lines as a terminal of `COLUMNS` columns shows them: each a list of pieces with their codes."""
    lines: list[list[Piece]] = [[]]
    codes: frozenset[str] = frozenset()
    column = 0
    for index, part in enumerate(_CODE.split(text)):
        if index % 2:
            codes = frozenset() if part in ("0", "") else codes | set(part.split(";"))
            continue
        for number, line in enumerate(part.split("\n")):
            if number:
                lines.append([])
                column = 0
            while line:
                piece, line = line[: COLUMNS - column], line[COLUMNS - column :]
                lines[-1].append((piece, codes))
                column += len(piece)
                if line:
                    lines.append([])
                    column = 0
    return lines


def span(piece: Piece) -> str:
    """A piece of a line with its colour."""
    text, codes = piece
    colour = next((_COLOURS[code] for code in sorted(codes) if code in _COLOURS), "#e6edf3")
    look = ' font-weight="bold"' if "1" in codes else ""
    look += ' font-style="italic"' if "3" in codes else ""
    return f'<tspan fill="{colour}"{look}>{html.escape(text)}</tspan>'


def picture(text: str) -> str:
    """An SVG of a terminal that shows ``text``."""
    lines = rows(text.rstrip("\n"))
    width, height = round(COLUMNS * _CHARACTER) + 2 * _MARGIN, len(lines) * _LINE + 2 * _MARGIN
    drawn = []
    for number, line in enumerate(lines):
        place = f'x="{_MARGIN}" y="{_MARGIN + 14 + number * _LINE}"'
        drawn.append(f'<text {place} xml:space="preserve">{"".join(map(span, line))}</text>\n')
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{_FONTS}" font-size="14">\n'
        f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n{"".join(drawn)}</svg>\n'
    )


def run(*words: str, folder: Path, **settings: str) -> str:
    """What a command prints on a terminal of `COLUMNS` columns; its errors go to ours."""
    environment = os.environ | {"COLUMNS": str(COLUMNS), "LANG": "C.UTF-8", "PYTHONUTF8": "1"} | settings
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment,
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.stdout


def shown(command: str, said: str) -> str:
    """A command as typed, and what it said."""
    return f"\x1b[1m$ {command}\x1b[0m\n{said}"


def take(folder: Path) -> dict[str, str]:
    """Name to text of each picture."""
    layout = ROOT / "examples" / "hello" / "layout"
    (folder / "hello").symlink_to(layout.resolve())
    pictures = {}
    said = run("glassclave", "build", "oci:hello", "-o", "hello.eif", folder=folder)
    pictures["build"] = shown("glassclave build oci:hello -o hello.eif", said)
    with Services(folder / "sandbox", referrers_api=True) as services:
        reference = f"{services.registry}/{REPOSITORY}:1.0"
        trust = ("--trust-config", "sandbox/sandbox.json")
        job = services.environment(sha="7f3e0a6d51c94b2e8f1a90cc35d7be4410a2f6e9")
        run("glassclave", "publish", "hello.eif", reference, *trust, folder=folder, **job)
        for name, repository in (("verify", REPOSITORY), ("refused", "acme/other")):
            question = ("glassclave", "verify", reference, "--repo", repository, *trust)
            said = run(*question, "--color", "always", folder=folder)
            pictures[name] = shown(" ".join(question), said)
    said = run("glassclave", "demo", "--color", "always", folder=folder)
    pictures["attacks"] = said[said.index("\x1b[1m8  ") : said.index("  --folder")]
    return pictures


def main() -> None:
    """Write all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        for name, text in take(Path(temporary)).items():
            (PICTURES / f"{name}.svg").write_text(picture(text), encoding="utf-8")
            print(f"docs/pictures/{name}.svg")


if __name__ == "__main__":
    main()
