"""What a publisher can do to a log afterwards: another one in its place, in a registry that is theirs."""

from __future__ import annotations

from collections.abc import Callable

from glassclave.clients.credentials import DockerConfig
from glassclave.clients.registry import Registry
from glassclave.oci.log_artifact import LOG_ARTIFACT_TYPE, plan_log, read_log
from glassclave.oci.manifest import (
    EMPTY_BLOB,
    EMPTY_DESCRIPTOR,
    INDEX_MEDIA_TYPE,
    MANIFEST_MEDIA_TYPE,
    Descriptor,
    build_index,
    parse_manifest,
)
from glassclave.oci.reference import Reference, parse_reference
from glassclave.oci.referrers import fallback_tag, find_referrers

_LIMIT = 32 << 20


def list_only(registry: Registry, reference: Reference, keep: Callable[[Descriptor], bool]) -> None:
    """The fallback list of referrers with fewer entries."""
    digest = reference.digest or ""
    left = [entry for entry in find_referrers(registry, reference, digest) if keep(entry)]
    registry.push_manifest(reference, fallback_tag(digest), build_index(left), INDEX_MEDIA_TYPE)


def swap_log(address: str) -> None:
    """The same text under a record that says another number of masks."""
    registry = Registry(DockerConfig({}))
    reference = parse_reference(address)
    found = find_referrers(registry, reference, reference.digest or "")
    for entry in found:
        manifest = parse_manifest(registry.fetch_manifest(reference, entry.digest).data, source="log")
        layers = read_log(manifest)
        if layers is None or manifest.subject is None:
            continue
        record = registry.fetch_small_blob(reference, layers.record, _LIMIT)
        text = registry.fetch_small_blob(reference, layers.text, _LIMIT)
        changed = record.replace(b'"masks": ', b'"masks": 1')
        plan = plan_log(changed, text, manifest.subject)
        registry.push_blob(reference, EMPTY_BLOB, EMPTY_DESCRIPTOR.digest)
        registry.push_blob(reference, changed, plan.record.digest)
        registry.push_manifest(reference, plan.digest, plan.manifest, MANIFEST_MEDIA_TYPE)
        other = Descriptor(MANIFEST_MEDIA_TYPE, plan.digest, len(plan.manifest), {}, LOG_ARTIFACT_TYPE)
        others = [one for one in found if one.digest != entry.digest]
        index = build_index([*others, other])
        registry.push_manifest(reference, fallback_tag(reference.digest or ""), index, INDEX_MEDIA_TYPE)
