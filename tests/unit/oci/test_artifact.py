from dataclasses import replace

import pytest

from glassclave.digests import sha256_digest
from glassclave.errors import RefusedError
from glassclave.oci.artifact import (
    ARTIFACT_TYPE,
    EIF_MEDIA_TYPE,
    TITLE,
    BlobInfo,
    Titles,
    plan_artifact,
    read_artifact,
)
from glassclave.oci.manifest import EMPTY_BLOB, Manifest, parse_manifest

EIF = BlobInfo("sha256:" + "e" * 64, 1000)
PCRS = {number: bytes([number]) * 48 for number in (0, 1, 2, 8)}
PLAN = plan_artifact(EIF, b"{}", b"{ }", PCRS)
MANIFEST = parse_manifest(PLAN.manifest, source="plan")


def test_the_plan_names_every_blob_of_the_manifest_once() -> None:
    named = [MANIFEST.config, *MANIFEST.layers]
    assert sorted(blob.descriptor.digest for blob in PLAN.blobs) == sorted(each.digest for each in named)
    for blob in PLAN.blobs:
        if blob.data is not None:
            assert (sha256_digest(blob.data), len(blob.data)) == (
                blob.descriptor.digest,
                blob.descriptor.size,
            )
    assert [blob.data for blob in PLAN.blobs] == [None, b"{}", b"{ }", EMPTY_BLOB]


def test_the_manifest_is_the_same_every_time_and_known() -> None:
    assert plan_artifact(EIF, b"{}", b"{ }", dict(reversed(PCRS.items()))) == PLAN
    assert sha256_digest(PLAN.manifest) == PLAN.digest == PLAN.descriptor.digest
    # A changed digest here is a changed format: every published artifact would get a new address.
    assert PLAN.digest == "sha256:e97d395b2ed41ff83dee7298b3e839a7c3a5ee6926583379b055052e9dc03bc5"


def test_layers_carry_file_names_for_oras() -> None:
    titles = [layer.annotations[TITLE] for layer in MANIFEST.layers]
    assert titles == ["app.eif", "app.measurements.json", "app.describe.json"]
    named = plan_artifact(EIF, b"{}", b"{ }", PCRS, Titles("a", "b", "c"))
    layers = parse_manifest(named.manifest, source="plan").layers
    assert [layer.annotations[TITLE] for layer in layers] == ["a", "b", "c"]


def test_an_artifact_is_read() -> None:
    layers = read_artifact(MANIFEST)
    assert (layers.eif.digest, layers.eif.size) == (EIF.digest, EIF.size)
    assert (layers.measurements, layers.describe) == MANIFEST.layers[1:]
    assert layers.pcr_hints == {number: PCRS[number].hex() for number in (0, 1, 2)}


def test_documents_may_be_missing() -> None:
    layers = read_artifact(replace(MANIFEST, layers=MANIFEST.layers[:1], annotations={}))
    assert (layers.measurements, layers.describe, layers.pcr_hints) == (None, None, {})


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (replace(MANIFEST, artifact_type=None), "artifact.type"),
        (replace(MANIFEST, artifact_type=ARTIFACT_TYPE + "x"), "artifact.type"),
        (replace(MANIFEST, layers=MANIFEST.layers[1:]), "artifact.eif.none"),
        (replace(MANIFEST, layers=(MANIFEST.layers[0], *MANIFEST.layers)), "artifact.eif.several"),
        (
            replace(MANIFEST, layers=(replace(MANIFEST.layers[0], media_type=EIF_MEDIA_TYPE + "x"),)),
            "artifact.eif.none",
        ),
        (replace(MANIFEST, layers=(*MANIFEST.layers, MANIFEST.layers[1])), "artifact.layer.several"),
        (replace(MANIFEST, layers=(*MANIFEST.layers, MANIFEST.layers[2])), "artifact.layer.several"),
    ],
)
def test_what_is_not_exactly_one_image_is_refused(manifest: Manifest, code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        read_artifact(manifest)
    assert caught.value.code == code
