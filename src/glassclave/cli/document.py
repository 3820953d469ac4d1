"""Options about an attestation document, the same for `attestation verify` and `verify`."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path

import click

from glassclave.attestation.armor import MAX_ARMORED_SIZE, unarmor
from glassclave.attestation.expectation import DEFAULT_MAX_AGE, Historical, Live
from glassclave.attestation.roots import US_GOV, TrustAnchor, parse_root, us_gov_root
from glassclave.clients.clock import now
from glassclave.digests import parse_hex
from glassclave.errors import GlassclaveError, LimitError, ParseError, UsageError
from glassclave.streams import read_small_file

ROOT_LIMIT = 65536


def read_document(file: str) -> bytes:
    """The raw document in a file, or on standard input for ``-``; hex and base64 text are decoded."""
    if file == "-":
        data = sys.stdin.buffer.read(MAX_ARMORED_SIZE + 1)
        if len(data) > MAX_ARMORED_SIZE:
            raise LimitError("attestation.document.size", f"more than {MAX_ARMORED_SIZE} bytes", source=file)
    else:
        data = read_small_file(Path(file), limit=MAX_ARMORED_SIZE)
    try:
        raw, written_in = unarmor(data)
    except ParseError as error:
        error.source = file
        raise
    if written_in != "raw":
        click.echo(f"note: the document was {written_in} text", err=True)
    return raw


UNSIGNED = (
    "QEMU's virtual NSM signs nothing; to try it out: glassclave-sandbox attest FILE.eif --resign DOC …"
)
"""What to do with a document that no enclave on Nitro gave."""


def explain(error: GlassclaveError, data: bytes, source: str) -> None:
    """Say in ``error`` whose bytes these are and what was wanted."""
    error.source = source
    if error.hint is None and isinstance(error, ParseError):
        # A signature of zeros ends every document of QEMU's.
        unsigned = data.endswith(bytes(64))
        error.hint = UNSIGNED if unsigned else "the document of a Nitro enclave is wanted: raw, hex or Base64"


def mode_of(*, nonce: str | None, historical: bool, at: str | None, max_age: int | None) -> Live | Historical:
    """Live or historical, from the options; `UsageError` ``attestation.mode`` where they do not say."""
    if historical == (nonce is not None):
        raise UsageError(
            "attestation.mode",
            "either the nonce that was sent, or --historical, and not both",
            hint="--nonce HEX asks about now, --historical about the time the document was made",
        )
    time = None if at is None else parse_time(at)
    if nonce is None:
        if max_age is not None:
            raise UsageError("attestation.mode", "--max-age has no meaning with --historical")
        return Historical(at=time)
    age = DEFAULT_MAX_AGE if max_age is None else timedelta(seconds=max(-1, min(max_age, 10**9)))
    return Live(nonce=hex_option(nonce, "--nonce"), at=time or now(), max_age=age)


def parse_time(text: str) -> datetime:
    """A time with its zone. `UsageError` ``attestation.time.*``."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            "attestation.time.syntax", f"--at {text} is not a time", hint="write it as 2026-11-23T06:12:04Z"
        ) from error
    if at.tzinfo is None:
        raise UsageError(
            "attestation.time.naive", f"--at {text} has no time zone", hint=f"for UTC write {at.isoformat()}Z"
        )
    return at


def hex_option(text: str, field: str, size: int | None = None) -> bytes:
    """Bytes given in hex on the command line. `UsageError` ``hex.*``."""
    try:
        return parse_hex(text, field=field, size=size)
    except ParseError as error:
        raise UsageError(error.code, f"{field} {error.message}") from error


def root_of(name: str) -> TrustAnchor:
    """The attestation root that a file, or a name of ours, stands for."""
    if name == US_GOV:
        return us_gov_root()
    return parse_root(read_small_file(Path(name), limit=ROOT_LIMIT), source=name)
