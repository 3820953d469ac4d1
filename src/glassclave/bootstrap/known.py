"""PCR1 values whose kernel and init are known, and whose they are (``known_pcr1.toml``)."""

from __future__ import annotations

import functools
import importlib.resources
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from glassclave.digests import parse_hex
from glassclave.errors import ParseError
from glassclave.fields import Fields
from glassclave.results import PCR_SIZE

TABLE = "known_pcr1.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBootstrap:
    """A row. ``owner`` is for one word in a sentence (``ours``, ``AWS``).

    ``computed``: whether anyone can get this value from published bytes by the recipe in ``source``; where it
    is false, the value was only seen in documents or publications.
    """

    pcr1: str
    owner: str
    name: str
    architecture: str
    computed: bool
    source: str


def lookup_pcr1(value: str) -> KnownBootstrap | None:
    """Whose kernel and init have this PCR1 (hex, either case), or ``None``. `ParseError` ``hex.*``."""
    return _table().get(parse_hex(value, field="PCR1", size=PCR_SIZE).hex())


def known_bootstraps() -> tuple[KnownBootstrap, ...]:
    """All rows, in the table's order."""
    return tuple(_table().values())


@functools.cache
def _table() -> Mapping[str, KnownBootstrap]:
    text = importlib.resources.files("glassclave.bootstrap").joinpath(TABLE).read_text(encoding="utf-8")
    return parse_table(text, source=TABLE)


def parse_table(text: str, *, source: str) -> Mapping[str, KnownBootstrap]:
    """Rows by lower-case hex PCR1. Raises `ParseError` ``bootstrap.known.*``, ``field.*``, ``hex.*``."""
    try:
        top = Fields.of(tomllib.loads(text), source=source)
    except tomllib.TOMLDecodeError as error:
        raise ParseError("bootstrap.known.syntax", str(error), source=source) from error
    rows: dict[str, KnownBootstrap] = {}
    for index, entry in enumerate(top.array("bootstrap")):
        row = _row(Fields.of(entry, path=f"bootstrap[{index}]", source=source))
        if row.pcr1 in rows:
            raise ParseError(
                "bootstrap.known.duplicate", "two rows have this value", field=row.pcr1, source=source
            )
        rows[row.pcr1] = row
    return MappingProxyType(rows)


def _row(fields: Fields) -> KnownBootstrap:
    return KnownBootstrap(
        pcr1=parse_hex(fields.text("pcr1"), field=fields.at("pcr1"), size=PCR_SIZE).hex(),
        owner=fields.text("owner"),
        name=fields.text("name"),
        architecture=fields.text("architecture"),
        computed=fields.boolean("computed"),
        source=fields.text("source"),
    )
