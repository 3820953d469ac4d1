"""`glassclave-sandbox services`: a Sigstore and a registry on loopback until it is interrupted."""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path

import click

from glassclave_sandbox.services import Services


def _claims(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Each ``NAME=VALUE`` as a claim of the tokens."""
    claims: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{value!r} is not NAME=VALUE, for example ref=refs/tags/v1")
        claims[name] = text
    return claims


@click.command()
@click.option(
    "--state",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for trust files, PEMs, env.sh and the registry's blobs.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the Sigstore; any free one: 0.")
@click.option("--no-referrers", is_flag=True, help="A registry without the referrers API, as ghcr.io.")
@click.option("--no-registry", is_flag=True, help="No registry at all.")
@click.option(
    "--claim",
    "claims",
    multiple=True,
    callback=_claims,
    metavar="NAME=VALUE",
    help="A claim of the tokens that env.sh leads to, for example repository=acme/app. Repeatable.",
)
def command(state: Path, port: int, no_referrers: bool, no_registry: bool, claims: dict[str, str]) -> None:
    """Serve Fulcio, Rekor, a time-stamp authority, GitHub-shaped tokens and a registry, on loopback only.

    Keys are made for this run and trusted by nobody else. Runs until it is interrupted.
    """
    with Services(state, referrers_api=not no_referrers, registry=not no_registry, port=port) as services:
        environment = services.write_environment(**claims)
        print(f"sigstore   {services.url}  (Fulcio, Rekor, time-stamps, tokens)")
        if services.registry:
            note = ", without referrers API" if no_referrers else ""
            print(f"registry   {services.registry}  (plain HTTP{note})")
        print(f"trust      --trust-config {services.trust_config}")
        print(f"as a job   . {environment}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):  # how it is meant to end
            threading.Event().wait()
    print(f"stopped; {state} keeps what was written", file=sys.stderr)
