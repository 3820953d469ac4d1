"""Who refers to a manifest: the referrers API, its fallback tag, and cosign's ``.sig`` tag.

OCI distribution specification 1.1, "Listing Referrers" and "Referrers Tag Schema". What an index says of its
entries is never used to leave one out: widely used writers record a wrong ``artifactType`` and no annotations
(cosign issue 4641), so every entry is fetched and looked into.
"""

from __future__ import annotations

from glassclave.errors import LimitError, UnavailableError
from glassclave.fields import Fields, parse_json
from glassclave.oci.manifest import (
    INDEX_MEDIA_TYPE,
    Descriptor,
    build_index,
    compact_json,
    parse_index,
    written_descriptor,
)
from glassclave.oci.reference import Reference
from glassclave.oci.transport import RegistryReader, RegistryWriter, StoredManifest

MAX_REFERRERS = 512
"""Referrers of one manifest that are looked into. Each publishing of the same bytes adds two."""

MAX_REFERRER_MANIFEST = 1 << 20
"""Bytes of a referrer's manifest."""

MAX_BUNDLE = 1 << 20
"""Bytes of a sigstore bundle."""

NO_REFERRERS_API = frozenset({400, 404, 405, 406, 501})
"""Answers of registries that have no referrers API. Any other failure is a failure, never "unsigned"."""

_WRITE_ATTEMPTS = 4


def fallback_tag(digest: str) -> str:
    """The tag that stands in for the referrers API: ``sha256-<hex>``."""
    return digest.replace(":", "-", 1)


def signature_tag(digest: str) -> str:
    """The tag of cosign's signature manifest: ``sha256-<hex>.sig``."""
    return f"{fallback_tag(digest)}.sig"


def means_no_api(status: int, content_type: str) -> bool:
    """Whether an answer to ``GET …/referrers/…`` says that the registry has no referrers API.

    Some send a web page instead of an error, often through a redirect; ``status`` is the last answer's.
    """
    return status in NO_REFERRERS_API or (status == 200 and content_type == "text/html")


def read_fallback_index(stored: StoredManifest, *, source: str) -> tuple[Descriptor, ...]:
    """The entries behind a fallback tag; none where it is no index.

    A registry that takes ``sha256-<hex>`` for the digest itself answers with the image (oras-go issue 1396).
    """
    if stored.media_type != INDEX_MEDIA_TYPE:
        return ()
    return parse_index(stored.data, source=source).manifests


def merge_fallback_index(existing: bytes | None, entry: Descriptor) -> bytes:
    """The fallback index with ``entry`` in it, once; the other entries stay as they are, in their order."""
    if existing is None:
        return build_index([entry])
    source = "fallback index"
    known = parse_index(existing, source=source).manifests
    # The entries themselves, not our records of them: fields that we do not know are other people's.
    top = Fields.of(parse_json(existing, source=source), source=source)
    raw = top.array("manifests") if top.has("manifests") else []
    others = [item for item, other in zip(raw, known, strict=True) if other.digest != entry.digest]
    return compact_json({**top.values, "manifests": [*others, written_descriptor(entry)]})


def find_referrers(registry: RegistryReader, ref: Reference, digest: str) -> tuple[Descriptor, ...]:
    """Everything said to refer to ``digest``: the API's list first, then what only the fallback tag has.

    Both are read, for some registries have the API and yet hold referrers written before it. None of it is
    trusted: the caller checks each referrer's own ``subject``.
    Raises `LimitError` ``registry.referrers.count``.
    """
    listed = registry.list_referrers(ref, digest) or ()
    tag = fallback_tag(digest)
    stored = registry.find_tag(ref, tag)
    behind_tag = () if stored is None else read_fallback_index(stored, source=f"{ref.name}:{tag}")
    found: dict[str, Descriptor] = {}
    for entry in (*listed, *behind_tag):
        found.setdefault(entry.digest, entry)
    if len(found) > MAX_REFERRERS:
        raise LimitError(
            "registry.referrers.count",
            f"{len(found)} referrers, at most {MAX_REFERRERS} are looked into",
            source=str(ref.pinned(digest)),
        )
    return tuple(found.values())


def record_referrer(registry: RegistryWriter, ref: Reference, subject: str, entry: Descriptor) -> bool:
    """Make sure that a referrer just pushed can be found; whether the fallback tag had to be written.

    An ``OCI-Subject`` header is not believed: the list is asked. The fallback index is read, merged, written
    and read again, for nothing locks it. Raises `UnavailableError` ``registry.referrers.race``.
    """
    listed = registry.list_referrers(ref, subject)
    if listed is not None and any(other.digest == entry.digest for other in listed):
        return False
    tag = fallback_tag(subject)
    wrote = False
    for _ in range(_WRITE_ATTEMPTS):
        stored = registry.find_tag(ref, tag)
        index = None if stored is None or stored.media_type != INDEX_MEDIA_TYPE else stored.data
        if index is not None and any(
            other.digest == entry.digest for other in parse_index(index, source=f"{ref.name}:{tag}").manifests
        ):
            return wrote
        registry.push_manifest(ref, tag, merge_fallback_index(index, entry), INDEX_MEDIA_TYPE)
        wrote = True
    raise UnavailableError(
        "registry.referrers.race",
        f"the list of referrers behind the tag {tag} does not keep our entry",
        source=ref.name,
        hint="another writer changes the same list, or the registry does not let tags change; try again",
    )
