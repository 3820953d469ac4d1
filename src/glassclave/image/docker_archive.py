"""What ``docker save`` writes: ``manifest.json``, a configuration, layers; since Docker 25 a layout too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from glassclave.errors import ParseError, UsageError
from glassclave.fields import Fields, parse_json
from glassclave.image.decode import LayerBlob
from glassclave.image.document import parse_config
from glassclave.image.oci_layout import Choice, StoredImage
from glassclave.image.store import MAX_DOCUMENT, Store, pieces, read_document


def find_image(store: Store, choice: Choice) -> StoredImage:
    """The one image of the archive that ``choice`` names. Errors as those of an OCI layout."""
    if not store.has("manifest.json"):
        raise ParseError(
            "image.archive.kind",
            "holds no manifest.json: not what docker save writes",
            source=store.name,
            hint="for an OCI layout in a tar use oci-archive:FILE",
        )
    value = parse_json(read_document(store, "manifest.json"), source="manifest.json", limit=MAX_DOCUMENT)
    images = list(Fields({"images": value}, source="manifest.json").objects("images", limit=10_000))
    manifest = _chosen(images, choice, store)
    path = manifest.text("Config", limit=4096)
    config = parse_config(read_document(store, path), source=path)
    layers = manifest.texts("Layers", limit=4096)
    if len(layers) != len(config.layer_digests):
        raise ParseError(
            "image.manifest.layers",
            f"the manifest has {len(layers)} layers, the configuration {len(config.layer_digests)}",
            source=store.name,
        )
    return StoredImage(
        config,
        tuple(
            _layer(store, path, diff_id, f"layer {number} of {len(layers)}")
            for number, (path, diff_id) in enumerate(zip(layers, config.layer_digests, strict=True), start=1)
        ),
    )


def _chosen(images: Sequence[Fields], choice: Choice, store: Store) -> Fields:
    if choice.tag is not None:
        images = [image for image in images if choice.tag in _tags(image)]
    if len(images) == 1:
        return images[0]
    tags = sorted({tag for image in images for tag in _tags(image)})
    raise UsageError(
        "image.choice.several" if images else "image.choice.tag",
        f"holds {len(images)} such images" + (f": {', '.join(tags[:20])}" if tags else ""),
        source=store.name,
        hint="name one: docker-archive:FILE:NAME:TAG",
    )


def _tags(image: Fields) -> tuple[str, ...]:
    return image.texts("RepoTags") if image.has("RepoTags") else ()


def _layer(store: Store, path: str, diff_id: str, name: str) -> LayerBlob:
    data = store.open(path)
    return LayerBlob(
        name=name,
        chunks=partial(pieces, data),
        size=len(data),
        diff_id=diff_id,
        digest=None,
        plain=lambda: data,
    )
