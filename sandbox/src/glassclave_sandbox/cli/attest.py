"""`glassclave-sandbox attest`: the attestation document of an enclave that runs a given image."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from glassclave.attestation.armor import MAX_ARMORED_SIZE, unarmor
from glassclave.digests import parse_hex
from glassclave.eif.reader import read_image
from glassclave.eif.signature import appraise_image
from glassclave.errors import ParseError, UsageError
from glassclave.results import Measurements
from glassclave.streams import open_source, read_small_file, write_atomically
from glassclave_sandbox.names import milliseconds
from glassclave_sandbox.notary import notarize
from glassclave_sandbox.nsm import SoftwareNsm
from glassclave_sandbox.root_store import CERTIFICATE, open_root


@click.command()
@click.argument("image", metavar="FILE.eif", type=click.Path(path_type=Path))
@click.option("--nonce", metavar="HEX", help="What the consumer asked with.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The document to write.")
@click.option(
    "--root",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the test root; it is made there where there is none.",
)
@click.option("--debug", is_flag=True, help="As in debug mode: all PCRs are zero.")
@click.option(
    "--resign",
    metavar="DOC",
    type=click.Path(path_type=Path),
    help="Sign QEMU's unsigned document instead, if it says what is expected of this image and nonce.",
)
def command(
    image: Path, nonce: str | None, output: Path, root: Path, debug: bool, resign: Path | None
) -> None:
    """Write the attestation document that an enclave running FILE.eif would give, under a test root.

    The document has AWS's form; its root says SANDBOX. On the other side:
    glassclave verify … --attestation-root ROOT/attestation-root.pem
    """
    at = datetime.now(UTC)
    asked = None if nonce is None else _nonce(nonce)
    measured = _measure(image)
    issuer = open_root(root, at=at)
    if resign is None:
        pcrs = {} if debug else measured.by_index()
        document = SoftwareNsm(issuer, at=at).document(pcrs=pcrs, timestamp_ms=milliseconds(at), nonce=asked)
    elif debug:
        raise UsageError("sandbox.attest", "--debug has no meaning with --resign")
    else:
        unsigned, _ = unarmor(read_small_file(resign, limit=MAX_ARMORED_SIZE))
        document = notarize(unsigned, root=issuer, expected=measured.by_index(), nonce=asked, at=at)
    with write_atomically(output) as file:
        file.write(document)
    print(f"wrote      {output}, {len(document):,} bytes{', debug mode' if debug else ''}")
    print(f"root       --attestation-root {root / CERTIFICATE}")


def _nonce(text: str) -> bytes:
    try:
        return parse_hex(text, field="--nonce")
    except ParseError as error:
        raise UsageError(error.code, f"--nonce {error.message}") from error


def _measure(image: Path) -> Measurements:
    with open_source(image) as source:
        return appraise_image(read_image(source, name=str(image))).measurements
