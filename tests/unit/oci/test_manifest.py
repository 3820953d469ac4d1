import json

import pytest

from glassclave.digests import sha256_digest
from glassclave.errors import ParseError
from glassclave.oci.manifest import (
    EMPTY_BLOB,
    EMPTY_DESCRIPTOR,
    MANIFEST_MEDIA_TYPE,
    Descriptor,
    Manifest,
    build_index,
    build_manifest,
    parse_index,
    parse_manifest,
)

LAYER = Descriptor("a/b", "sha256:" + "1" * 64, 3, {"z": "1", "a": "ü"})
SUBJECT = Descriptor(MANIFEST_MEDIA_TYPE, "sha256:" + "2" * 64, 5)


def small(**changes: object) -> bytes:
    """A manifest that reads well, with fields changed; ``None`` takes one away."""
    document = json.loads(build_manifest(config=EMPTY_DESCRIPTOR, layers=[LAYER], subject=SUBJECT)) | changes
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()


def test_the_empty_descriptor_is_that_of_the_empty_object() -> None:
    assert (EMPTY_DESCRIPTOR.digest, EMPTY_DESCRIPTOR.size) == (sha256_digest(EMPTY_BLOB), len(EMPTY_BLOB))


def test_a_manifest_is_compact_and_in_the_order_of_the_specification() -> None:
    built = build_manifest(config=EMPTY_DESCRIPTOR, layers=[LAYER], annotations={"b": "2", "a": "1"})
    assert built.decode() == (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        '"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"'
        + EMPTY_DESCRIPTOR.digest
        + '","size":2},"layers":[{"mediaType":"a/b","digest":"sha256:'
        + "1" * 64
        + '","size":3,"annotations":{"a":"ü","z":"1"}}],"annotations":{"a":"1","b":"2"}}'
    )


def test_what_is_built_is_read_back() -> None:
    built = build_manifest(
        config=EMPTY_DESCRIPTOR,
        layers=[LAYER, LAYER],
        artifact_type="x/y",
        subject=SUBJECT,
        annotations={"k": "v"},
    )
    assert parse_manifest(built, source="m") == Manifest(
        MANIFEST_MEDIA_TYPE, "x/y", EMPTY_DESCRIPTOR, (LAYER, LAYER), SUBJECT, {"k": "v"}
    )
    assert parse_index(build_index([LAYER, SUBJECT]), source="i").manifests == (LAYER, SUBJECT)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"schemaVersion": 1}, "manifest.version"),
        ({"manifests": []}, "manifest.kind"),
        ({"layers": None}, "manifest.kind"),
        ({"mediaType": "application/vnd.oci.image.index.v1+json"}, "manifest.kind"),
        ({"config": None}, "field.missing"),
        ({"layers": [{"mediaType": "a/b", "digest": "sha256:1", "size": 1}]}, "manifest.digest"),
        ({"layers": [{"mediaType": "a/b", "digest": LAYER.digest, "size": -1}]}, "field.range"),
        ({"layers": [{"mediaType": "a/b", "digest": LAYER.digest, "size": True}]}, "field.type"),
        ({"subject": []}, "field.type"),
        ({"annotations": {"a": 1}}, "field.type"),
    ],
)
def test_one_wrong_field_of_a_manifest_is_refused(changes: dict[str, object], code: str) -> None:
    assert parse_manifest(small(), source="m").subject == SUBJECT
    with pytest.raises(ParseError) as caught:
        parse_manifest(small(**changes), source="m")
    assert caught.value.code == code


def test_a_manifest_may_leave_its_media_type_to_the_header() -> None:
    assert parse_manifest(small(mediaType=None), source="m").media_type == MANIFEST_MEDIA_TYPE


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"layers": []}, "manifest.kind"),
        ({"config": {}}, "manifest.kind"),
        ({"mediaType": MANIFEST_MEDIA_TYPE}, "manifest.kind"),
        ({"manifests": {}}, "field.type"),
    ],
)
def test_one_wrong_field_of_an_index_is_refused(changes: dict[str, object], code: str) -> None:
    document = json.loads(build_index([LAYER]))
    with pytest.raises(ParseError) as caught:
        parse_index(json.dumps(document | changes).encode(), source="i")
    assert caught.value.code == code
    assert parse_index(json.dumps(document | {"manifests": None}).encode(), source="i").manifests == ()
