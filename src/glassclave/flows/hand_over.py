"""Files that cross from one job to the next: what was sent is what arrives, or nothing is done with it.

The store between two jobs can be written by whoever has a token of the run. A job's outputs cannot, so the
digests go there, and are compared before any byte is read for another purpose.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from glassclave.errors import ParseError, RefusedError, UnavailableError
from glassclave.fields import Fields, parse_json
from glassclave.streams import open_source, read_chunks

MAX_FILES = 8
MAX_TEXT = 16384
_NAME = re.compile(r"[0-9a-zA-Z][0-9a-zA-Z._-]{0,199}\Z")
_SOURCE = "the output of the job before"
_HINT = "start the run again; if it happens again, somebody writes to the artifacts of this run"


@dataclass(frozen=True, slots=True)
class HandOver:
    """``files``: the name of each to its SHA-256."""

    files: Mapping[str, bytes]


def hand_over_text(sent: HandOver) -> str:
    """On one line, as the output of a job."""
    return json.dumps({name: digest.hex() for name, digest in sorted(sent.files.items())})


def parse_hand_over(text: str, *, names: Collection[str]) -> HandOver:
    """What `hand_over_text` wrote about exactly these names; `ParseError` ``action.hand-over``."""
    sent = Fields.of(parse_json(text.encode(), source=_SOURCE, limit=MAX_TEXT, max_depth=1), source=_SOURCE)
    if set(sent.values) != set(names):
        raise ParseError(
            "action.hand-over",
            f"the build handed over {_listed(sent.values)}, wanted {_listed(names)}",
            source=_SOURCE,
            hint="both jobs have to run one commit of the workflow, with the same inputs",
        )
    return HandOver({name: sent.hex(name, size=32) for name in sent.values})


def digest_folder(folder: Path) -> HandOver:
    """Every file in a folder. `RefusedError` ``action.arrival.kind`` where something is no plain file."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise UnavailableError(
            "action.arrival.absent", f"cannot be read: {error.strerror}", source=str(folder)
        ) from error
    found: dict[str, bytes] = {}
    for path in paths[: MAX_FILES + 1]:
        if path.is_symlink() or not path.is_file() or _NAME.match(path.name) is None:
            raise RefusedError("action.arrival.kind", "is no plain file with a plain name", source=str(path))
        found[path.name] = _digest(path)
    return HandOver(found)


def check_arrival(sent: HandOver, arrived: HandOver) -> None:
    """Compares both. `RefusedError` ``action.arrival.missing``, ``.extra``, ``.changed``."""
    for name in sent.files.keys() - arrived.files.keys():
        raise RefusedError("action.arrival.missing", f"{name} did not arrive", hint=_HINT)
    for name in arrived.files.keys() - sent.files.keys():
        raise RefusedError("action.arrival.extra", f"{name} arrived and was not sent", hint=_HINT)
    for name, digest in sorted(sent.files.items()):
        if arrived.files[name] != digest:
            raise RefusedError(
                "action.arrival.changed",
                f"{name} is not what was sent: SHA-256 {arrived.files[name].hex()}, sent {digest.hex()}",
                hint=_HINT,
            )


def _digest(path: Path) -> bytes:
    hashed = hashlib.sha256()
    with open_source(path) as source:
        for piece in read_chunks(source, 0, source.size):
            hashed.update(piece)
    return hashed.digest()


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(name[:80] for name in names)) or "nothing"
