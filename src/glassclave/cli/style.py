"""How lines may look where they go: width, colour, and whether the terminal can show more than ASCII."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import TextIO

import click

_WIDTH_WITHOUT_TERMINAL = 100
_WIDEST = 140

COLOUR_OPTION = click.option(
    "--color",
    "colour",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colours; auto: on a terminal, unless NO_COLOR is set.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """For `glassclave.report.text`."""

    ascii_only: bool
    colour: bool
    width: int


def style_of(colour: str = "auto", *, stream: TextIO | None = None) -> Style:
    """The style for ``stream`` (default: stdout); ``colour`` is what `COLOUR_OPTION` gave."""
    out = stream or sys.stdout
    encoding = (out.encoding or "ascii").lower().replace("_", "-")
    wanted = colour == "always" or (
        colour == "auto"
        and out.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )
    columns = shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, 24)).columns
    return Style(
        ascii_only=encoding not in ("utf-8", "utf8"), colour=wanted, width=min(max(columns, 40), _WIDEST)
    )
