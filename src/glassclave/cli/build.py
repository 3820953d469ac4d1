"""``glassclave build``."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glassclave.cli.arguments import as_typed, check_output, parse_seconds, split_words
from glassclave.cli.container import ContainerOptions, container_options, image_source
from glassclave.cli.terminal import TerminalProgress
from glassclave.cli.twice import build_twice, twice_lines, twice_record
from glassclave.cli.workflow import on_github
from glassclave.errors import UsageError
from glassclave.escaping import escape_untrusted
from glassclave.image.config import ProcessOptions
from glassclave.provenance.claimed import PRESERVE
from glassclave.provenance.container import container_record
from glassclave.ramdisk.application import LayoutOptions, LayoutReport
from glassclave.ramdisk.bootstrap import LAYOUT_MTIME
from glassclave.report.outside import outside_lines
from glassclave.report.records import json_text
from glassclave.results import PCR_COVERS
from glassclave.sizes import megabytes

if TYPE_CHECKING:
    from glassclave.flows.build import BuildResult

_LONGEST_NAME = 1024
_SHOWN = 20
"""Lines of each kind of what came from outside: the measurements file has all."""
_RULE_WORDS = {"pyc": ".pyc headers"}
"""What the tree line calls the files that a normalizer changed."""


def build_time(environment: dict[str, str]) -> int:
    """SOURCE_DATE_EPOCH where it is set (it reaches only the unmeasured BuildTime), else 1980-01-01."""
    text = environment.get("SOURCE_DATE_EPOCH")
    if text is None:
        return LAYOUT_MTIME
    seconds = parse_seconds(text)
    if seconds is None:
        raise UsageError(
            "build.source-date-epoch",
            f"SOURCE_DATE_EPOCH={text[:40]!r} is not a number of seconds below 2^32",
            hint="unset it, or set it to what `git log -1 --format=%ct` prints",
        )
    return seconds


def parse_mtime(text: str) -> int | None:
    """Seconds since 1970, or ``None`` for ``preserve``."""
    if text == PRESERVE:
        return None
    seconds = parse_seconds(text)
    if seconds is None:
        raise UsageError("build.mtime", f"--mtime {text[:40]!r} is neither 'preserve' nor seconds below 2^32")
    return seconds


@click.command("build")
@click.argument("source")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The EIF to write.")
@click.option("--cmd", help="Program and arguments: shell words or a JSON array.")
@click.option("--entrypoint", help="Replaces the image's ENTRYPOINT (and drops its CMD).")
@click.option(
    "--env", multiple=True, metavar="NAME=VALUE", help="Adds to the image's environment; repeatable."
)
@click.option("--workdir", help="Working directory of the program.")
@click.option("--user", help="User to run as: name or uid, optionally :group.")
@click.option("--name", default="app", show_default=True, help="ImageName in the metadata (not measured).")
@click.option("--image-version", default="", help="ImageVersion in the metadata (not measured).")
@click.option("--arch", type=click.Choice(["amd64", "arm64"]), help="For folders, or to pick from an index.")
@click.option(
    "--bootstrap", "bootstrap_dir", type=click.Path(path_type=Path), help="Kernel and init from DIR."
)
@click.option(
    "--owner",
    type=click.Choice(["root", "preserve"]),
    default="root",
    show_default=True,
    help="Of files in dir:.",
)
@click.option(
    "--mtime",
    default=str(LAYOUT_MTIME),
    show_default=True,
    help="One time for all files, seconds since 1970 (1980-01-01); or 'preserve'.",
)
@click.option(
    "--spool-dir", type=click.Path(path_type=Path), help="Decoded layers lie here during the build."
)
@click.option(
    "--max-unpacked",
    type=click.IntRange(min=1),
    metavar="BYTES",
    help="Most that the layers may decode to.  [default: 64 GiB]",
)
@container_options
@click.option("--drop-file-capabilities", is_flag=True, help="Accept that file capabilities are lost.")
@click.option("--twice", is_flag=True, help="Build again in other surroundings; status 1 where PCRs differ.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    source: str,
    output: Path,
    cmd: str | None,
    entrypoint: str | None,
    env: tuple[str, ...],
    workdir: str | None,
    user: str | None,
    name: str,
    image_version: str,
    arch: str | None,
    bootstrap_dir: Path | None,
    owner: str,
    mtime: str,
    spool_dir: Path | None,
    max_unpacked: int | None,
    drop_file_capabilities: bool,
    twice: bool,
    as_json: bool,
    **container: Any,
) -> int:
    """Make an enclave image from SOURCE.

    \b
    SOURCE:  FOLDER                  with a Dockerfile, built by docker or buildah
             oci:DIR[:TAG]           an OCI image layout
             oci-archive:FILE[:TAG]  the same in a tar
             docker-archive:FILE[:NAME:TAG]  what docker save writes
             dir:ROOT                a directory that holds a root file system

    The same source gives the same bytes, on every machine, at any time, as any user. SOURCE_DATE_EPOCH sets
    only BuildTime in the metadata, which no PCR covers.
    """
    from glassclave.bootstrap import load_directory, load_shipped
    from glassclave.eif.format import Architecture
    from glassclave.flows.build import BuildRequest, build_image
    from glassclave.flows.source import SourceOptions, open_image
    from glassclave.image.decode import DEFAULT_LIMIT

    check_output(source, output)
    for option, text in (("--name", name), ("--image-version", image_version)):
        if len(text) > _LONGEST_NAME:
            raise UsageError("build.name", f"{option} has {len(text):,} characters, at most {_LONGEST_NAME}")
    request = BuildRequest(
        output=output,
        name=as_typed(name),
        version=as_typed(image_version),
        process=ProcessOptions(
            entrypoint=None if entrypoint is None else split_words(as_typed(entrypoint)),
            cmd=None if cmd is None else split_words(as_typed(cmd)),
            env=tuple(as_typed(setting) for setting in env),
            working_directory=None if workdir is None else as_typed(workdir),
            user=None if user is None else as_typed(user),
        ),
        layout=LayoutOptions(mtime=parse_mtime(mtime), drop_file_capabilities=drop_file_capabilities),
        build_time=build_time(dict(os.environ)),
    )
    quiet = as_json and not on_github()  # there stderr is the job's log, which is kept
    progress = TerminalProgress(quiet=quiet)
    options = SourceOptions(
        architecture=arch,
        preserve_owner=owner == "preserve",
        spool=spool_dir,
        unpacked_limit=max_unpacked or DEFAULT_LIMIT,
    )
    made = ContainerOptions(output=output, arch=arch, spool=spool_dir, quiet=quiet, **container)
    with (
        image_source(source, made, progress) as (place, built),
        open_image(place, options, progress, None if built is None else built.watch) as image,
    ):
        architecture = Architecture.of_oci(image.config.architecture)
        bootstrap = load_directory(bootstrap_dir) if bootstrap_dir else load_shipped(architecture.value)
        request = replace(request, container=None if built is None else built.whole_claim())
        result = build_image(image.tree, image.config, bootstrap, request, progress)
        image_size = image.tree.content_size()
    progress.say("tree", _tree_line(image_size, result.layout))
    progress.say("bootstrap", _bootstrap_line(result))
    progress.step("wrote", f"{output}, {megabytes(result.image.size)}; {result.measurements_file.name}")
    comparison = build_twice(output, progress) if twice else None
    progress.close()
    if as_json:
        compared = {} if comparison is None else {"twice": twice_record(comparison)}
        print(json_text(as_record(output, result) | compared))
    else:
        print("\n".join([*([] if comparison is None else twice_lines(comparison)), *as_text(output, result)]))
    return 0 if comparison is None or comparison.same_pcrs else 1


def _tree_line(size: int, layout: LayoutReport) -> str:
    """``29,118 entries, 411.2 MB; 1,204 times and 312 .pyc headers made constant``."""
    changed = [f"{layout.times_changed:,} file times"] if layout.times_changed else []
    changed += [
        f"{count:,} {_RULE_WORDS.get(name, name)}"
        for name, count in sorted(layout.normalized.items())
        if count
    ]
    made = f"; {' and '.join(changed)} made constant" if changed else ""
    return f"{layout.entries:,} entr{'y' if layout.entries == 1 else 'ies'}, {megabytes(size)}{made}"


def _bootstrap_line(result: BuildResult) -> str:
    known = f"PCR1 known: {result.known.owner}" if result.known else "PCR1 is in no table of ours"
    return f"{result.bootstrap.name} {result.bootstrap.architecture}, {known}"


def as_record(output: Path, result: BuildResult) -> dict[str, Any]:
    """What ``--json`` prints (``docs/spec/build.schema.json``)."""
    measured = result.predicate.measured
    recipe = result.predicate.claimed.recipe
    return {
        "file": str(output),
        "measurementsFile": str(result.measurements_file),
        "size": measured.eif.size,
        "sha256": measured.eif.sha256.hex(),
        "sha384": measured.eif.sha384.hex(),
        "architecture": result.architecture.value,
        "measurements": {
            f"PCR{index}": value.hex() for index, value in measured.measurements.by_index().items()
        },
        "memoryBytes": result.memory_bytes,
        "layout": {
            "name": recipe.layout,
            "mtime": PRESERVE if recipe.mtime is None else recipe.mtime,
            "normalizers": list(recipe.normalizers),
            "entries": result.layout.entries,
            "timesMadeConstant": result.layout.times_changed,
            "normalized": dict(sorted(result.layout.normalized.items())),
        },
        "outside": _outside_record(result),
    }


def _outside_record(result: BuildResult) -> dict[str, object] | None:
    container = result.predicate.claimed.container
    if container is None:
        return None
    record = container_record(container)
    return {name: record[name] for name in ("bases", "added", "outside")}


def _outside_text(result: BuildResult) -> list[str]:
    """What came from outside of the folder that was built."""
    container = result.predicate.claimed.container
    if container is None:
        return []
    return ["", *map(escape_untrusted, outside_lines(container, most=_SHOWN))]


def as_text(output: Path, result: BuildResult) -> list[str]:
    """The lines that end a build: PCRs in full, what is not measured, memory, the next command."""
    measurements = result.image.measurements
    return [
        "",
        *(
            f"PCR{index}  {value.hex()}  {PCR_COVERS[index]}"
            for index, value in measurements.by_index().items()
        ),
        *_outside_text(result),
        "",
        "not measured: name, version, build time."
        f" The enclave needs {-(-result.memory_bytes // 1_000_000):,} MB of memory.",
        f"next: glassclave publish {escape_untrusted(shlex.quote(str(output)))} ghcr.io/OWNER/REPO:TAG",
    ]
