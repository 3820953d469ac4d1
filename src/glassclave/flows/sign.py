"""Signing an image file with a key at hand: whole files that were read back, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric import ec

from glassclave import cose
from glassclave.eif.certificate import SigningCertificate
from glassclave.eif.certificate_lint import lint_certificate
from glassclave.eif.format import SectionType
from glassclave.eif.measurement import pcr_of_certificate
from glassclave.eif.reader import EnclaveImage, MeasuredImage, measure_image, read_image
from glassclave.eif.signature import image_signer, read_signature
from glassclave.eif.signing import sign_image
from glassclave.eif.writer import SignatureData
from glassclave.errors import GlassclaveError, RefusedError, UsageError
from glassclave.flows.files import measurements_file
from glassclave.flows.measure import MeasuredFile, measure_file
from glassclave.progress import Progress
from glassclave.provenance.predicate import (
    MAX_SIZE,
    Measured,
    MeasurementPredicate,
    parse_predicate,
    predicate_json,
)
from glassclave.results import Finding, Measurements, Severity
from glassclave.streams import FileSource, open_source, read_small_file, write_atomically

Signer = Callable[[Measurements], SignatureData]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRequest:
    """What to sign with what. ``certificate_file``: PEM, stored in the image as it is; ``at``: the aware
    time for which the certificate is judged. ``output`` may be ``image``: it is replaced then.
    """

    image: Path
    output: Path
    key: ec.EllipticCurvePrivateKey
    certificate_file: bytes
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignResult:
    """What was signed. ``measured`` was read back from the file, PCR8 included.

    ``replaced``: whether there was a signature before, ``replaced_pcr8`` its PCR8 where that could be read.
    ``measurements_file`` is ``None`` where none stood beside the unsigned image.
    """

    measured: Measured
    certificate: SigningCertificate
    algorithm: str
    replaced: bool
    replaced_pcr8: bytes | None
    measurements_file: Path | None
    findings: tuple[Finding, ...]


def sign_file(request: SignRequest, progress: Progress) -> SignResult:
    """Write ``request.image`` with a signature to ``request.output``, and its measurements beside it.

    Nothing takes the place of ``output`` before it was read strictly, its signature held and its PCR0, 1 and
    2 were those of ``image``. Where there is a measurements file of ``image`` its claims go along unchanged.
    Raises what `lint_certificate`, `image_signer`, `read_image`, `sign_image` and `write_atomically` raise,
    `RefusedError` ``eif.sign.measurements``, ``eif.sign.read-back``, `UsageError` ``eif.sign.output``.
    """
    if request.output.name in ("", ".."):
        raise UsageError(
            "eif.sign.output", "names no file", source=str(request.output), hint="give one: -o signed.eif"
        )
    certificate, findings = lint_certificate(request.certificate_file, at=request.at)
    signer = image_signer(request.certificate_file, request.key)
    beside = measurements_file(request.output)
    with open_source(request.image) as source:
        image = read_image(source, name=str(request.image))
        before = measure_image(image, file_digests=True, progress=progress)
        claims = _claims(request.image, before)
        progress.step("read", f"{request.image}, its checksum is right")
        replaced, old_pcr8 = _old_signature(image)
        with write_atomically(request.output) as file:
            after = _write(image, file, signer, _expected(before, certificate), request.output, progress)
            # Before the image, so that no crash leaves an image beside another one's measurements.
            beside.unlink(missing_ok=True)
    if claims is not None:
        with write_atomically(beside) as file:
            file.write(predicate_json(replace(claims, measured=after.measured)))
    return SignResult(
        measured=after.measured,
        certificate=certificate,
        algorithm=cose.algorithm_of(request.key.curve).name,
        replaced=replaced,
        replaced_pcr8=old_pcr8,
        measurements_file=None if claims is None else beside,
        findings=(
            *findings,
            *(breach.finding() for breach in image.warnings),
            *([_replaced(old_pcr8)] if replaced else []),
        ),
    )


def _write(
    image: EnclaveImage,
    file: BinaryIO,
    signer: Signer,
    expected: Measurements,
    name: Path,
    progress: Progress,
) -> MeasuredFile:
    """Sign into ``file`` and read that back as verify does; refused where it is not what was meant."""
    sign_image(image, file, signer, file_digests=False, progress=progress)
    file.flush()
    after = measure_file(FileSource(file, name=str(name)), name=str(name), progress=progress)
    check_read_back(after.measured.measurements, expected)
    return after


def check_read_back(found: Measurements, expected: Measurements) -> None:
    """`RefusedError` ``eif.sign.read-back`` where a register of the signed file is not the one it must be."""
    if found != expected:
        raise RefusedError(
            "eif.sign.read-back",
            "the signed file does not measure as the image that was signed; it was not kept",
            hint="the image may have been changed meanwhile: try again",
        )


def _expected(before: MeasuredImage, certificate: SigningCertificate) -> Measurements:
    return replace(before.measurements, pcr8=pcr_of_certificate(certificate.der))


def _claims(path: Path, before: MeasuredImage) -> MeasurementPredicate | None:
    """The measurements beside the image, if there are any; they have to be of this very file."""
    beside = measurements_file(path)
    if not beside.exists():
        return None
    predicate = parse_predicate(read_small_file(beside, limit=MAX_SIZE), source=str(beside))
    said = predicate.measured
    digests = tuple(section.sha384 for section in said.sections)
    same = (
        (said.eif.size, said.eif.sha256) == (before.size, before.file_sha256)
        and replace(said.measurements, pcr8=None) == before.measurements
        and digests == before.section_digests
    )
    if not same:
        raise RefusedError(
            "eif.sign.measurements",
            "is of another image: its claims would be handed on with this one",
            source=str(beside),
            hint="move it away to sign without it, or build the image again",
        )
    return predicate


def _old_signature(image: EnclaveImage) -> tuple[bool, bytes | None]:
    """Whether there is one, and its PCR8. It goes, so it need not hold nor be readable."""
    if not image.of_type(SectionType.SIGNATURE):
        return False, None
    try:
        signature = read_signature(image)
    except GlassclaveError:
        return True, None
    return True, None if signature is None else signature.pcr8


def _replaced(pcr8: bytes | None) -> Finding:
    whose = "that cannot be read" if pcr8 is None else f"of PCR8 {pcr8.hex()}"
    return Finding(
        code="eif.sign.replaced",
        severity=Severity.NOTE,
        message=f"the image had a signature {whose}; it is replaced",
    )
