"""``glassclave demo``: what the sandbox tells, put on the screen."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import textwrap
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glassclave.cli.style import COLOUR_OPTION, Style, style_of
from glassclave.errors import UnavailableError
from glassclave.report.records import json_text
from glassclave.report.text import plain

if TYPE_CHECKING:
    from glassclave_sandbox.demo.stage import Stage

_INDENT = "   "


@dataclass(slots=True)
class Screen:
    """Scenes as lines of text, as they happen."""

    style: Style

    def title(self, number: int, text: str) -> None:
        """A scene begins."""
        self._say(f"{number}  {text}", bold=True)

    def command(self, text: str) -> None:
        """A command that is run now."""
        words = textwrap.wrap(text, self.style.width - 8, break_long_words=False, break_on_hyphens=False)
        continued = f" \\\n{_INDENT}    ".join(words)
        self._say(f"{_INDENT}$ {continued}", fg="cyan")

    def output(self, text: str) -> None:
        """A line that a command printed."""
        self._say(_INDENT + text)

    def note(self, text: str) -> None:
        """A sentence about what happens."""
        self._say(self._wrapped(text, _INDENT, _INDENT), italic=True)

    def attack(self, title: str, refused_with: str, because: str) -> None:
        """An attack that was refused."""
        self._say(self._wrapped(title, f"{_INDENT}- ", f"{_INDENT}  "))
        said = f"✓ refused: {because}  [{refused_with}]"
        self._say(self._wrapped(said, f"{_INDENT}  ", f"{_INDENT}    "), fg="green")

    def end(self, seconds: float) -> None:
        """The scene is over."""
        self._say(f"{_INDENT}{seconds:.1f} s\n", dim=True)

    def _wrapped(self, text: str, first: str, following: str) -> str:
        if len(first) + len(text) <= self.style.width:
            return first + text
        return textwrap.fill(
            text, self.style.width, initial_indent=first, subsequent_indent=following,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip

    def _say(self, text: str, **look: Any) -> None:
        shown = "\n".join(plain(line, ascii_only=self.style.ascii_only) for line in text.split("\n"))
        click.echo(
            click.style(shown, **look) if look and self.style.colour else shown, color=self.style.colour
        )


@dataclass(slots=True)
class Record:
    """Scenes as one JSON value."""

    scenes: list[dict[str, Any]] = field(default_factory=list)

    def title(self, number: int, text: str) -> None:
        """A scene begins."""
        scene = {
            "number": number,
            "title": text,
            "notes": [],
            "commands": [],
            "output": [],
            "attacks": [],
            "seconds": 0.0,
        }
        self.scenes.append(scene)

    def command(self, text: str) -> None:
        """A command that is run now."""
        self.scenes[-1]["commands"].append(text)

    def output(self, text: str) -> None:
        """A line that a command printed."""
        self.scenes[-1]["output"].append(text)

    def note(self, text: str) -> None:
        """A sentence about what happens."""
        self.scenes[-1]["notes"].append(text)

    def attack(self, title: str, refused_with: str, because: str) -> None:
        """An attack that was refused."""
        self.scenes[-1]["attacks"].append({"title": title, "code": refused_with, "message": because})

    def end(self, seconds: float) -> None:
        """The scene is over."""
        self.scenes[-1]["seconds"] = round(seconds, 3)


@click.command("demo")
@click.option("--folder", metavar="DIR", type=click.Path(path_type=Path), help="Keep all files in a new DIR.")
@click.option(
    "--stay", is_flag=True, help="Leave registry and Sigstore running at the end, to type the commands again."
)
@click.option("--no-qemu", is_flag=True, help="Boot nothing; a security module in software answers.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@COLOUR_OPTION
def command(folder: Path | None, stay: bool, no_qemu: bool, as_json: bool, colour: str) -> None:
    """Show all of it on this machine: build, publish, verify, ask an enclave, and refuse seven attacks.

    Everything runs on loopback with keys made for this run. An enclave is booted where QEMU with the
    nitro-enclave machine is there (GLASSCLAVE_QEMU, or on PATH).
    """
    if importlib.util.find_spec("glassclave_sandbox") is None:
        raise UnavailableError(
            "demo.missing",
            "the sandbox is not installed",
            hint="it comes with the same checkout: pip install ./sandbox",
        )
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # unwinds: nothing is left behind
    from glassclave_sandbox.demo import run_demo
    from glassclave_sandbox.demo.story import Options

    qemu, why_not = _qemu(no_qemu)
    style = style_of(colour)
    options = Options(folder=folder, qemu=qemu, why_not=why_not, width=style.width - len(_INDENT))
    if as_json:
        record = Record()
        demo = run_demo(record, options)
        shown = {"scenes": record.scenes, "booted": demo.booted, "attacksRefused": demo.attacks}
        click.echo(json_text(shown | {"seconds": round(demo.seconds, 3)}))
        return
    demo = run_demo(Screen(style), options, stay=_stay if stay else None)
    click.echo(f"Done in {demo.seconds:.0f} s, on loopback, with sandbox keys that nobody else trusts.")
    if folder is None:
        click.echo("  --folder DIR   keeps all files, and the last verdict as a page for a browser")
        click.echo("  --stay         leaves registry and Sigstore running, to type the commands again")
    else:
        click.echo(f"Everything it made is in {folder}; the last verdict as a page: {folder}/verdict.html")
    click.echo("For the real thing: glassclave publish --help, glassclave verify --help")


def _qemu(without: bool) -> tuple[Path | None, str]:
    """The program to boot with, or why there is none."""
    from glassclave_sandbox.qemu import find_qemu

    if without:
        return None, "--no-qemu"
    try:
        return find_qemu(os.environ), ""
    except UnavailableError as error:
        return None, f"{error.message} (GLASSCLAVE_QEMU, or on PATH: 9.2 or later with nitro-enclave)"


def _stay(stage: Stage) -> None:
    """Wait for the end that the user wants."""
    click.echo(
        f"Registry and Sigstore go on until you interrupt this. In another shell:\n  cd {stage.folder}"
    )
    click.echo(f"  . {stage.services.write_environment().relative_to(stage.folder)}     # to publish")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
