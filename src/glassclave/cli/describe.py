"""``glassclave describe``: what an enclave image holds, and its PCRs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from glassclave.eif.describe import describe, measured_into
from glassclave.eif.inspection import Inspection, inspect_image
from glassclave.errors import GlassclaveError
from glassclave.escaping import escape_untrusted
from glassclave.results import PCR_COVERS, Severity
from glassclave.streams import open_source, read_small_file

_SHOWN = 20
"""Lines of each kind of what came from outside."""
_MARKS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


@click.command("describe")
@click.argument("image", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with nitro-cli's keys first.")
def command(image: str, as_json: bool) -> int:
    """Show what an enclave image (EIF) holds, and measure it.

    Nothing is verified: name, version, times and the signer are claims of the file. Exit status 1 where
    verify would refuse the file.
    """
    with open_source(Path(image)) as source:
        inspection = inspect_image(source, name=image)
    if as_json:
        # ASCII only, DEL too: JSON on a terminal must not move the cursor or reorder text.
        text = json.dumps(describe(inspection), indent=2, ensure_ascii=True)
        click.echo(text.replace("\x7f", "\\u007f"))
    else:
        _print("\n".join([*_text(inspection), *_outside(Path(image), inspection)]))
    return 1 if inspection.refused else 0


def _print(text: str) -> None:
    """Print; what the terminal's encoding lacks is written out."""
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def _text(inspection: Inspection) -> Iterator[str]:
    header = inspection.header
    yield (
        f"{escape_untrusted(inspection.name)}  {_size(inspection.size)}, EIF version {header.version},"
        f" {header.architecture}"
    )
    yield ""
    yield from _registers(inspection)
    yield ""
    yield from _sections(inspection)
    yield from _metadata(inspection)
    yield from _signature(inspection)
    yield from _findings(inspection)


def _registers(inspection: Inspection) -> Iterator[str]:
    if inspection.measurements is None:
        yield "no PCR values: the file reads differently for different tools"
        return
    for index, value in inspection.measurements.by_index().items():
        yield f"PCR{index}  {value.hex()}  {PCR_COVERS[index]}"


def _sections(inspection: Inspection) -> Iterator[str]:
    yield f"{'section':<10} {'bytes':>13}  {'sha384':<12}  measured into"
    digests = inspection.section_digests or (None,) * len(inspection.sections)
    for section, digest, registers in zip(
        inspection.sections, digests, measured_into(inspection), strict=True
    ):
        shown = "–" if digest is None else digest.hex()[:12]
        yield f"{section.name:<10} {section.size:>13,}  {shown:<12}  {', '.join(registers) or 'nothing'}"
    crc = "right" if inspection.crc_ok else "WRONG"
    yield f"checksum   {inspection.header.crc32:08x}, {crc}"


def _metadata(inspection: Inspection) -> Iterator[str]:
    yield ""
    metadata = inspection.metadata
    if metadata is None:
        yield "metadata: none that can be read"
        return
    yield "metadata (in no PCR: anyone can change it)"
    rows = {
        "name": metadata.image_name,
        "version": metadata.image_version,
        "built": metadata.build_time,
        "tool": f"{metadata.build_tool} {metadata.build_tool_version}",
        "kernel": f"{metadata.operating_system} {metadata.kernel_version}",
    }
    if isinstance(metadata.custom, dict) and metadata.custom:
        rows["custom"] = json.dumps(metadata.custom, ensure_ascii=False)
    for name, value in rows.items():
        yield f"  {name:<8} {escape_untrusted(value, limit=160)}"


def _signature(inspection: Inspection) -> Iterator[str]:
    yield ""
    signature = inspection.signature
    if signature is None:
        yield "signature: none" if inspection.signature_ok is None else "signature: not readable"
        return
    certificate = signature.certificate
    yield "signature (the certificate comes from this file: it names nobody you know)"
    yield f"  fits     {'yes' if inspection.signature_ok else 'NO'}, {signature.sign1.algorithm.name}"
    issuer = ", ".join(f"{name}={value}" for name, value in certificate.issuer.items())
    yield f"  issuer   {escape_untrusted(issuer, limit=400)}"
    first, last = (f"{time:%Y-%m-%d %H:%M:%SZ}" for time in (certificate.not_before, certificate.not_after))
    yield f"  valid    {first} to {last}"


def _findings(inspection: Inspection) -> Iterator[str]:
    yield ""
    if not inspection.findings:
        yield "findings: none"
        return
    yield "findings"
    for finding in inspection.findings:
        where = "" if finding.where is None else f" ({finding.where})"
        yield f"  {_MARKS[finding.severity]}: {escape_untrusted(finding.message + where)}  {finding.code}"
    if inspection.refused:
        yield "verify would refuse this file"


def _outside(image: Path, inspection: Inspection) -> list[str]:
    """What the measurements file beside the image says, if it is this image's. It is signed by nobody."""
    from glassclave.flows.files import measurements_file

    path = measurements_file(image)
    if not path.exists():
        return []  # as with most images: what reads the file is not loaded
    from glassclave.provenance.predicate import MAX_SIZE, parse_predicate
    from glassclave.report.outside import outside_lines

    try:
        predicate = parse_predicate(read_small_file(path, limit=MAX_SIZE), source=str(path))
    except GlassclaveError:
        return []
    container = predicate.claimed.container
    sections = tuple(section.sha384 for section in predicate.measured.sections)
    if container is None or sections != inspection.section_digests:
        return []
    lines = outside_lines(container, most=_SHOWN)
    return ["", *map(escape_untrusted, lines), f"  ({path.name} says so: signed by nobody)"]


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB ({size:,} bytes)"
