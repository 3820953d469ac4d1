"""``glassclave publish``."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from glassclave.cli.demands import load_trust_file
from glassclave.cli.signing import signing_token
from glassclave.cli.terminal import TerminalProgress
from glassclave.cli.workflow import on_github
from glassclave.errors import UsageError
from glassclave.streams import open_source


@click.command("publish")
@click.argument("image", type=click.Path(path_type=Path), metavar="FILE.eif")
@click.argument("reference", metavar="REGISTRY/REPOSITORY:TAG")
@click.option("--measurements", type=click.Path(path_type=Path), help="What build wrote beside the image.")
@click.option("--trust-config", metavar="FILE", help="Sign with this Sigstore instead of the public one.")
@click.option("--identity-token", metavar="FILE", help="A token to sign with, instead of the job's own.")
@click.option("--info-name", metavar="NAME", help="What the description beside it is called.")
@click.option(
    "--log",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The build's log (glassclave log collect).",
)
@click.option("--no-annotations", is_flag=True, help="No PCRs in the manifest's annotations.")
@click.option("--unsigned", is_flag=True, help="Push and move the tag without signing: nobody can judge it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(
    image: Path,
    reference: str,
    measurements: Path | None,
    trust_config: str | None,
    identity_token: str | None,
    info_name: str | None,
    log: Path | None,
    no_annotations: bool,
    unsigned: bool,
    as_json: bool,
) -> None:
    """Push an image, sign it keyless, read everything back as a consumer does, then move the tag."""
    from glassclave.clients.credentials import DockerConfig
    from glassclave.clients.registry import Registry
    from glassclave.clients.sigstore_signer import open_signer
    from glassclave.clients.sigstore_verifier import SigstoreVerifier
    from glassclave.flows.publish import PublishRequest, publish_image, push_unsigned
    from glassclave.flows.read_back import read_back
    from glassclave.oci.reference import parse_reference
    from glassclave.provenance.claims import foreign_signer
    from glassclave.report.records import json_text

    request = PublishRequest(
        image=image,
        reference=parse_reference(reference),
        measurements=measurements,
        info_name=None if info_name is None else _file_name(info_name),
        annotate=not no_annotations,
        log=log,
    )
    with open_source(image):  # what is wrong here is said before the network is asked for anything
        pass
    progress = TerminalProgress(quiet=as_json and not on_github())
    registry = Registry(DockerConfig(os.environ))
    if unsigned:
        if trust_config is not None or identity_token is not None:
            raise UsageError("publish.unsigned", "--unsigned needs nothing to sign with")
        pushed = push_unsigned(request, registry=registry, progress=progress)
        progress.close()
        shown = {"reference": str(pushed), "digest": pushed.digest}
        click.echo(json_text(shown) if as_json else f"pushed     {pushed}  (not signed)")
        return
    trust = load_trust_file(trust_config)
    token = signing_token(trust, identity_token)
    published = publish_image(
        request,
        registry=registry,
        open_signer=lambda: open_signer(trust, token()),
        read_back=lambda pinned, claims: read_back(
            pinned, claims, registry=registry, signatures=SigstoreVerifier(trust), progress=progress
        ),
        progress=progress,
    )
    progress.close()
    pcrs = published.predicate.measured.measurements.by_index()
    repository = (published.claims.source_repository_uri or "").removeprefix("https://github.com/")
    if as_json:
        click.echo(
            json_text(
                {
                    "reference": str(published.reference),
                    "digest": published.reference.digest,
                    "logIndex": published.log_index,
                    "measurements": {f"PCR{index}": value.hex() for index, value in pcrs.items()},
                    "claims": published.claims.present(),
                }
            )
        )
        return
    signer = foreign_signer(published.claims)
    signed_by = f" --signer-workflow {shlex.quote(signer)}" if signer else ""
    trusting = f" --trust-config {shlex.quote(trust_config)}" if trust_config else ""
    click.echo(f"published  {published.reference}")
    click.echo(f"log index  {published.log_index}")
    click.echo(
        f"next: glassclave verify {shlex.quote(str(published.reference))} --repo {repository}"
        f"{signed_by}{trusting}"
    )


def _file_name(text: str) -> str:
    """A name that is safe as a file's, wherever `oras pull` lays it down."""
    if not text or text.startswith(".") or "/" in text or not text.isprintable():
        raise UsageError("publish.name", "is no name of a file", field=text[:80])
    return text
