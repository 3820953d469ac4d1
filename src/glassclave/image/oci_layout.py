"""An OCI image layout: from its index to configuration and layers, every digest checked (image-layout.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from glassclave.digests import is_oci_digest, sha256_digest
from glassclave.errors import ParseError, UsageError
from glassclave.fields import Fields, parse_json
from glassclave.image.config import ImageConfig
from glassclave.image.decode import LayerBlob
from glassclave.image.document import parse_config
from glassclave.image.store import MAX_DOCUMENT, Store, pieces, read_document

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
    top = _document(read_document(store, "index.json"), "index.json")
    entries = list(top.objects("manifests", limit=10_000))
    if choice.tag is not None:
        named = [entry for entry in entries if _tag(entry) == choice.tag]
        if not named:
            raise _open_choice("image.choice.tag", f"no image is tagged {choice.tag[:80]!r}", entries, store)
        entries = named
    manifest = _manifest(store, entries, choice, 0)
    return _image(store, manifest)


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
    candidates = [entry for entry in entries if _wanted(entry, choice)]
    if len(candidates) != 1:
        raise _ambiguous(candidates, entries, store)
    entry = candidates[0]
    data = _document(_checked_document(store, entry), _blob_path(entry))
    if entry.text("mediaType") in INDEXES:
        return _manifest(store, list(data.objects("manifests", limit=10_000)), choice, depth + 1)
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
            f"holds images for {', '.join(platforms)}",
            source=store.name,
            hint=f"say which: --arch {platforms[0]}",
        )
    return _open_choice("image.choice.several", f"holds {len(candidates)} images", candidates, store)


def _image(store: Store, manifest: Fields) -> StoredImage:
    described = manifest.child("config")
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
        raise ParseError(
            "image.layer.type",
            f"has the type {media_type[:100]!r}, which this tool does not read",
            source=name,
            hint="export the image again with its layers inside and not encrypted",
        )
    path = _blob_path(layer)
    return LayerBlob(
        name=name,
        chunks=partial(_pieces, store, path),
        size=layer.integer("size"),
        diff_id=diff_id,
        digest=layer.text("digest"),
        plain=partial(store.open, path),
    )


def _pieces(store: Store, path: str) -> Iterator[memoryview]:
    return pieces(store.open(path))
