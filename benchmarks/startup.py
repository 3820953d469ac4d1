"""How soon the command answers: `glassclave --version` beside `python -c 'import click'`."""

from __future__ import annotations

import sys

from benchmarks.measure import Table, in_turn, run_child
from benchmarks.setting import GLASSCLAVE, Setting, alone

CLICK = "python -c 'import click'"
VERSION = "glassclave --version"


def startup(setting: Setting) -> Table:
    """Whole processes, warm."""
    table = Table("Start")
    commands = {
        CLICK: [sys.executable, "-c", "import click"],
        VERSION: [str(GLASSCLAVE), "--version"],
        "glassclave --help": [str(GLASSCLAVE), "--help"],
    }
    for command in commands.values():
        run_child(command)  # the first one writes and reads .pyc files
    found = in_turn(
        {name: lambda words=words: run_child(words).seconds for name, words in commands.items()},  # type: ignore[misc]
        setting.rounds(25),
    )
    table.time(CLICK, found[CLICK])
    table.slower(VERSION, found[VERSION], CLICK, 1.6)
    table.slower("glassclave --help", found["glassclave --help"], CLICK)
    return table


if __name__ == "__main__":
    alone(startup)
