"""``glassclave verify``."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import click

from glassclave.cli.demands import load_trust_file, policy_of, policy_options
from glassclave.cli.document import explain, mode_of, parse_time, read_document, root_of
from glassclave.cli.style import COLOUR_OPTION, style_of
from glassclave.cli.terminal import TerminalProgress
from glassclave.errors import ParseError, RefusedError, UsageError
from glassclave.streams import CHUNK_SIZE, make_folder, write_atomically

_LEVELS = ("provenance", "attested-at", "live-unbound", "live")


@click.command("verify")
@click.argument("reference", metavar="REF")
@policy_options
@click.option(
    "--accept-unstated",
    is_flag=True,
    help="Judge an image too of which nobody states what it measures; the level is then unstated.",
)
@click.option("--document", metavar="FILE", help="Document of the running enclave: raw, hex or Base64.")
@click.option("--nonce", metavar="HEX", help="The nonce that the document must hold.")
@click.option("--historical", is_flag=True, help="Judge the document at its own time.")
@click.option(
    "--require",
    "required",
    type=click.Choice(_LEVELS),
    help="Level to reach. Default: the highest whose input is given. Nothing reaches live yet.",
)
@click.option(
    "--save",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="If it passes, keep image.eif and, where stated, image.measurements.json there.",
)
@click.option("--html", "page", metavar="FILE", type=click.Path(path_type=Path), help="Write a page too.")
@click.option("--trust-config", metavar="FILE", help="Trust this Sigstore instead of the public one.")
@click.option("--attestation-root", metavar="FILE", help="Trust this root instead of AWS's.")
@click.option("--at", metavar="TIME", help="Judge the document at this time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@COLOUR_OPTION
def command(
    reference: str,
    accept_unstated: bool,
    document: str | None,
    nonce: str | None,
    historical: bool,
    required: str | None,
    save: Path | None,
    page: Path | None,
    trust_config: str | None,
    attestation_root: str | None,
    at: str | None,
    as_json: bool,
    colour: str,
    **policy: Any,
) -> int:
    """Judge a published image: who built it from what, and whether its bytes are what was stated.

    With a document of a running enclave also: is that what runs? Exit status 0 only where the required level
    is reached; without --repo or --policy nothing is judged.
    """
    from glassclave.clients.credentials import DockerConfig
    from glassclave.clients.registry import Registry
    from glassclave.clients.sigstore_verifier import SigstoreVerifier
    from glassclave.flows.verify import Document, VerifyRequest, verify_reference
    from glassclave.oci.reference import parse_reference
    from glassclave.policy.verdict import Level
    from glassclave.report.records import json_text
    from glassclave.report.verdict import verdict_lines, verdict_record

    if page is not None and save is not None:
        _keep_apart(page, save)
    demanded = policy_of(**policy, accept_unstated=accept_unstated)
    judged = None
    if document is not None:
        roots = None if attestation_root is None else (root_of(attestation_root),)
        mode = mode_of(nonce=nonce, historical=historical, at=at, max_age=None)
        judged = Document(data=_readable(read_document(document), document), mode=mode, roots=roots)
    elif nonce is not None or historical or attestation_root is not None or at is not None:
        raise UsageError("verify.document.missing", "there is no document to judge", hint="--document FILE")
    request = VerifyRequest(
        reference=parse_reference(reference),
        policy=demanded,
        document=judged,
        required=None if required is None else Level(required),
    )
    trust = load_trust_file(trust_config)
    progress = TerminalProgress(quiet=as_json)
    outcome = verify_reference(
        request,
        registry=Registry(DockerConfig(os.environ)),
        signatures=SigstoreVerifier(trust),
        progress=progress,
    )
    progress.close()
    verdict = outcome.verdict
    with closing(outcome):
        if save is not None and outcome.image is not None:
            from glassclave.provenance.predicate import predicate_json

            stated = outcome.predicate
            _save(save, outcome.image, None if stated is None else predicate_json(stated))
    if page is not None:
        from glassclave.clients.clock import now
        from glassclave.report.html import verdict_page

        with write_atomically(page) as file:
            file.write(verdict_page(verdict, at=now() if at is None else parse_time(at)).encode())
    if as_json:
        click.echo(json_text(verdict_record(verdict)))
    else:
        style = style_of(colour)
        lines = verdict_lines(verdict, ascii_only=style.ascii_only, colour=style.colour, width=style.width)
        click.echo("\n".join(lines), color=style.colour)
    return 0 if verdict.passed else 1


def _keep_apart(page: Path, save: Path) -> None:
    """The page must not take the place of what is saved."""
    saved = {os.path.realpath(save / name) for name in ("image.eif", "image.measurements.json")}
    if os.path.realpath(page) in saved:
        raise UsageError("verify.page", "the page would replace a file that is saved", source=str(page))


def _readable(data: bytes, source: str) -> bytes:
    """The document, refused before anything is fetched where it is none. What it says is judged later."""
    from glassclave.attestation.document import parse_document

    try:
        parse_document(data)
    except ParseError as error:
        explain(error, data, source)
        raise
    except RefusedError:
        pass  # a document of another kind: the verdict names it
    return data


def _save(directory: Path, image: BinaryIO, measurements: bytes | None) -> None:
    """The judged bytes, not another download. No crash leaves an image beside another's measurements.

    An image that nobody states anything of stands alone: what was measured here is not a signed statement.
    """
    measured = directory / "image.measurements.json"
    make_folder(directory)
    with write_atomically(directory / "image.eif") as file:
        image.seek(0)
        while piece := image.read(CHUNK_SIZE):
            file.write(piece)
        measured.unlink(missing_ok=True)
    if measurements is None:
        return
    with write_atomically(measured) as file:
        file.write(measurements)
