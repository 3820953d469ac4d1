"""Evidence beside an artifact: fetched, judged cryptographically, sorted into signatures and statements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from glassclave.errors import GlassclaveError, ParseError, RefusedError, UnavailableError
from glassclave.oci.log_artifact import LogLayers, read_log
from glassclave.oci.manifest import Descriptor, Manifest, parse_manifest
from glassclave.oci.reference import Reference
from glassclave.oci.referrers import MAX_BUNDLE, MAX_REFERRER_MANIFEST, find_referrers, signature_tag
from glassclave.oci.transport import RegistryReader, StoredManifest
from glassclave.provenance.bundle import MEDIA_TYPE, claimed_predicate_type
from glassclave.provenance.cosign import (
    MAX_LAYERS,
    MAX_PAYLOAD,
    PAYLOAD_MEDIA_TYPE,
    SIGN_PREDICATE_TYPE,
    read_layer,
    signed_digest,
)
from glassclave.provenance.evidence import SignatureVerifier, VerifiedSignature
from glassclave.provenance.logged import LOG_PREDICATE_TYPE
from glassclave.provenance.predicate import PREDICATE_TYPE
from glassclave.provenance.rebuild import REBUILD_TYPE, SignedRebuild, parse_rebuild
from glassclave.provenance.statement import parse_statement

IN_TOTO = "application/vnd.in-toto+json"
_OTHER_ARTIFACT = "signature.subject.mismatch"
_STATES_OTHER = "statement.subject.mismatch"


@dataclass(slots=True)
class Pieces:
    """One kind of evidence: what holds and names the artifact, and why the rest does not.

    ``unavailable``: pieces that the registry lists and does not hand out.
    """

    good: list[VerifiedSignature] = field(default_factory=list)
    refused: list[GlassclaveError] = field(default_factory=list)
    unavailable: list[UnavailableError] = field(default_factory=list)

    def reason(self) -> GlassclaveError | None:
        """Why nothing holds: the error of the piece that got furthest; ``None`` where there is no piece.

        Raises `UnavailableError` where a piece could not be had: it might have been the good one.
        """
        if self.unavailable:
            raise self.unavailable[0]
        return min(self.refused, key=_distance, default=None)


def _distance(error: GlassclaveError) -> tuple[int, str, str]:
    """How far from holding, then an order that does not depend on the registry's."""
    if error.code.startswith("identity."):
        rank = 0
    elif error.code in (_OTHER_ARTIFACT, _STATES_OTHER):
        rank = 1
    else:
        rank = 2 if error.code.startswith("signature.") else 3
    return rank, error.code, error.message


@dataclass(slots=True)
class Evidence:
    """All that is said about an artifact.

    ``run_logs``: statements about the log of a whole run; ``logs``: every log that refers to the artifact,
    by whomever. ``rebuilds``: statements of rebuilds that hold and name the artifact; they decide nothing.
    ``others``: predicate types of further attestations, which say nothing here (a scan is no signature).
    """

    signatures: Pieces = field(default_factory=Pieces)
    statements: Pieces = field(default_factory=Pieces)
    run_logs: Pieces = field(default_factory=Pieces)
    logs: list[LogLayers] = field(default_factory=list)
    rebuilds: list[SignedRebuild] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Of a piece that cannot be had nobody knows which kind it is.
        self.statements.unavailable = self.run_logs.unavailable = self.signatures.unavailable


def collect_evidence(
    registry: RegistryReader, reference: Reference, digest: str, verifier: SignatureVerifier
) -> Evidence:
    """All evidence about the manifest ``digest``. A registry that fails is an error, never "unsigned"."""
    collector = _Collector(registry, reference, digest, verifier)
    for descriptor in find_referrers(registry, reference, digest):
        collector.judge(collector.evidence.signatures, partial(collector.referrer, descriptor))
    collector.judge(collector.evidence.signatures, collector.legacy_manifest)
    evidence = collector.evidence
    evidence.logs.sort(key=lambda log: (log.record.digest, log.text.digest))
    for pieces in (evidence.signatures, evidence.statements, evidence.run_logs):
        pieces.good.sort(key=lambda one: (one.log_index, one.certificate_der, one.payload))
    return evidence


@dataclass(slots=True)
class _Collector:
    registry: RegistryReader
    reference: Reference
    digest: str
    verifier: SignatureVerifier
    evidence: Evidence = field(default_factory=Evidence)

    def judge(self, pieces: Pieces, take: Callable[[], None]) -> None:
        """One bad piece neither helps nor hides a good one."""
        try:
            take()
        except UnavailableError as error:
            pieces.unavailable.append(error)
        except (ParseError, RefusedError) as error:
            pieces.refused.append(error)

    def referrer(self, descriptor: Descriptor) -> None:
        """A bundle, if that is what the referrer is: what an index says of it decides nothing."""
        stored = self.registry.fetch_manifest(self.reference, descriptor.digest, limit=MAX_REFERRER_MANIFEST)
        manifest = self._manifest(stored)
        if manifest is None:
            return
        log = read_log(manifest)
        if log is not None and manifest.subject is not None and manifest.subject.digest == self.digest:
            self.evidence.logs.append(log)
        layer = self._bundle_layer(manifest)
        if layer is None:
            return
        data = self.registry.fetch_small_blob(self.reference, layer, MAX_BUNDLE)
        kind = claimed_predicate_type(data)
        if kind == REBUILD_TYPE and self._rebuild(data):
            return
        kinds = {
            PREDICATE_TYPE: self.evidence.statements,
            LOG_PREDICATE_TYPE: self.evidence.run_logs,
            SIGN_PREDICATE_TYPE: self.evidence.signatures,
        }
        wanted = SIGN_PREDICATE_TYPE if kind is None else str(kind)
        if wanted not in kinds:
            self.evidence.others.append(wanted)
            return
        self.judge(kinds[wanted], partial(self._bundle, data, wanted, kinds[wanted]))

    def _manifest(self, stored: StoredManifest) -> Manifest | None:
        try:
            return parse_manifest(stored.data, source=stored.digest)
        except ParseError as error:
            if error.code == "manifest.kind":  # an index, say: nothing that could be a bundle
                return None
            raise

    def _bundle_layer(self, manifest: Manifest) -> Descriptor | None:
        if len(manifest.layers) != 1 or manifest.layers[0].media_type != MEDIA_TYPE:
            return None
        if manifest.subject is None or manifest.subject.digest != self.digest:
            raise RefusedError(_OTHER_ARTIFACT, "is a referrer of another artifact")
        return manifest.layers[0]

    def _rebuild(self, data: bytes) -> bool:
        """Whether it is a rebuild statement that holds; another one is an attestation like any other."""
        try:
            signature = self.verifier.verify_bundle(data)
            statement = parse_statement(signature.payload, predicate_type=REBUILD_TYPE)
            predicate = parse_rebuild(statement.predicate, source="rebuild statement")
        except (ParseError, RefusedError):
            return False
        if signature.payload_type != IN_TOTO or "sha256:" + statement.subject_sha256 != self.digest:
            return False
        self.evidence.rebuilds.append(SignedRebuild(signature, predicate))
        return True

    def _bundle(self, data: bytes, wanted: str, pieces: Pieces) -> None:
        signature = self.verifier.verify_bundle(data)
        if signature.payload_type != IN_TOTO:
            raise RefusedError("signature.payload.kind", f"signs a {signature.payload_type[:100]!r}")
        # The payload that was judged, not the glance, says of which kind it is.
        statement = parse_statement(signature.payload, predicate_type=wanted)
        if "sha256:" + statement.subject_sha256 != self.digest:
            signing = wanted == SIGN_PREDICATE_TYPE
            what = "the signature" if signing else "the statement"
            raise RefusedError(
                _OTHER_ARTIFACT if signing else _STATES_OTHER, f"{what} was made for another artifact"
            )
        pieces.good.append(signature)

    def legacy_manifest(self) -> None:
        """The signatures behind cosign's `.sig` tag, each by itself."""
        tag = signature_tag(self.digest)
        stored = self.registry.find_tag(self.reference, tag)
        if stored is None:
            return
        layers = parse_manifest(stored.data, source=tag).layers
        signed = [layer for layer in layers if layer.media_type == PAYLOAD_MEDIA_TYPE]
        if len(signed) > MAX_LAYERS:
            # As with referrers: one of the rest might be the good one, so there is no judgement.
            raise UnavailableError(
                "registry.signatures.count",
                f"{len(signed)} signatures behind one tag, at most {MAX_LAYERS} are looked at",
                source=f"{self.reference.name}:{tag}",
            )
        for layer in signed:
            self.judge(self.evidence.signatures, partial(self.legacy, layer))

    def legacy(self, layer: Descriptor) -> None:
        """A signature in cosign's `.sig` layout."""
        payload = self.registry.fetch_small_blob(self.reference, layer, MAX_PAYLOAD)
        signature = self.verifier.verify_legacy(read_layer(payload, layer.annotations))
        if signed_digest(signature.payload) != self.digest:
            raise RefusedError(_OTHER_ARTIFACT, "the signature was made for another artifact")
        self.evidence.signatures.good.append(signature)
