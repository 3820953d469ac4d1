"""Evidence beside an artifact: fetched, judged cryptographically, sorted into signatures and statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from glassclave.errors import GlassclaveError, ParseError, RefusedError, UnavailableError
from glassclave.fields import Fields, parse_json
from glassclave.flows.signatures import BUNDLE_MEDIA_TYPE
from glassclave.oci.manifest import Descriptor, parse_manifest
from glassclave.oci.reference import Reference
from glassclave.oci.referrers import MAX_BUNDLE, MAX_REFERRER_MANIFEST, find_referrers, signature_tag
from glassclave.oci.transport import RegistryReader
from glassclave.provenance.cosign import (
    MAX_LAYERS,
    MAX_PAYLOAD,
    PAYLOAD_MEDIA_TYPE,
    SIGN_PREDICATE_TYPE,
    read_layer,
    signed_digest,
)
from glassclave.provenance.evidence import SignatureVerifier, VerifiedSignature
from glassclave.provenance.predicate import PREDICATE_TYPE
from glassclave.provenance.statement import parse_statement

IN_TOTO = "application/vnd.in-toto+json"


@dataclass(slots=True)
class Evidence:
    """What holds cryptographically and names the artifact, and what does not, with its reason.

    ``others``: predicate types of further attestations, which say nothing here (a scan is no signature).
    """

    signatures: list[VerifiedSignature] = field(default_factory=list)
    statements: list[VerifiedSignature] = field(default_factory=list)
    refused: list[GlassclaveError] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def collect_evidence(
    registry: RegistryReader, reference: Reference, digest: str, verifier: SignatureVerifier
) -> Evidence:
    """All evidence about the manifest ``digest``. A registry that fails is an error, never "unsigned"."""
    collector = _Collector(registry, reference, digest, verifier)
    for descriptor in find_referrers(registry, reference, digest):
        collector.judge(descriptor, collector.referrer)
    for layer in _legacy_layers(registry, reference, digest):
        collector.judge(layer, collector.legacy)
    collector.evidence.signatures.sort(key=_place_in_log)
    collector.evidence.statements.sort(key=_place_in_log)
    return collector.evidence


def _place_in_log(signature: VerifiedSignature) -> tuple[int, str]:
    return signature.log_index, signature.kind


@dataclass(slots=True)
class _Collector:
    registry: RegistryReader
    reference: Reference
    digest: str
    verifier: SignatureVerifier
    evidence: Evidence = field(default_factory=Evidence)

    def judge(self, descriptor: Descriptor, take: Callable[[Descriptor], None]) -> None:
        """One bad piece neither helps nor hides a good one; a registry's failure stays an error."""
        try:
            take(descriptor)
        except UnavailableError:
            raise
        except (ParseError, RefusedError) as error:
            self.evidence.refused.append(error)

    def referrer(self, descriptor: Descriptor) -> None:
        """A bundle, if that is what the referrer is."""
        stored = self.registry.fetch_manifest(self.reference, descriptor.digest, limit=MAX_REFERRER_MANIFEST)
        manifest = parse_manifest(stored.data, source=descriptor.digest)
        if len(manifest.layers) != 1 or manifest.layers[0].media_type != BUNDLE_MEDIA_TYPE:
            return
        if manifest.subject is None or manifest.subject.digest != self.digest:
            raise RefusedError(
                "signature.subject.mismatch", "is a referrer of another artifact", source=descriptor.digest
            )
        bundle = self.registry.fetch_small_blob(self.reference, manifest.layers[0], MAX_BUNDLE)
        self._statement(self.verifier.verify_bundle(bundle))

    def _statement(self, signature: VerifiedSignature) -> None:
        if signature.payload_type != IN_TOTO:
            raise RefusedError("signature.payload.kind", f"signs a {signature.payload_type[:100]!r}")
        top = Fields.of(parse_json(signature.payload, source="statement"), source="statement")
        kind = top.text("predicateType", limit=1024)
        if kind not in (SIGN_PREDICATE_TYPE, PREDICATE_TYPE):
            self.evidence.others.append(kind)
            return
        statement = parse_statement(signature.payload, predicate_type=kind)
        if "sha256:" + statement.subject_sha256 != self.digest:
            raise RefusedError("signature.subject.mismatch", "was made for another artifact")
        group = self.evidence.signatures if kind == SIGN_PREDICATE_TYPE else self.evidence.statements
        group.append(signature)

    def legacy(self, layer: Descriptor) -> None:
        """A signature in cosign's `.sig` layout."""
        payload = self.registry.fetch_small_blob(self.reference, layer, MAX_PAYLOAD)
        signature = self.verifier.verify_legacy(read_layer(payload, layer.annotations))
        if signed_digest(payload) != self.digest:
            raise RefusedError("signature.subject.mismatch", "was made for another artifact")
        self.evidence.signatures.append(signature)


def _legacy_layers(registry: RegistryReader, reference: Reference, digest: str) -> Iterator[Descriptor]:
    stored = registry.find_tag(reference, signature_tag(digest))
    if stored is None:
        return
    layers = parse_manifest(stored.data, source=signature_tag(digest)).layers
    yield from [layer for layer in layers if layer.media_type == PAYLOAD_MEDIA_TYPE][:MAX_LAYERS]
