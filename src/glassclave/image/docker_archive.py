"""What ``docker save`` writes: ``manifest.json``, a configuration, layers; since Docker 25 a layout too."""

from __future__ import annotations

from collections.abc import Sequence

from glassclave.digests import is_oci_digest, sha256_digest
from glassclave.errors import ParseError, UsageError
from glassclave.fields import Fields, parse_json
from glassclave.image.decode import LayerBlob
from glassclave.image.document import parse_config
from glassclave.image.oci_layout import Choice, StoredImage
from glassclave.image.store import MAX_DOCUMENT, Store, read_document


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
    data = read_document(store, path)
    _check_name(path, data, store)
    config = parse_config(data, source=path)
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


def _check_name(path: str, data: bytes, store: Store) -> None:
    """The configuration's file is called by its digest: ``HEX.json`` or ``blobs/sha256/HEX``."""
    named = "sha256:" + path.rpartition("/")[2].removesuffix(".json")
    if is_oci_digest(named) and named != sha256_digest(data):
        raise ParseError(
            "image.blob.digest",
            f"is not what its name says: expected {named}, got {sha256_digest(data)}",
            field=path[:200],
            source=store.name,
            hint="the archive was changed or is incomplete: save it again (docker save)",
        )


def _chosen(images: Sequence[Fields], choice: Choice, store: Store) -> Fields:
    if choice.tag is not None:
        wanted = _whole_name(choice.tag)
        images = [image for image in images if wanted in map(_whole_name, _tags(image))]
    if len(images) == 1:
        return images[0]
    tags = sorted({tag for image in images for tag in _tags(image)})
    raise UsageError(
        "image.choice.several" if images else "image.choice.tag",
        f"holds {len(images)} such images" + (f": {', '.join(tags[:20])}" if tags else ""),
        source=store.name,
        hint="name one: docker-archive:FILE:NAME:TAG",
    )


def _whole_name(name: str) -> str:
    """``hello`` is ``docker.io/library/hello:latest`` (Docker's short names)."""
    first, slash, _ = name.partition("/")
    if not slash:
        name = "docker.io/library/" + name
    elif "." not in first and ":" not in first and first != "localhost":
        name = "docker.io/" + name
    return name if ":" in name.rpartition("/")[2] else name + ":latest"


def _tags(image: Fields) -> tuple[str, ...]:
    return image.texts("RepoTags") if image.has("RepoTags") else ()


def _layer(store: Store, path: str, diff_id: str, name: str) -> LayerBlob:
    data = store.open(path)
    return LayerBlob(name=name, stored=lambda: data, size=len(data), diff_id=diff_id, digest=None)
