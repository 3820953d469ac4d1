"""The signature section: CBOR around a PEM certificate and a COSE_Sign1 over PCR0 (EIF specification).

A signature is judged by a certificate from the same file: it proves that the holder of that key signed PCR0,
and nothing about who that is. Compare PCR8, or the certificate, with what you expect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric import ec

from glassclave import cbor, cose
from glassclave.digests import same_bytes
from glassclave.eif.certificate import SigningCertificate, parse_certificate
from glassclave.eif.format import SIGNATURE_MAX_SIZE, SectionType
from glassclave.eif.measurement import pcr_of_certificate
from glassclave.eif.reader import EnclaveImage, MeasuredImage, measure_image
from glassclave.eif.writer import SignatureData
from glassclave.errors import GlassclaveError, LimitError, ParseError, RefusedError, UsageError
from glassclave.progress import Progress
from glassclave.results import PCR_SIZE, Measurements

_CERTIFICATE, _SIGNATURE = "signing_certificate", "signature"
_INDEX, _VALUE = "register_index", "register_value"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureSection:
    """Content of the section. ``certificate_file``: PEM text as it was given; ``sign1``: a COSE_Sign1.

    ``byte_strings``: it was written with CBOR byte strings where AWS writes arrays of numbers.
    """

    certificate_file: bytes
    sign1: bytes
    byte_strings: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSignature:
    """A parsed signature. Nothing in it is to be believed before `check_signature`."""

    section: SignatureSection
    certificate: SigningCertificate
    sign1: cose.Sign1

    @property
    def pcr8(self) -> bytes:
        """PCR8 that hardware reports for an image with this signature."""
        return pcr_of_certificate(self.certificate.der)


def encode_section(section: SignatureSection) -> bytes:
    """Section data as AWS's builder writes it: both values as arrays of numbers, certificate first."""
    return cbor.encode([{_CERTIFICATE: list(section.certificate_file), _SIGNATURE: list(section.sign1)}])


def decode_section(data: bytes, *, lenient: bool = False) -> SignatureSection:
    """Content of section data; `ParseError` ``eif.signature.*`` or ``cbor.*``.

    ``lenient`` takes byte strings instead of arrays of numbers too: tools differ about them.
    """
    if len(data) > SIGNATURE_MAX_SIZE:
        raise LimitError(
            "eif.signature.size", f"has {len(data)} bytes, at most {SIGNATURE_MAX_SIZE} are allowed"
        )
    value = cbor.decode(data, max_depth=4)
    if not isinstance(value, list) or len(value) != 1:
        # Tools use element 0 and ignore the rest (image-format issue 36): a second one has no meaning.
        raise ParseError("eif.signature.shape", "is not an array of exactly one signature")
    entry = value[0]
    if not isinstance(entry, dict) or list(entry) != [_CERTIFICATE, _SIGNATURE]:
        raise ParseError("eif.signature.shape", f"is not a map of {_CERTIFICATE} and {_SIGNATURE}")
    byte_strings = any(isinstance(part, bytes) for part in entry.values())
    if byte_strings and not lenient:
        raise ParseError("eif.signature.byte-string", "holds byte strings, the format has arrays of numbers")
    return SignatureSection(
        certificate_file=_bytes(entry[_CERTIFICATE], _CERTIFICATE),
        sign1=_bytes(entry[_SIGNATURE], _SIGNATURE),
        byte_strings=byte_strings,
    )


def parse_signature(data: bytes, *, lenient: bool = False) -> ImageSignature:
    """Signature of section data; `ParseError` ``eif.signature.*``, ``eif.certificate.*``, ``cose.*``."""
    section = decode_section(data, lenient=lenient)
    return ImageSignature(
        section=section,
        certificate=parse_certificate(section.certificate_file),
        sign1=cose.parse_sign1(section.sign1),
    )


def check_signature(signature: ImageSignature, pcr0: bytes) -> None:
    """Return when the certificate's key signed ``pcr0`` (48 bytes).

    Raises `RefusedError` ``cose.*`` where it is not that key's signature, ``eif.signature.payload`` where
    another image was signed. Judges neither dates nor whose certificate it is.
    """
    cose.verify_sign1(signature.sign1, signature.certificate.public_key)
    if not same_bytes(_signed_pcr0(signature.sign1.payload), pcr0):
        raise RefusedError("eif.signature.payload", "the signature is of an image with another PCR0")


def read_signature(image: EnclaveImage) -> ImageSignature | None:
    """Signature of a strictly read image, not yet checked; ``None`` where it is unsigned."""
    sections = image.of_type(SectionType.SIGNATURE)
    if not sections:
        return None
    return parse_signature(image.data(sections[0], limit=SIGNATURE_MAX_SIZE))


def appraise_image(
    image: EnclaveImage, *, file_digests: bool = False, progress: Progress | None = None
) -> MeasuredImage:
    """Measure a strictly read image and check its signature, where it has one: what verify asks of a file.

    ``measurements`` has PCR8 then. Raises what `measure_image`, `read_signature` and `check_signature` raise.
    """
    measured = measure_image(image, file_digests=file_digests, progress=progress)
    signature = read_signature(image)
    if signature is None:
        return measured
    check_signature(signature, measured.measurements.pcr0)
    return replace(measured, measurements=replace(measured.measurements, pcr8=signature.pcr8))


def payload_of(pcr0: bytes) -> bytes:
    """What is signed: register 0 and its value, as an array of numbers."""
    return cbor.encode({_INDEX: 0, _VALUE: list(pcr0)})


def image_signer(certificate_file: bytes, private_key: object) -> Callable[[Measurements], SignatureData]:
    """What `ImagePlan.sign` wants: signs PCR0 with a key on P-256, P-384 or P-521.

    The same image and key give the same bytes (RFC 6979). Raises `UsageError` ``eif.sign.*`` where key and
    certificate do not belong together or cannot sign.
    """
    if not isinstance(private_key, ec.EllipticCurvePrivateKey):
        raise UsageError(
            "eif.sign.key", "only elliptic curve keys sign enclave images", hint="use P-256, P-384 or P-521"
        )
    cose.algorithm_of(private_key.curve)
    try:
        certificate = parse_certificate(certificate_file)
    except GlassclaveError as error:
        raise UsageError("eif.sign.certificate", error.message, hint=error.hint) from error
    if certificate.public_key.public_numbers() != private_key.public_key().public_numbers():
        raise UsageError("eif.sign.pair", "the private key does not belong to the first certificate")
    key = private_key

    def sign(measurements: Measurements) -> SignatureData:
        sign1 = cose.sign_sign1(payload_of(measurements.pcr0), key)
        section = SignatureSection(certificate_file=certificate_file, sign1=sign1)
        return SignatureData(encode_section(section), certificate.der)

    return sign


def _signed_pcr0(payload: bytes) -> bytes:
    value = cbor.decode(payload, max_depth=2, max_items=64)
    if not isinstance(value, dict) or list(value) != [_INDEX, _VALUE] or value[_INDEX] != 0:
        raise RefusedError("eif.signature.payload", "what was signed is not the value of PCR0")
    pcr0 = _bytes(value[_VALUE], _VALUE)
    if len(pcr0) != PCR_SIZE:
        raise RefusedError("eif.signature.payload", f"the signed PCR0 has {len(pcr0)} bytes, not {PCR_SIZE}")
    return pcr0


def _bytes(value: object, field: str) -> bytes:
    """Bytes of an array of numbers (a Rust ``Vec<u8>`` without a byte string's encoding)."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, list):
        raise ParseError("eif.signature.shape", "is not an array of bytes", field=field)
    for index, number in enumerate(value):
        if not isinstance(number, int) or not 0 <= number <= 255:
            raise ParseError("eif.signature.byte", "is not a byte", field=f"{field}[{index}]")
    return bytes(value)
