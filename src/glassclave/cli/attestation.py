"""``glassclave attestation``: read a document, or judge it."""

from __future__ import annotations

from pathlib import Path

import click

from glassclave.attestation.appraisal import DocumentAppraisal, appraise_document
from glassclave.attestation.chain import parse_chain
from glassclave.attestation.document import parse_document
from glassclave.attestation.expectation import Expected
from glassclave.attestation.measurements import parse_measurements
from glassclave.attestation.roots import US_GOV
from glassclave.cli.document import explain, hex_option, mode_of, read_document, root_of
from glassclave.cli.style import COLOUR_OPTION, Style, style_of
from glassclave.errors import GlassclaveError, ParseError, RefusedError, UsageError
from glassclave.report.attestation import (
    DOCUMENT_SCHEMA,
    UNBOUND,
    appraisal_record,
    custom_trust,
    document_lines,
    document_record,
    sentence,
)
from glassclave.report.records import json_text
from glassclave.report.text import plain, render_checks, render_findings
from glassclave.results import PCR_SIZE, Measurements, Severity
from glassclave.streams import open_source, read_small_file

_MEASUREMENTS_LIMIT = 1 << 20


@click.group("attestation")
def command() -> None:
    """Read or judge an attestation document of a Nitro enclave.

    FILE is the raw document, or the same as hex or base64 text; - reads standard input.
    """


@command.command("describe")
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def describe(file: str, as_json: bool) -> int:
    """Show what a document says. Nothing is verified."""
    data = read_document(file)
    try:
        document = parse_document(data)
        chain = parse_chain(document.cabundle, document.certificate)
    except GlassclaveError as error:
        explain(error, data, file)
        raise
    if as_json:
        click.echo(
            json_text({"schema": DOCUMENT_SCHEMA, "verified": False, **document_record(document, chain)})
        )
    else:
        click.echo("\n".join(document_lines(document, chain, ascii_only=style_of().ascii_only)))
    return 0


@command.command("verify", short_help="Judge a document against an image or PCRs.")
@click.argument("file")
@click.option("--pcr", "pcrs", multiple=True, metavar="N=HEX", help="An expected PCR; 0, 1 and 2 are needed.")
@click.option("--eif", metavar="FILE", help="Expect what this image measures to.")
@click.option("--measurements", metavar="FILE", help="Expect the PCRs in this JSON file of a build.")
@click.option("--nonce", metavar="HEX", help="Live: the document must hold this nonce (16 bytes or more).")
@click.option(
    "--historical", is_flag=True, help="Judge at the document's own time; proves nothing about now."
)
@click.option("--at", metavar="TIME", help="Judge at this time, for example 2026-11-23T06:12:04Z.")
@click.option("--max-age", type=int, metavar="SECONDS", help="Live: the greatest age.  [default: 300]")
@click.option(
    "--attestation-root",
    metavar="FILE",
    help=f"Trust this root instead of AWS's; '{US_GOV}' is the GovCloud one.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@COLOUR_OPTION
def verify(
    file: str,
    pcrs: tuple[str, ...],
    eif: str | None,
    measurements: str | None,
    nonce: str | None,
    historical: bool,
    at: str | None,
    max_age: int | None,
    attestation_root: str | None,
    as_json: bool,
    colour: str,
) -> int:
    """Judge a document: is it genuine, of these measurements, and an answer to our question?"""
    mode = mode_of(nonce=nonce, historical=historical, at=at, max_age=max_age)
    expected = _expected(pcrs=pcrs, eif=eif, measurements=measurements)
    roots = None if attestation_root is None else [root_of(attestation_root)]
    data = read_document(file)
    try:
        appraisal = appraise_document(data, expected=expected, mode=mode, roots=roots)
    except ParseError as error:
        explain(error, data, file)
        raise
    if as_json:
        click.echo(json_text(appraisal_record(appraisal)))
        return 0 if appraisal.passed else 1
    style = style_of(colour)
    click.echo("\n".join(_lines(appraisal, style)), color=style.colour)
    return 0 if appraisal.passed else 1


def _lines(appraisal: DocumentAppraisal, style: Style) -> list[str]:
    simple, colour, width = style.ascii_only, style.colour, style.width
    headline = custom_trust(appraisal.trust, whole=True)
    lines = [] if headline is None else [plain(headline, ascii_only=simple)]
    checks = [*appraisal.checks, UNBOUND]
    lines += render_checks(checks, ascii_only=simple, colour=colour, width=width)
    if appraisal.findings:
        lines.append("")
        lines += render_findings(appraisal.findings, ascii_only=simple, colour=colour, width=width)
    return [*lines, "", plain(sentence(appraisal), ascii_only=simple)]


def _expected(*, pcrs: tuple[str, ...], eif: str | None, measurements: str | None) -> Expected:
    given = _given_pcrs(pcrs)
    if eif is not None and measurements is not None:
        raise UsageError("attestation.expected.contradiction", "either --eif or --measurements, not both")
    if eif is not None:
        return Expected.of(_measured(eif), also=given)
    if measurements is not None:
        data = read_small_file(Path(measurements), limit=_MEASUREMENTS_LIMIT)
        return Expected.of(parse_measurements(data, source=measurements), also=given)
    return Expected(pcrs=given)


def _given_pcrs(words: tuple[str, ...]) -> dict[int, bytes]:
    given: dict[int, bytes] = {}
    for word in words:
        name, _, value = word.partition("=")
        number = name.upper().removeprefix("PCR")
        if not (number.isascii() and number.isdigit() and len(number) <= 2):
            raise UsageError("attestation.expected.index", f"--pcr {word[:40]} is not N=HEX")
        index = int(number)
        if index in given:
            raise UsageError("attestation.expected.contradiction", f"PCR{index} is given twice")
        given[index] = hex_option(value, f"--pcr {index}", PCR_SIZE)
    return given


def _measured(eif: str) -> Measurements:
    """What an image measures to; an image that `verify` would refuse is no reference."""
    from glassclave.eif.inspection import inspect_image  # only this option needs the EIF room

    with open_source(Path(eif)) as source:
        inspection = inspect_image(source, name=eif)
    for finding in inspection.findings:
        if finding.severity is Severity.ERROR:
            raise RefusedError(finding.code, finding.message, field=finding.where, source=eif)
    if inspection.measurements is None:
        raise RefusedError("attestation.expected.eif", "has no measurements to expect", source=eif)
    return inspection.measurements
