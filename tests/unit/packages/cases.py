"""The cases of `tests/vectors/packages`: files of image layers, and what is in them."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

CASES = Path(__file__).resolve().parents[2] / "vectors" / "packages"


def cases_of(name: str) -> dict[str, Any] | None:
    path = CASES / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def data_of(case: dict[str, Any]) -> bytes:
    """The file's bytes: ``text``, or ``gzip`` (base64); of a directory nothing."""
    if "gzip" in case:
        return gzip.decompress(base64.b64decode(case["gzip"]))
    return str(case.get("text", "")).encode()
