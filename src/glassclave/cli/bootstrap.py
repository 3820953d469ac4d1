"""``glassclave bootstrap``: the kernel and init that images start with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.group("bootstrap")
def command() -> None:
    """The kernel and init that images start with: what is shipped, what is known.

    To rebuild the shipped ones from source, byte for byte: make bootstrap in a checkout.
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_known(as_json: bool) -> None:
    """PCR1 values whose kernel and init are known, and whose they are."""
    from glassclave.bootstrap import known_bootstraps

    rows = known_bootstraps()
    if as_json:
        print(json.dumps([_record(row) for row in rows], indent=2))
        return
    for row in rows:
        seen = "" if row.computed else "  (seen in documents only)"
        print(f"{row.pcr1}\n  {row.owner}: {row.name}, {row.architecture}{seen}\n  {row.source}")


def _record(row: Any) -> dict[str, object]:
    return {
        "pcr1": row.pcr1,
        "owner": row.owner,
        "name": row.name,
        "architecture": row.architecture,
        "computed": row.computed,
        "source": row.source,
    }


@command.command("verify", short_help="Compare kernel and init with their lock and known PCR1 values.")
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify(directory: Path | None, as_json: bool) -> None:
    """Measure a bootstrap (the shipped one, or the blobs in DIRECTORY) and look its PCR1 up.

    The shipped files are compared with their lock first. Exit status 1 where the PCR1 is not known.
    """
    from glassclave.bootstrap import load_directory, load_shipped, lookup_pcr1, shipped_architectures
    from glassclave.flows.bootstrap import measure_bootstrap

    bootstraps = (
        [load_shipped(architecture) for architecture in shipped_architectures()]
        if directory is None
        else [load_directory(directory)]
    )
    records = []
    for bootstrap in bootstraps:
        pcr1 = measure_bootstrap(bootstrap).hex()
        known = lookup_pcr1(pcr1)
        records.append(
            {
                "name": bootstrap.name,
                "architecture": bootstrap.architecture,
                "kernelVersion": bootstrap.kernel_version,
                "PCR1": pcr1,
                "owner": known.owner if known else None,
            }
        )
    if as_json:
        print(json.dumps(records, indent=2))
    else:
        for record in records:
            print(f"PCR1  {record['PCR1']}\n  {record['name']} {record['architecture']}: {_owner(record)}")
    if any(record["owner"] is None for record in records):
        raise click.exceptions.Exit(1)


def _owner(record: dict[str, Any]) -> str:
    return f"known, {record['owner']}" if record["owner"] else "not known to this version"
