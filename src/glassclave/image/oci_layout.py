"""An OCI image layout: from its index to configuration and layers, every digest checked (image-layout.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from glassclave.digests import is_oci_digest, sha256_digest
from glassclave.errors import ParseError, UsageError
from glassclave.fields import Fields, parse_json
from glassclave.image.config import ImageConfig
from glassclave.image.decode import LayerBlob
from glassclave.image.document import parse_config
from glassclave.image.store import MAX_DOCUMENT, Store, read_document

INDEXES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
MANIFESTS = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
CONFIGS = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)
LAYERS = frozenset(
    {
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
    }
)
REFERENCE_NAME = "org.opencontainers.image.ref.name"
MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of several images: a tag, an architecture (``amd64``); ``None`` where it was not said."""

    tag: str | None = None
    architecture: str | None = None


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image found: configuration and layers, lowest first."""

    config: ImageConfig
    layers: tuple[LayerBlob, ...]


def find_image(store: Store, choice: Choice) -> StoredImage:
    """The one image of the layout that ``choice`` names.

    Raises `ParseError` ``image.layout.*``, ``image.manifest.*``; `UsageError` ``image.choice.*`` naming the
    candidates where the choice is open.
    """
    _check_layout(store)
    top = _document(read_document(store, "index.json"), "index.json")
    entries = _listed(top)
    if choice.tag is not None:
        named = [entry for entry in entries if _tag(entry) == choice.tag]
        if not named:
            raise _open_choice("image.choice.tag", f"no image is tagged {choice.tag[:80]!r}", entries, store)
        entries = named
    manifest = _manifest(store, entries, choice, 0)
    return _image(store, manifest)


def _check_layout(store: Store) -> None:
    if not (store.has("oci-layout") and store.has("index.json")):
        hint = "for what docker save writes use docker-archive:FILE" if store.has("manifest.json") else None
        raise ParseError(
            "image.layout.missing", "holds no oci-layout or no index.json: no OCI image layout",
            source=store.name, hint=hint,
        )  # fmt: skip
    marker = _document(read_document(store, "oci-layout"), "oci-layout")
    if marker.text("imageLayoutVersion") != "1.0.0":
        raise ParseError(
            "image.layout.version", "is not 1.0.0", field="imageLayoutVersion", source=store.name
        )


def _listed(index: Fields) -> list[Fields]:
    """The descriptors of an index."""
    # A document that is an index to one reader and a manifest to another (CVE-2021-41190).
    if index.has("config") or index.has("layers"):
        raise ParseError("image.index.form", "an index that is a manifest too", source=index.source)
    return list(index.objects("manifests", limit=10_000))


def _tag(entry: Fields) -> str | None:
    annotations = entry.text_map("annotations")
    return annotations.get(REFERENCE_NAME)


def _open_choice(code: str, message: str, entries: Sequence[Fields], store: Store) -> UsageError:
    tags = sorted({tag for entry in entries if (tag := _tag(entry)) is not None})
    listed = f"; there are: {', '.join(tags[:20])}" if tags else ""
    return UsageError(code, message + listed, source=store.name, hint="name one: oci:DIR:TAG")


def _document(data: bytes, source: str) -> Fields:
    return Fields.of(parse_json(data, source=source, limit=MAX_DOCUMENT), source=source)


def _blob_path(entry: Fields) -> str:
    digest = entry.text("digest", limit=200)
    if not is_oci_digest(digest):
        raise ParseError(
            "image.digest.form", "is not a sha256 digest", field=entry.at("digest"), source=entry.source
        )
    return "blobs/sha256/" + digest.removeprefix("sha256:")


def _checked_document(store: Store, entry: Fields) -> bytes:
    """A manifest or configuration, equal in size and digest to its descriptor."""
    path = _blob_path(entry)
    data = read_document(store, path)
    wanted = entry.text("digest")
    if len(data) != entry.integer("size") or sha256_digest(data) != wanted:
        raise ParseError(
            "image.blob.digest",
            f"is not what its descriptor says: expected {wanted}, got {sha256_digest(data)}",
            field=entry.path,
            source=path,
            hint="the layout was changed or is incomplete: export it again (skopeo copy … oci:out)",
        )
    return data


def _manifest(store: Store, entries: Sequence[Fields], choice: Choice, depth: int) -> Fields:
    """The one manifest among ``entries``, nested indexes opened."""
    if depth > MAX_DEPTH:
        raise ParseError("image.layout.depth", "indexes nested too deep", source=store.name)
    # One image may be listed twice, with two tags or none.
    by_digest = {entry.text("digest", limit=200): entry for entry in entries if _wanted(entry, choice)}
    candidates = list(by_digest.values())
    if len(candidates) != 1:
        raise _ambiguous(candidates, entries, store)
    entry = candidates[0]
    data = _document(_checked_document(store, entry), _blob_path(entry))
    media_type = entry.text("mediaType")
    if data.optional_text("mediaType") not in (None, media_type):
        raise ParseError(
            "image.manifest.type",
            "is not the type its descriptor says",
            field="mediaType",
            source=data.source,
        )
    if media_type in INDEXES:
        return _manifest(store, _listed(data), choice, depth + 1)
    if data.has("manifests"):
        raise ParseError("image.manifest.form", "a manifest that is an index too", source=data.source)
    return data


def _wanted(entry: Fields, choice: Choice) -> bool:
    if entry.text("mediaType") not in INDEXES | MANIFESTS:
        return False
    if not entry.has("platform"):
        return True
    platform = entry.child("platform")
    if platform.optional_text("os") not in (None, "linux"):
        return False  # also "unknown": build attestations that stand beside images
    return choice.architecture is None or platform.optional_text("architecture") in (
        None,
        choice.architecture,
    )


def _ambiguous(candidates: Sequence[Fields], entries: Sequence[Fields], store: Store) -> UsageError:
    platforms = sorted(
        {
            entry.child("platform").optional_text("architecture") or "?"
            for entry in candidates or entries
            if entry.has("platform")
        }
    )
    if not candidates:
        return UsageError("image.choice.none", "holds no image that fits", source=store.name)
    if len(platforms) > 1:
        return UsageError(
            "image.choice.architecture",
            f"holds images for {', '.join(name[:20] for name in platforms[:20])}",
            source=store.name,
            hint=f"say which: --arch {platforms[0]}",
        )
    return _open_choice("image.choice.several", f"holds {len(candidates)} images", candidates, store)


def _image(store: Store, manifest: Fields) -> StoredImage:
    described = manifest.child("config")
    if described.text("mediaType") not in CONFIGS:
        raise ParseError(
            "image.config.type",
            f"has the type {described.text('mediaType')[:100]!r}: an artifact, but no container image",
            field=described.path,
            source=manifest.source,
        )
    config = parse_config(_checked_document(store, described), source=_blob_path(described))
    layers = list(manifest.objects("layers", limit=4096))
    if len(layers) != len(config.layer_digests):
        raise ParseError(
            "image.manifest.layers",
            f"the manifest has {len(layers)} layers, the configuration {len(config.layer_digests)}",
            source=store.name,
        )
    return StoredImage(
        config,
        tuple(
            _layer(store, layer, diff_id, f"layer {number} of {len(layers)}")
            for number, (layer, diff_id) in enumerate(zip(layers, config.layer_digests, strict=True), start=1)
        ),
    )


def _layer(store: Store, layer: Fields, diff_id: str, name: str) -> LayerBlob:
    media_type = layer.text("mediaType")
    if media_type not in LAYERS:
        raise _unreadable(media_type, name)
    path = _blob_path(layer)
    return LayerBlob(
        name=name,
        stored=partial(store.open, path),
        size=layer.integer("size"),
        diff_id=diff_id,
        digest=layer.text("digest"),
    )


def _unreadable(media_type: str, name: str) -> ParseError:
    if media_type.endswith("+encrypted"):
        return ParseError(
            "image.layer.encrypted",
            "is encrypted",
            source=name,
            hint="decrypt the image first: skopeo copy --decryption-key KEY … oci:out",
        )
    if "nondistributable" in media_type or "foreign" in media_type:
        return ParseError(
            "image.layer.foreign",
            "lies elsewhere (a foreign layer): its bytes are not in the image",
            source=name,
            hint="build the image without layers that may not be distributed",
        )
    return ParseError(
        "image.layer.type", f"has the type {media_type[:100]!r}, which this tool does not read", source=name
    )
