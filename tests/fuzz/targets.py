"""What is fuzzed: one function for each group of formats. Only our own errors may come out of it.

A target takes any bytes. What a checksum would stop at the door is repaired first, so that bytes get behind
it; where a format can be written too, what was read must be written and read again as the same.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from glassclave.attestation.appraisal import appraise_document
from glassclave.attestation.armor import unarmor
from glassclave.attestation.chain import parse_certificate as parse_chain_certificate
from glassclave.attestation.expectation import Expected, Historical
from glassclave.attestation.measurements import parse_measurements
from glassclave.attestation.roots import parse_root
from glassclave.bootstrap.lock import parse_lock
from glassclave.cbor import decode, encode
from glassclave.clients.sigstore_trust import load_trust
from glassclave.clients.sigstore_verifier import SigstoreVerifier
from glassclave.cose import parse_sign1
from glassclave.eif.certificate import parse_certificate as parse_signing_certificate
from glassclave.eif.describe import describe
from glassclave.eif.inspection import inspect_image
from glassclave.eif.metadata import parse_custom_metadata, parse_metadata
from glassclave.eif.reader import read_image
from glassclave.eif.signature import appraise_image, encode_section, parse_signature
from glassclave.errors import GlassclaveError
from glassclave.fields import parse_json
from glassclave.image.codecs import CodecError, codec_of, decoded
from glassclave.image.dockerfile import parse_dockerfile
from glassclave.image.document import parse_config
from glassclave.oci.artifact import read_artifact
from glassclave.oci.manifest import Descriptor, parse_index, parse_manifest
from glassclave.oci.reference import parse_reference
from glassclave.oci.referrers import merge_fallback_index
from glassclave.policy.file import load_policy
from glassclave.provenance.bundle import claimed_predicate_type
from glassclave.provenance.claims import foreign_signer, parse_claims
from glassclave.provenance.cosign import LegacySignature, read_layer, signed_digest
from glassclave.provenance.predicate import parse_predicate, predicate_json
from glassclave.provenance.statement import PREDICATE_TYPE, parse_statement
from glassclave.ramdisk.listing import list_archive
from glassclave.streams import BytesSource
from tests.fuzz.containers import archives, layers
from tests.fuzz.web import answers
from tests.fuzz.words import words

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
MAX_DECODED = 64 << 20
_DIGEST = "sha256:" + "5a" * 32


def eif(data: bytes) -> None:
    """Images, strictly and leniently; and by themselves the parts of one."""
    for image in (data, _with_checksum(data)):
        words(lambda image=image: _image(image))  # type: ignore[misc]
    words(lambda: _signature(data))
    words(lambda: parse_metadata(data))
    words(lambda: parse_custom_metadata(data, source="f"))
    words(lambda: list(list_archive(BytesSource(data), 0, len(data), name="f")))


def _with_checksum(data: bytes) -> bytes:
    """The header's checksum set right (EIF specification, "CRC")."""
    if len(data) < 548:
        return data
    checksum = zlib.crc32(data[548:], zlib.crc32(data[:544]))
    return data[:544] + checksum.to_bytes(4, "big") + data[548:]


def _image(data: bytes) -> None:
    """The lenient reader refuses what the strict one refuses, and both measure the same."""
    try:
        strict = appraise_image(read_image(BytesSource(data), name="f")).measurements
    except GlassclaveError:
        strict = None
    found = inspect_image(BytesSource(data), name="f")
    describe(found)
    assert strict is not None or found.refused
    if strict is not None:
        assert found.measurements is not None
        assert found.measurements.by_index() == strict.by_index()


def _signature(data: bytes) -> None:
    section = parse_signature(data, lenient=True).section
    if not section.byte_strings:
        assert encode_section(section) == data


def document(data: bytes) -> None:
    """CBOR, COSE and attestation documents, and how they come written."""
    words(lambda: _cbor(data))
    words(lambda: parse_sign1(data))
    words(lambda: unarmor(data))
    words(lambda: parse_measurements(data, source="f"))
    expected = Expected(pcrs={index: bytes([index + 1]) * 48 for index in (0, 1, 2)})
    words(lambda: _judged(data, expected))


def _judged(data: bytes, expected: Expected) -> None:
    assert not appraise_document(data, expected=expected, mode=Historical()).passed


def _cbor(data: bytes) -> None:
    value = decode(data, max_depth=32, tags=(18,), booleans=True)
    assert encode(value) == data


def claims(data: bytes) -> None:
    """Certificates: of Sigstore, of a document's chain, of an image's signer, of a root."""
    words(lambda: foreign_signer(parse_claims(data)))
    words(lambda: parse_chain_certificate(data, place="f"))
    words(lambda: parse_root(data, source="f"))
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(data) + b"\n-----END CERTIFICATE-----\n"
    words(lambda: parse_signing_certificate(pem))
    words(lambda: parse_signing_certificate(data))


@cache
def _verifier() -> SigstoreVerifier:
    return SigstoreVerifier(load_trust((VECTORS / "sigstore" / "real2_trusted_root.json").read_bytes()))


def bundle(data: bytes) -> None:
    """Bundles; and JSON with a payload and annotations, as a layer of a ``.sig`` manifest."""
    claimed_predicate_type(data)
    words(lambda: signed_digest(data))
    words(lambda: _verifier().verify_bundle(data))
    words(lambda: load_trust(data))
    words(lambda: _legacy(data))


def _legacy(data: bytes) -> None:
    value = parse_json(data, source="f")
    if not isinstance(value, dict):
        return
    texts = {key: text for key, text in value.items() if isinstance(text, str)}
    signature: LegacySignature = read_layer(texts.get("payload", "").encode(), texts)
    _verifier().verify_legacy(signature)


def manifest(data: bytes) -> None:
    """Manifests, indexes, lists of referrers, and the documents that they lead to."""
    words(lambda: read_artifact(parse_manifest(data, source="f")))
    words(lambda: _index(data))
    words(lambda: parse_config(data, source="f"))
    words(lambda: parse_lock(data, source="f"))
    words(lambda: _predicate(data))
    words(lambda: _statement(data))


def _index(data: bytes) -> None:
    entry = Descriptor("application/vnd.oci.image.manifest.v1+json", _DIGEST, 7)
    known = parse_index(data, source="f").manifests
    merged = parse_index(merge_fallback_index(data, entry), source="f").manifests
    assert merged == (*(one for one in known if one.digest != _DIGEST), entry)


def _predicate(data: bytes) -> None:
    predicate = parse_predicate(data, source="f")
    assert parse_predicate(predicate_json(predicate), source="f") == predicate


def _statement(data: bytes) -> None:
    statement = parse_statement(data, predicate_type=PREDICATE_TYPE)
    parse_predicate(statement.predicate, source="f")


def codecs(data: bytes) -> None:
    """Gzip and zstd: every piece is bounded, and all of it comes to an end."""
    size = 0
    try:
        for piece in decoded(codec_of(data[:6]), _pieces(data)):
            assert len(piece) <= 1 << 20
            size += len(piece)
            if size > MAX_DECODED:
                return
    except CodecError as error:
        assert error.code in ("encoding", "truncated")


def _pieces(data: bytes) -> Iterator[bytes]:
    """Cut in odd places: what a decoder does at the end of a piece matters."""
    at = 0
    for size in (1, 2, 7, 64, 4096, len(data)):
        yield from [data[at : at + size]] if data[at : at + size] else []
        at += size


def texts(data: bytes) -> None:
    """What people write: Dockerfiles, policies, references, JSON."""
    words(lambda: parse_dockerfile(data, source="f", build_args={"V": "1"}))
    words(lambda: load_policy(data, source="f"))
    words(lambda: _json(data))
    words(lambda: _reference(data.decode("utf-8", "replace")))


def _json(data: bytes) -> None:
    value = parse_json(data, source="f")
    assert parse_json(json.dumps(value).encode(), source="f") == value


def _reference(text: str) -> None:
    reference = parse_reference(text)
    assert parse_reference(str(reference)) == reference


TARGETS: dict[str, Callable[[bytes], None]] = {
    "answers": answers,
    "archives": archives,
    "bundle": bundle,
    "claims": claims,
    "codecs": codecs,
    "document": document,
    "eif": eif,
    "layers": layers,
    "manifest": manifest,
    "texts": texts,
}
