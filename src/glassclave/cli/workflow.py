"""The runner's side of a GitHub workflow: its commands, its files, its temporary folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from glassclave.errors import GlassclaveError, UsageError
from glassclave.escaping import escape_untrusted

REQUEST = "request.json"
BUILT = "build.json"
PUBLISHED = "publish.json"
TRUST = "trust-config.json"
HANDED_OVER = "hand-over"


def on_github() -> bool:
    """Whether a runner reads what is printed: then a line that begins with `::` is a command to it."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def as_text(line: str) -> str:
    """A line of somebody else's log that no runner takes for a command (``::x::`` at its begin, ``##[x]``
    anywhere): escaped as `escape_untrusted` does it, and only where a runner reads."""
    if not on_github():
        return line
    shown = line.replace("##[", "\\u{23}#[")
    blank = len(shown) - len(shown.lstrip())
    return f"{shown[:blank]}\\u{{3a}}{shown[blank + 1 :]}" if shown.startswith("::", blank) else shown


def place(name: str) -> Path:
    """A file of this action's run, in RUNNER_TEMP. `UsageError` ``action.runner`` outside of a runner."""
    temporary = os.environ.get("RUNNER_TEMP")
    if not temporary:
        raise UsageError("action.runner", "this is no step of a workflow: RUNNER_TEMP is not set")
    folder = Path(temporary) / "glassclave"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def announce(kind: str, message: str, *, title: str) -> None:
    """``::error`` or ``::warning`` (GitHub, "Workflow commands": percent and line ends are written out)."""
    shown = escape_untrusted(message, limit=2000).replace("%", "%25")
    name = title.replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    print(f"::{kind} title={name}::{shown}", file=sys.stderr, flush=True)


def announce_error(error: GlassclaveError) -> None:
    """An error where the run's page shows it, with what to do."""
    hint = f". {error.hint}" if error.hint else ""
    source = f"{error.source}: " if error.source else ""
    announce("error", f"{source}{error.message}{hint}", title=error.code)


def append(variable: str, text: str) -> None:
    """Text behind what stands in a file of the runner (``GITHUB_OUTPUT``, ``GITHUB_STEP_SUMMARY``)."""
    path = os.environ.get(variable)
    if not path:
        raise UsageError("action.runner", f"this is no step of a workflow: {variable} is not set")
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text)


def set_output(name: str, value: str) -> None:
    """An output of the step. A line end in it would set another one."""
    if "\n" in value or "\r" in value:
        raise UsageError("action.output", f"the output {name} has more than one line")
    append("GITHUB_OUTPUT", f"{name}={value}\n")
