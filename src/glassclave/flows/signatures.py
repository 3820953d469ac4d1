"""Signatures written beside an artifact: cosign's `.sig` tag and bundles as referrers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glassclave.digests import sha256_digest
from glassclave.errors import RefusedError, UnavailableError
from glassclave.oci.manifest import (
    EMPTY_BLOB,
    EMPTY_DESCRIPTOR,
    MANIFEST_MEDIA_TYPE,
    Descriptor,
    build_manifest,
    parse_manifest,
)
from glassclave.oci.reference import Reference
from glassclave.oci.referrers import MAX_REFERRERS, find_referrers, record_referrer, signature_tag
from glassclave.oci.transport import RegistryWriter
from glassclave.provenance.bundle import MEDIA_TYPE as BUNDLE_MEDIA_TYPE
from glassclave.provenance.cosign import (
    CONFIG_MEDIA_TYPE,
    PAYLOAD_MEDIA_TYPE,
    layer_annotations,
    signature_config,
)
from glassclave.provenance.evidence import SignedPayload

CONTENT = "dev.sigstore.bundle.content"
PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"


def check_room(registry: RegistryWriter, reference: Reference, digest: str, *, adding: int) -> None:
    """Equal bytes published or rebuilt again and again gather bundles; of too many no reader looks at any.

    Raises `RefusedError` ``publish.referrers.count``.
    """
    there = len(find_referrers(registry, reference, digest))
    if there + adding > MAX_REFERRERS:
        raise RefusedError(
            "publish.referrers.count",
            f"{there} referrers are there already, readers look at no more than {MAX_REFERRERS}",
            source=str(reference),
            hint="nothing was signed and no tag moved: remove old ones, or use another repository",
        )


def push_signature(
    registry: RegistryWriter, reference: Reference, digest: str, signed: SignedPayload
) -> None:
    """Add a signature to the artifact's `.sig` manifest; what stands there stays (cosign's layout).

    Raises `UnavailableError` ``publish.signature.lost`` where it does not stand there then: bundles alone
    would pass our reading back, and readers of the older layout would find nothing.
    """
    payload = signed.signature.payload
    layer = Descriptor(
        PAYLOAD_MEDIA_TYPE, sha256_digest(payload), len(payload), layer_annotations(signed.signature)
    )
    tag = signature_tag(digest)
    existing = registry.find_tag(reference, tag)
    layers = (*parse_manifest(existing.data, source=tag).layers, layer) if existing else (layer,)
    config = signature_config([each.digest for each in layers])
    registry.push_blob(reference, payload, layer.digest)
    registry.push_blob(reference, config, sha256_digest(config))
    manifest = build_manifest(
        config=Descriptor(CONFIG_MEDIA_TYPE, sha256_digest(config), len(config)), layers=list(layers)
    )
    registry.push_manifest(reference, tag, manifest, MANIFEST_MEDIA_TYPE)
    found = registry.find_tag(reference, tag)
    if found is None or layer not in parse_manifest(found.data, source=tag).layers:
        raise UnavailableError(
            "publish.signature.lost",
            "the signature that was just put beside the image is not there",
            source=str(reference),
            hint="somebody else may be signing the same image: publish again",
        )


def push_bundle(
    registry: RegistryWriter, reference: Reference, subject: Descriptor, bundle: bytes, predicate_type: str
) -> None:
    """A bundle as a referrer of ``subject`` (cosign 3's layout), listed where the registry lists none."""
    annotations = {CONTENT: "dsse-envelope", PREDICATE_TYPE: predicate_type}
    layer = Descriptor(BUNDLE_MEDIA_TYPE, sha256_digest(bundle), len(bundle))
    manifest = build_manifest(
        config=EMPTY_DESCRIPTOR,
        layers=[layer],
        artifact_type=BUNDLE_MEDIA_TYPE,
        subject=subject,
        annotations=annotations,
    )
    push_referrer(registry, reference, subject, manifest, [bundle], BUNDLE_MEDIA_TYPE, annotations)


def push_referrer(
    registry: RegistryWriter,
    reference: Reference,
    subject: Descriptor,
    manifest: bytes,
    layers: Sequence[bytes],
    artifact_type: str,
    annotations: Mapping[str, str],
) -> None:
    """A manifest about ``subject`` with an empty configuration, and its layers before it; then its entry in
    the list of referrers, with the manifest's type and annotations."""
    digest = sha256_digest(manifest)
    registry.push_blob(reference, EMPTY_BLOB, EMPTY_DESCRIPTOR.digest)
    for layer in layers:
        registry.push_blob(reference, layer, sha256_digest(layer))
    registry.push_manifest(reference, digest, manifest, MANIFEST_MEDIA_TYPE)
    entry = Descriptor(MANIFEST_MEDIA_TYPE, digest, len(manifest), annotations, artifact_type)
    record_referrer(registry, reference, subject.digest, entry)
