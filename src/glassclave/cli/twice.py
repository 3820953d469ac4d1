"""`build --twice`: the same command again in other surroundings, and what came out differently."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from glassclave.flows.compare import Comparison, compare_images
from glassclave.flows.container import is_folder
from glassclave.progress import Progress

LIMITS = "same machine, same user, soon after, and the same answers of registries and mirrors"
_SHOWN = 40


def build_twice(output: Path, progress: Progress) -> Comparison:
    """Run the command that is running once more, and compare its image with ``output``."""
    from glassclave.clients.again import differing_surroundings, run_again

    context = click.get_current_context()
    with tempfile.TemporaryDirectory(prefix="glassclave-twice-") as name:
        second = Path(name) / "second" / "again.eif"
        second.parent.mkdir()
        changed = {"output": second, "twice": False, "as_json": True}
        run_again(
            words_of(context, changed | _moved(context.params, Path(name))),
            environment=dict(os.environ) | {"TMPDIR": str(second.parent)},
        )
        comparison = compare_images(output, second)
    progress.step("twice", f"built again: {differing_surroundings()}")
    return comparison


def _moved(params: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A folder to build from is copied, so that its path is another one."""
    source, dockerfile = str(params["source"]), params["dockerfile"]
    if not is_folder(source):
        return {}
    copy = folder / "another place" / "with a longer path" / "source"
    shutil.copytree(source, copy, symlinks=True)
    moved: dict[str, Any] = {"source": str(copy)}
    if dockerfile is not None:
        inside = os.path.relpath(os.path.abspath(dockerfile), os.path.abspath(source))
        moved["dockerfile"] = dockerfile if inside.startswith("..") else copy / inside
    return moved


def words_of(context: click.Context, changed: Mapping[str, Any]) -> list[str]:
    """The command of ``context`` as words, with some parameters ``changed``."""
    words, last = [str(context.info_name)], []
    for parameter in context.command.params:
        value = changed.get(str(parameter.name), context.params[str(parameter.name)])
        if isinstance(parameter, click.Argument):
            last.append(str(value))
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            words += [parameter.opts[-1]] if value else []
        elif value is not None:
            # In one word, so that a value that begins with a dash stays one.
            values = value if parameter.multiple else [value]
            words += [f"{max(parameter.opts, key=len)}={each}" for each in values]
    return [*words, "--", *last]


def twice_record(comparison: Comparison) -> dict[str, Any]:
    """For ``--json``."""
    return {
        "sameBytes": comparison.same_bytes,
        "samePcrs": comparison.same_pcrs,
        "differences": [{"path": file.path, "what": file.what} for file in comparison.files],
    }


def twice_lines(comparison: Comparison) -> list[str]:
    """What came out, in words that claim no more."""
    if comparison.same_bytes:
        return [f"twice: the same bytes ({LIMITS})"]
    if comparison.same_pcrs:
        return [
            f"twice: the same PCRs ({LIMITS});",
            "       the metadata differs, which no PCR covers (builders write the time into an image)",
        ]
    lines = [f"twice: DIFFERENT: {len(comparison.files)} files"]
    lines += [f"  {file.path}  {file.what}" for file in comparison.files[:_SHOWN]]
    left = len(comparison.files) - _SHOWN
    return [*lines, f"  and {left} more (--json has all)"] if left > 0 else lines
