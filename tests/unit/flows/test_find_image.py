"""What a tag or a digest names: refused only where the registry says by digest, too, that it has that."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from glassclave.errors import ParseError, UnavailableError
from glassclave.oci.reference import Reference
from glassclave.oci.transport import StoredManifest
from glassclave.policy.verdict import Level
from glassclave.results import Status
from tests.unit.flows.published import REFERENCE, MemoryRegistry, Published, whole

NOT_AN_IMAGE = json.dumps({"schemaVersion": 2, "mediaType": "application/json"}).encode()


class Forgetful(MemoryRegistry):
    """It answers to a tag with what it does not have by digest."""

    def resolve(self, ref: Reference) -> StoredManifest:
        return self.manifests[ref.digest or self.tags[ref.tag or ""]]


def naming(data: bytes) -> Published:
    published = Published()
    published.digest = published.registry.put_manifest(data, "1.2")
    return published


def forgetting(published: Published) -> Published:
    known = published.registry
    published.registry = Forgetful(
        known.manifests, known.tags, known.blobs, known.referrers, lost={published.digest}
    )
    return published


def by_digest(published: Published) -> Reference:
    return replace(REFERENCE, tag=None, digest=published.digest)


def failed(published: Published, reference: Reference = REFERENCE) -> list[str]:
    verdict = published.verify(reference=reference).verdict
    assert verdict.level is Level.NONE
    return [check.code for check in verdict.checks if check.status is Status.FAIL]


def test_what_a_tag_names_and_is_no_json_is_no_verdict() -> None:
    for published in (naming(b"<html>"), forgetting(naming(b"<html>"))):
        with pytest.raises(ParseError) as caught:
            published.verify()
        assert caught.value.code == "json.syntax"


def test_by_its_digest_it_is_judged() -> None:
    published = forgetting(naming(b"<html>"))
    assert failed(published, by_digest(published)) == ["json.syntax"]
    assert published.registry.asked == [], "what a digest names cannot be damaged: it is asked for once"


def test_what_is_no_image_is_asked_for_again_by_its_digest() -> None:
    published = naming(NOT_AN_IMAGE)
    assert failed(published) == ["manifest.kind"]
    assert published.registry.asked == [published.digest] * 2
    with pytest.raises(UnavailableError, match="no such thing"):
        forgetting(naming(NOT_AN_IMAGE)).verify()


def test_what_nobody_signed_is_asked_for_again_by_its_digest() -> None:
    published = Published()
    assert failed(published) == ["signature.none"]
    assert published.registry.asked.count(published.digest) == 2
    with pytest.raises(UnavailableError, match="no such thing"):
        forgetting(Published()).verify()
    assert failed(forgetting(Published()), by_digest(Published())) == ["signature.none"]


def test_what_passes_is_asked_for_once() -> None:
    assert forgetting(whole()).verify().verdict.level is Level.PROVENANCE


def test_it_is_said_which_tag_was_read() -> None:
    published = whole()
    short = f"{REFERENCE.name}@{published.digest[:19]}"
    for reference, said in (
        (REFERENCE, f"{short} (tag 1.2 read once)"),
        (by_digest(published), short),
        (replace(REFERENCE, digest=published.digest), f"{short} (tag 1.2 not read, the digest decides)"),
    ):
        checks = published.verify(reference=reference).verdict.checks
        assert checks[0].message == said
