"""A registry and a Sigstore in memory, an artifact with its evidence, and ways to bend one thing of it.

Both are fakes of the protocols that flows ask for. A "bundle" of this Sigstore is JSON that says who signed;
one with ``"broken": code`` is refused with that code.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import BinaryIO

from glassclave.digests import sha256_digest
from glassclave.eif.describe import describe
from glassclave.eif.inspection import inspect_image
from glassclave.errors import LimitError, RefusedError, UnavailableError
from glassclave.fields import parse_json
from glassclave.flows.measure import measure_file
from glassclave.flows.verify import Document, VerifyOutcome, VerifyRequest, verify_reference
from glassclave.oci.artifact import BlobInfo, plan_artifact
from glassclave.oci.log_artifact import plan_log
from glassclave.oci.manifest import (
    EMPTY_DESCRIPTOR,
    MANIFEST_MEDIA_TYPE,
    MAX_MANIFEST,
    Descriptor,
    build_manifest,
)
from glassclave.oci.reference import Reference
from glassclave.oci.referrers import signature_tag
from glassclave.oci.transport import StoredManifest
from glassclave.policy.model import Policy
from glassclave.policy.verdict import Level
from glassclave.progress import Progress, Silent
from glassclave.provenance.bundle import MEDIA_TYPE
from glassclave.provenance.claimed import SourceClaim
from glassclave.provenance.claims import Claims
from glassclave.provenance.cosign import (
    CERTIFICATE,
    PAYLOAD_MEDIA_TYPE,
    SIGN_PREDICATE_TYPE,
    SIGNATURE,
    LegacySignature,
    build_payload,
)
from glassclave.provenance.evidence import TrustRoot, VerifiedSignature
from glassclave.provenance.predicate import PREDICATE_TYPE, MeasurementPredicate, predicate_json
from glassclave.provenance.statement import build_statement
from glassclave.results import Status
from glassclave.streams import BytesSource
from tests.unit.eif.images import write
from tests.unit.provenance.predicates import SIGNED

NAME = "registry.example/o/r"
REFERENCE = Reference("registry.example", "o/r", tag="1.2")
COMMIT = "7f3e" * 10
SIGNER = "https://github.com/acme/hello/.github/workflows/build.yml@refs/tags/1.2"
GOOD = Claims(
    san_uri=SIGNER,
    issuer="https://token.actions.githubusercontent.com",
    build_signer_uri=SIGNER,
    build_signer_digest=COMMIT,
    build_config_uri=SIGNER,
    build_config_digest=COMMIT,
    runner_environment="github-hosted",
    source_repository_uri="https://github.com/acme/hello",
    source_repository_digest=COMMIT,
    source_repository_ref="refs/tags/1.2",
    build_trigger="push",
    run_invocation_uri="https://github.com/acme/hello/actions/runs/777/attempts/1",
    visibility="public",
)
EVIL = replace(
    GOOD,
    san_uri=SIGNER.replace("hello", "evil"),
    build_signer_uri=SIGNER.replace("hello", "evil"),
    source_repository_uri="https://github.com/acme/evil",
    run_invocation_uri="https://github.com/acme/evil/actions/runs/1",
)
PUBLIC = TrustRoot(name="Sigstore public good", sha256="ab" * 32, public_good=True)
CUSTOM = TrustRoot(name="SANDBOX", sha256="cd" * 32, public_good=False)
SIGNED_AT = datetime(2026, 11, 23, 6, 12, 4, tzinfo=UTC)
IMAGE = write()[0]


@dataclass
class MemoryRegistry:
    """`RegistryReader`. ``lost``: digests and tags that it lists and does not hand out.

    ``heads``: first bytes of blobs where it lies about them.
    """

    manifests: dict[str, StoredManifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    referrers: list[Descriptor] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    heads: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def put_manifest(self, data: bytes, tag: str | None = None) -> str:
        digest = sha256_digest(data)
        self.manifests[digest] = StoredManifest(digest, data, MANIFEST_MEDIA_TYPE)
        if tag is not None:
            self.tags[tag] = digest
        return digest

    def put_blob(
        self, media_type: str, data: bytes, annotations: Mapping[str, str] | None = None
    ) -> Descriptor:
        self.blobs[sha256_digest(data)] = data
        return Descriptor(media_type, sha256_digest(data), len(data), annotations or {})

    def _hand_out(self, name: str) -> None:
        self.asked.append(name)
        if name in self.lost:
            raise UnavailableError("registry.not-found", "there is no such thing", source=name)

    def resolve(self, ref: Reference) -> StoredManifest:
        return self.fetch_manifest(ref, ref.digest or self.tags[ref.tag or ""])

    def find_tag(self, ref: Reference, tag: str) -> StoredManifest | None:
        self._hand_out(tag)
        return self.manifests[self.tags[tag]] if tag in self.tags else None

    def fetch_manifest(self, ref: Reference, digest: str, *, limit: int = MAX_MANIFEST) -> StoredManifest:
        self._hand_out(digest)
        if len(self.manifests[digest].data) > limit:
            raise LimitError("registry.size", f"answers with more than {limit} bytes")
        return self.manifests[digest]

    def fetch_small_blob(self, ref: Reference, descriptor: Descriptor, limit: int) -> bytes:
        self._hand_out(descriptor.digest)
        if descriptor.size > limit:
            raise LimitError("registry.blob.size", f"has {descriptor.size} bytes, at most {limit} are read")
        return self.blobs[descriptor.digest]

    def fetch_blob_head(self, ref: Reference, descriptor: Descriptor, length: int) -> bytes:
        self._hand_out(f"{descriptor.digest}[:{length}]")
        return self.heads.get(descriptor.digest, self.blobs[descriptor.digest])[:length]

    def fetch_blob_to(
        self, ref: Reference, descriptor: Descriptor, file: BinaryIO, progress: Progress
    ) -> None:
        self._hand_out(descriptor.digest)
        file.write(self.blobs[descriptor.digest])

    def list_referrers(self, ref: Reference, digest: str) -> tuple[Descriptor, ...] | None:
        self._hand_out("referrers")
        return tuple(self.referrers)


@dataclass(frozen=True)
class MemorySigstore:
    """`SignatureVerifier`: believes what `seal` and `Published.sign` write."""

    trust: TrustRoot = PUBLIC

    def verify_bundle(self, bundle: bytes) -> VerifiedSignature:
        sealed = parse_json(bundle, source="bundle")
        assert isinstance(sealed, dict)
        payload = base64.b64decode(sealed["dsseEnvelope"]["payload"])
        return _verified("bundle", sealed, payload, sealed["payloadType"])

    def verify_legacy(self, signature: LegacySignature) -> VerifiedSignature:
        sealed = json.loads(signature.certificate)
        return _verified("cosign", sealed, signature.payload, PAYLOAD_MEDIA_TYPE)


def _verified(kind: str, sealed: dict[str, object], payload: bytes, payload_type: str) -> VerifiedSignature:
    if "broken" in sealed:
        raise RefusedError(str(sealed["broken"]), "does not hold")
    said = sealed["claims"]
    assert isinstance(said, dict)
    return VerifiedSignature(
        kind=kind,
        claims=Claims(**said),
        signed_at=SIGNED_AT,
        log_index=int(str(sealed["log"])),
        payload_type=payload_type,
        payload=payload,
        certificate_der=json.dumps(said, sort_keys=True).encode(),
    )


def seal(
    payload: bytes, claims: Claims, *, log: int, broken: str | None = None, kind: str | None = None
) -> bytes:
    """A bundle of the Sigstore in memory; ``kind``: its payload type."""
    sealed: dict[str, object] = {
        "dsseEnvelope": {"payload": base64.b64encode(payload).decode()},
        "payloadType": kind or "application/vnd.in-toto+json",
        "claims": claims.present(),
        "log": log,
    }
    return json.dumps(sealed | ({"broken": broken} if broken else {})).encode()


class Published:
    """An artifact in a registry. Nothing is signed yet; ``bend`` changes its manifest document."""

    def __init__(
        self,
        image: bytes = IMAGE,
        *,
        bend: Callable[[dict[str, object]], None] | None = None,
        measurements: Callable[[MeasurementPredicate], bytes] = predicate_json,
        described: Callable[[bytes], bytes] = lambda data: data,
    ) -> None:
        self.registry = MemoryRegistry()
        self.sigstore = MemorySigstore()
        self.image = image
        measured = measure_file(BytesSource(image), name="image", progress=Silent()).measured
        claimed = replace(SIGNED.claimed, source=None, build_log=None)
        self.predicate = replace(SIGNED, measured=measured, claimed=claimed)
        shown = described(json.dumps(describe(inspect_image(BytesSource(image), name="image"))).encode())
        plan = plan_artifact(
            BlobInfo(sha256_digest(image), len(image)),
            measurements(self.predicate),
            shown,
            measured.measurements.by_index(),
        )
        self.registry.blobs[sha256_digest(image)] = image
        for blob in plan.blobs:
            if blob.data is not None:
                self.registry.blobs[blob.descriptor.digest] = blob.data
        manifest = plan.manifest
        if bend is not None:
            document = json.loads(manifest)
            bend(document)
            manifest = json.dumps(document).encode()
        self.digest = self.registry.put_manifest(manifest, "1.2")
        self.subject = Descriptor(MANIFEST_MEDIA_TYPE, self.digest, len(manifest))

    def sign(
        self, claims: Claims = GOOD, *, log: int = 1, digest: str | None = None, broken: str = ""
    ) -> None:
        """One more layer in the `.sig` manifest."""
        payload = build_payload(NAME, digest or self.digest)
        sealed = {"claims": claims.present(), "log": log} | ({"broken": broken} if broken else {})
        # The log's number as a comment: two signatures of one payload are two layers with other annotations.
        layer = self.registry.put_blob(
            PAYLOAD_MEDIA_TYPE, payload, {SIGNATURE: "AA==", CERTIFICATE: json.dumps(sealed)}
        )
        tag = signature_tag(self.digest)
        layers = [layer]
        if tag in self.registry.tags:
            stored = json.loads(self.registry.manifests[self.registry.tags[tag]].data)
            layers = [
                Descriptor(one["mediaType"], one["digest"], one["size"], one["annotations"])
                for one in stored["layers"]
            ] + layers
        self.registry.put_manifest(build_manifest(config=EMPTY_DESCRIPTOR, layers=layers), tag)

    def refer(self, bundle: bytes, *, subject: Descriptor | None = None) -> str:
        """A bundle as a referrer; its manifest's digest."""
        layer = self.registry.put_blob(MEDIA_TYPE, bundle)
        manifest = build_manifest(
            config=EMPTY_DESCRIPTOR, layers=[layer], artifact_type=MEDIA_TYPE, subject=subject or self.subject
        )
        digest = self.registry.put_manifest(manifest)
        self.registry.referrers.append(Descriptor(MANIFEST_MEDIA_TYPE, digest, len(manifest)))
        return digest

    def keep_log(self, record: bytes, text: bytes, *, subject: Descriptor | None = None) -> None:
        """A log as a referrer; which one the statement names is another question."""
        plan = plan_log(record, text, subject or self.subject)
        self.registry.blobs |= {plan.record.digest: record, plan.text.digest: text}
        digest = self.registry.put_manifest(plan.manifest)
        self.registry.referrers.append(Descriptor(MANIFEST_MEDIA_TYPE, digest, len(plan.manifest)))

    def sign_bundle(self, claims: Claims = GOOD, *, log: int = 2, broken: str | None = None) -> str:
        """A signature in cosign 3's layout."""
        statement = build_statement(NAME, self.digest[7:], {}, predicate_type=SIGN_PREDICATE_TYPE)
        return self.refer(seal(statement, claims, log=log, broken=broken))

    def state(
        self,
        claims: Claims = GOOD,
        *,
        log: int = 3,
        bend: Callable[[MeasurementPredicate], MeasurementPredicate] = lambda predicate: predicate,
        digest: str | None = None,
        broken: str | None = None,
    ) -> str:
        """A measurement statement."""
        source = SourceClaim(
            repository=claims.source_repository_uri or "",
            commit=claims.source_repository_digest or "",
            ref=claims.source_repository_ref or "",
        )
        claimed = replace(self.predicate.claimed, source=source)
        predicate = bend(replace(self.predicate, claimed=claimed))
        statement = build_statement(
            NAME, (digest or self.digest)[7:], predicate, predicate_type=PREDICATE_TYPE
        )
        return self.refer(seal(statement, claims, log=log, broken=broken))

    def verify(
        self,
        *,
        reference: Reference = REFERENCE,
        policy: Policy | None = None,
        document: Document | None = None,
        required: Level | None = None,
        keep: bool = False,
    ) -> VerifyOutcome:
        """Judged; the image's file is closed unless it is to be kept."""
        outcome = verify_reference(
            VerifyRequest(
                reference=reference,
                policy=policy or Policy(repository="acme/hello"),
                document=document,
                required=required,
            ),
            registry=self.registry,
            signatures=self.sigstore,
            progress=Silent(),
        )
        if not keep:
            outcome.close()
        return outcome

    def failures(self, **options: Policy | Document) -> list[str]:
        """Codes of the failed checks of a refusal."""
        outcome = self.verify(**options)  # type: ignore[arg-type]
        assert outcome.image is None
        assert outcome.predicate is None
        assert not outcome.verdict.passed
        assert outcome.verdict.level is Level.NONE
        return [check.code for check in outcome.verdict.checks if check.status is Status.FAIL]


def whole(image: bytes = IMAGE) -> Published:
    """Published and signed as `glassclave publish` does it."""
    published = Published(image)
    published.sign()
    published.sign_bundle()
    published.state()
    return published


def saved(outcome: VerifyOutcome) -> bytes:
    """The judged image, from its file without a name."""
    assert outcome.image is not None
    outcome.image.seek(0)
    data = outcome.image.read()
    outcome.close()
    return data
