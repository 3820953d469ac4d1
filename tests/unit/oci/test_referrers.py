import json

import pytest

from glassclave.digests import sha256_digest
from glassclave.errors import ParseError
from glassclave.oci.manifest import INDEX_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, Descriptor, build_index
from glassclave.oci.referrers import (
    fallback_tag,
    means_no_api,
    merge_fallback_index,
    read_fallback_index,
    signature_tag,
)
from glassclave.oci.transport import StoredManifest

FIRST = Descriptor(MANIFEST_MEDIA_TYPE, "sha256:" + "1" * 64, 1, {"a": "b"}, "x/y")
SECOND = Descriptor(MANIFEST_MEDIA_TYPE, "sha256:" + "2" * 64, 2)


def test_tags_are_those_of_the_specification_and_of_cosign() -> None:
    digest = "sha256:" + "c" * 64
    assert fallback_tag(digest) == "sha256-" + "c" * 64
    assert signature_tag(digest) == "sha256-" + "c" * 64 + ".sig"


@pytest.mark.parametrize("status", [400, 404, 405, 406, 501])
def test_answers_that_mean_no_api(status: int) -> None:
    assert means_no_api(status, "application/json")


@pytest.mark.parametrize("status", [200, 401, 403, 408, 410, 429, 500, 502, 503, 504])
def test_answers_that_never_mean_no_api(status: int) -> None:
    assert not means_no_api(status, "application/json")


def test_a_web_page_means_no_api_unless_it_is_an_error() -> None:
    assert means_no_api(200, "text/html")
    assert not means_no_api(403, "text/html")


def test_an_entry_is_added_once_and_others_stay() -> None:
    once = merge_fallback_index(None, FIRST)
    assert once == build_index([FIRST])
    twice = merge_fallback_index(merge_fallback_index(once, SECOND), FIRST)
    assert twice == build_index([SECOND, FIRST])


def test_fields_of_other_writers_stay() -> None:
    entry = {"mediaType": MANIFEST_MEDIA_TYPE, "digest": SECOND.digest, "size": 2, "platform": {"os": "x"}}
    existing = json.dumps({"schemaVersion": 2, "manifests": [entry], "annotations": {"k": "v"}}).encode()
    merged = json.loads(merge_fallback_index(existing, FIRST))
    assert merged["manifests"][0] == entry
    assert merged["manifests"][1]["digest"] == FIRST.digest
    assert merged["annotations"] == {"k": "v"}


def test_what_is_no_index_is_not_merged_into() -> None:
    with pytest.raises(ParseError) as caught:
        merge_fallback_index(b'{"schemaVersion":2,"layers":[]}', FIRST)
    assert caught.value.code == "manifest.kind"


def test_an_image_behind_the_fallback_tag_is_no_list() -> None:
    index = build_index([FIRST])
    stored = StoredManifest(sha256_digest(index), index, INDEX_MEDIA_TYPE)
    assert read_fallback_index(stored, source="s") == (FIRST,)
    assert read_fallback_index(StoredManifest(stored.digest, index, MANIFEST_MEDIA_TYPE), source="s") == ()
