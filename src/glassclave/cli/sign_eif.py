"""``glassclave sign-eif``: AWS's own signature in an image, with a key at hand."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glassclave.cli.terminal import TerminalProgress
from glassclave.errors import GlassclaveError, UsageError
from glassclave.escaping import escape_untrusted
from glassclave.report.records import finding_record, json_text
from glassclave.results import PCR_COVERS, Severity
from glassclave.streams import read_small_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from glassclave.flows.sign import SignResult


@click.command("sign-eif", short_help="Sign an image with a key of yours, for PCR8.")
@click.argument("image", metavar="IMAGE.eif", type=click.Path(path_type=Path))
@click.option("--key", required=True, metavar="KEY.pem", help="The private key: PEM, on P-384.")
@click.option(
    "--certificate",
    required=True,
    metavar="CERT.pem",
    type=click.Path(path_type=Path),
    help="The certificate of that key, alone: PCR8 is of it.",
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The signed EIF to write."
)
@click.option(
    "--key-password-file",
    "password_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Holds the password of an encrypted key; a newline at its end is cut off.",
)
@click.option("--at", metavar="TIME", help="Judge the certificate's dates at this time.  [default: now]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    image: Path,
    key: str,
    certificate: Path,
    output: Path,
    password_file: Path | None,
    at: str | None,
    as_json: bool,
) -> int:
    """Put AWS's own signature into an enclave image, replacing one that is there.

    PCR0, 1 and 2 stay; PCR8 becomes that of the certificate. The same image, key and certificate give the
    same bytes. OUTPUT may be IMAGE.eif. Where IMAGE.measurements.json stands beside it, the signed image
    gets one, too. Whatever goes wrong, OUTPUT is a signed image or what it was before.
    """
    from glassclave.eif.format import SIGNATURE_MAX_SIZE
    from glassclave.flows.sign import SignRequest, sign_file

    request = SignRequest(
        image=image,
        output=output,
        key=_read_key(key, password_file),
        certificate_file=read_small_file(certificate, limit=SIGNATURE_MAX_SIZE),
        at=_time(at),
    )
    progress = TerminalProgress(quiet=as_json)
    try:
        result = sign_file(request, progress)
    except GlassclaveError as error:
        if error.source is None and "certificate" in error.code.split("."):
            error.source = str(certificate)
        raise
    beside = "" if result.measurements_file is None else f"; {result.measurements_file.name}"
    progress.step("signed", f"{output}, {result.algorithm}{beside}")
    progress.close()
    if as_json:
        print(json_text(as_record(request.output, request.at, result)))
    else:
        print("\n".join(as_text(request.output, result)))
    return 0


def _read_key(name: str, password_file: Path | None) -> ec.EllipticCurvePrivateKey:
    from glassclave.eif.signing_key import KEY_MAX_SIZE, parse_signing_key

    if name.startswith("arn:"):
        raise UsageError(
            "eif.sign.key.kms",
            "keys in AWS KMS cannot be used, only files",
            hint="sign with nitro-cli sign-eif, once, an image that is not signed yet",
        )
    password = None
    if password_file is not None:
        password = read_small_file(password_file, limit=KEY_MAX_SIZE).removesuffix(b"\n").removesuffix(b"\r")
        if not password:
            raise UsageError("eif.sign.key.password", "holds no password", source=str(password_file))
    return parse_signing_key(read_small_file(Path(name), limit=KEY_MAX_SIZE), source=name, password=password)


def _time(text: str | None) -> datetime:
    from glassclave.cli.document import parse_time
    from glassclave.clients.clock import now

    if text is None:
        return now()
    try:
        return parse_time(text)
    except UsageError as error:
        raise UsageError("eif.sign.time", error.message, hint=error.hint) from error


def as_record(output: Path, at: datetime, result: SignResult) -> dict[str, Any]:
    """What ``--json`` prints (``docs/spec/sign-eif.schema.json``)."""
    measured, certificate = result.measured, result.certificate
    beside = result.measurements_file
    return {
        "file": str(output),
        "measurementsFile": None if beside is None else str(beside),
        "size": measured.eif.size,
        "sha256": measured.eif.sha256.hex(),
        "sha384": measured.eif.sha384.hex(),
        "architecture": measured.architecture,
        "measurements": {
            f"PCR{index}": value.hex() for index, value in measured.measurements.by_index().items()
        },
        "signature": {
            "algorithm": result.algorithm,
            "replaced": result.replaced,
            "replacedPcr8": None if result.replaced_pcr8 is None else result.replaced_pcr8.hex(),
        },
        "certificate": {
            "issuer": certificate.issuer,
            "notBefore": _utc(certificate.not_before),
            "notAfter": _utc(certificate.not_after),
        },
        "at": _utc(at),
        "findings": [finding_record(finding) for finding in result.findings],
    }


def as_text(output: Path, result: SignResult) -> list[str]:
    """PCRs in full, whose certificate it is and for how long, what is odd, the next command."""
    certificate = result.certificate
    issuer = ", ".join(f"{name}={value}" for name, value in certificate.issuer.items())
    marks = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}
    return [
        "",
        *(
            f"PCR{index}  {value.hex()}  {PCR_COVERS[index]}"
            for index, value in result.measured.measurements.by_index().items()
        ),
        "",
        f"certificate issued by {escape_untrusted(issuer, limit=400)}",
        f"valid {_utc(certificate.not_before)} to {_utc(certificate.not_after)}: no enclave starts outside",
        *(
            f"{marks[finding.severity]}: {escape_untrusted(finding.message)}  {finding.code}"
            for finding in result.findings
        ),
        f"next: glassclave publish {escape_untrusted(shlex.quote(str(output)))} ghcr.io/OWNER/REPO:TAG",
    ]


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
