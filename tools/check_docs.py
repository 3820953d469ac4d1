"""Checks the documents: every relative link leads to a file and a heading, every JSON schema is one."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\((?!\w+:|//)([^)\s]*)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^#+ +(.+?) *#*$", re.MULTILINE)


def tracked(pattern: str) -> list[Path]:
    """The files that git holds and that match."""
    listing = subprocess.run(["git", "ls-files", "-z", pattern], cwd=ROOT, check=True, capture_output=True)
    return [ROOT / name for name in listing.stdout.decode().split("\0") if name]


def anchors(text: str) -> set[str]:
    """The anchors that a forge makes of a document's headings."""
    headings = HEADING.findall(FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document: Path) -> Iterator[str]:
    """One line for each relative link that leads nowhere."""
    text = document.read_text(encoding="utf-8")
    for target in LINK.findall(CODE_SPAN.sub("", FENCE.sub("", text))):
        name, _, anchor = target.partition("#")
        path = (document.parent / name) if name else document
        where = f"{document.relative_to(ROOT)}: ({target})"
        if not path.exists():
            yield f"{where}: there is no such file"
        elif anchor and path.suffix == ".md" and anchor not in anchors(path.read_text(encoding="utf-8")):
            yield f"{where}: there is no such heading"


def broken_schema(path: Path) -> Iterator[str]:
    """A line when the file is not JSON, or not a schema of the dialect that it names."""
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
        validator_for(schema).check_schema(schema)
    except (ValueError, SchemaError) as error:
        yield f"{path.relative_to(ROOT)}: {error}"


def main() -> int:
    """Prints what is wrong, or how much was right."""
    documents, schemas = tracked("*.md"), tracked("docs/spec/*.schema.json")
    problems = [problem for document in documents for problem in broken_links(document)]
    problems += [problem for schema in schemas for problem in broken_schema(schema)]
    print(*problems, sep="\n", end="\n" if problems else "")
    print(f"{len(documents)} documents, {len(schemas)} schemas, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
