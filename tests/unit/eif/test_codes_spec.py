"""Every reason code of the image room and of signing stands in ``docs/spec/eif.md``, and no other does."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ROOT / "src" / "glassclave"
PAGE = (ROOT / "docs" / "spec" / "eif.md").read_text(encoding="utf-8")
CODE = re.compile(r'f?"(eif\.[a-z0-9.{}()_-]+)"')
COUNTED = ("kernel", "cmdline", "ramdisk", "metadata", "signature")


def codes_of_the_program() -> set[str]:
    """Those in strings; the one that is put together stands for five."""
    found: set[str] = set()
    for path in [*SOURCES.rglob("*.py")]:
        for code in CODE.findall(path.read_text(encoding="utf-8")):
            found |= {f"eif.{kind}.count" for kind in COUNTED} if "{" in code else {code}
    return found


def documented() -> set[str]:
    return set(re.findall(r"`(eif\.[a-z0-9.-]+)`", PAGE))


def test_every_code_is_documented() -> None:
    assert len(codes_of_the_program()) > 60
    assert codes_of_the_program() - documented() == set()


def test_no_code_is_documented_that_is_not_there() -> None:
    assert documented() - codes_of_the_program() == set()
