from __future__ import annotations

from collections.abc import Iterator

import pytest

from glassclave.clients.registry import MAX_PAGES, Registry
from glassclave.errors import GlassclaveError
from glassclave.oci.manifest import (
    EMPTY_DESCRIPTOR,
    INDEX_MEDIA_TYPE,
    MANIFEST_MEDIA_TYPE,
    Descriptor,
    build_index,
    build_manifest,
)
from glassclave.oci.reference import Reference
from glassclave.oci.referrers import MAX_REFERRERS, fallback_tag, find_referrers, record_referrer
from tests.registry_server import Answer, RegistryServer, Request, digest_of, failure, serving

IMAGE = build_manifest(config=EMPTY_DESCRIPTOR, layers=[])
SUBJECT = Descriptor(MANIFEST_MEDIA_TYPE, digest_of(IMAGE), len(IMAGE))
REFERRERS = f"/v2/o/r/referrers/{SUBJECT.digest}"
FALLBACK = f"/v2/o/r/manifests/{fallback_tag(SUBJECT.digest)}"


def referrer(number: int) -> tuple[Descriptor, bytes]:
    data = build_manifest(
        config=EMPTY_DESCRIPTOR, layers=[], subject=SUBJECT, annotations={"number": str(number)}
    )
    return Descriptor(MANIFEST_MEDIA_TYPE, digest_of(data), len(data)), data


FIRST, FIRST_BYTES = referrer(1)
SECOND, SECOND_BYTES = referrer(2)


@pytest.fixture(params=[True, False], ids=["api", "fallback"])
def server(request: pytest.FixtureRequest) -> Iterator[RegistryServer]:
    with serving(referrers_api=request.param) as registry:
        registry.add_manifest(IMAGE, MANIFEST_MEDIA_TYPE, "t")
        yield registry


@pytest.fixture
def with_api() -> Iterator[RegistryServer]:
    with serving() as registry:
        registry.add_manifest(IMAGE, MANIFEST_MEDIA_TYPE, "t")
        yield registry


def reading(server: RegistryServer) -> tuple[Registry, Reference]:
    return Registry(sleep=lambda wait: None), Reference(server.address, "o/r")


def answer_referrers(server: RegistryServer, answer: Answer) -> None:
    server.override = lambda request: answer if request.path == REFERRERS else None


def found_digests(server: RegistryServer) -> list[str]:
    registry, ref = reading(server)
    return [entry.digest for entry in find_referrers(registry, ref, SUBJECT.digest)]


def refusal(server: RegistryServer) -> str:
    with pytest.raises(GlassclaveError) as caught:
        found_digests(server)
    return caught.value.code


def test_what_is_recorded_is_found_with_and_without_the_api(server: RegistryServer) -> None:
    registry, ref = reading(server)
    assert found_digests(server) == []
    for entry, data in ((FIRST, FIRST_BYTES), (SECOND, SECOND_BYTES)):
        registry.push_manifest(ref, entry.digest, data, MANIFEST_MEDIA_TYPE)
        assert record_referrer(registry, ref, SUBJECT.digest, entry) is not server.referrers_api
        assert record_referrer(registry, ref, SUBJECT.digest, entry) is False
    assert found_digests(server) == [FIRST.digest, SECOND.digest]
    assert (fallback_tag(SUBJECT.digest) in server.manifests) is not server.referrers_api


def test_a_registry_that_does_not_list_gets_the_fallback_tag_too(with_api: RegistryServer) -> None:
    registry, ref = reading(with_api)
    empty = Answer(200, build_index([]), {"Content-Type": INDEX_MEDIA_TYPE})
    answer_referrers(with_api, empty)
    assert record_referrer(registry, ref, SUBJECT.digest, FIRST) is True
    assert found_digests(with_api) == [FIRST.digest]


def test_the_list_and_the_fallback_tag_are_put_together(with_api: RegistryServer) -> None:
    with_api.add_manifest(FIRST_BYTES, MANIFEST_MEDIA_TYPE)
    index = build_index([SECOND, FIRST])
    with_api.add_manifest(index, INDEX_MEDIA_TYPE, fallback_tag(SUBJECT.digest))
    assert found_digests(with_api) == [FIRST.digest, SECOND.digest]


@pytest.mark.parametrize(
    "answer",
    [
        *(failure(status, "X") for status in (400, 404, 405, 406, 501)),
        Answer(200, b"<html>", {"Content-Type": "text/html; charset=utf-8"}),
        Answer(303, headers={"Location": "/nowhere"}),
        Answer(302, headers={"Location": "/page"}),
    ],
)
def test_answers_without_an_api_lead_to_the_fallback_tag(with_api: RegistryServer, answer: Answer) -> None:
    def override(request: Request) -> Answer | None:
        if request.path == "/page":
            return Answer(200, b"<html>", {"Content-Type": "text/html"})
        return answer if request.path == REFERRERS else None

    with_api.override = override
    with_api.add_manifest(build_index([FIRST]), INDEX_MEDIA_TYPE, fallback_tag(SUBJECT.digest))
    assert found_digests(with_api) == [FIRST.digest]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "registry.unauthorized"),
        (403, "registry.forbidden"),
        (410, "registry.answer"),
        (429, "registry.rate-limited"),
        (500, "registry.unavailable"),
        (503, "registry.unavailable"),
    ],
)
@pytest.mark.parametrize("path", [REFERRERS, FALLBACK])
def test_trouble_is_never_unsigned(with_api: RegistryServer, path: str, status: int, code: str) -> None:
    with_api.override = lambda request: failure(status, "X") if request.path == path else None
    assert refusal(with_api) == code


def test_a_list_that_is_none_is_refused(with_api: RegistryServer) -> None:
    answer_referrers(with_api, Answer(200, IMAGE, {"Content-Type": INDEX_MEDIA_TYPE}))
    assert refusal(with_api) == "manifest.kind"


def test_an_image_behind_the_fallback_tag_is_no_list(with_api: RegistryServer) -> None:
    with_api.add_manifest(IMAGE, MANIFEST_MEDIA_TYPE, fallback_tag(SUBJECT.digest))
    assert found_digests(with_api) == []


def paged(server: RegistryServer, pages: int, per_page: int, location: str = "") -> None:
    """A list of ``pages`` pages; the first links to ``location`` where that is given."""

    def override(request: Request) -> Answer | None:
        if request.path != REFERRERS:
            return None
        page = int(request.query.get("page", ["0"])[0])
        entries = [referrer(page * per_page + number)[0] for number in range(per_page)]
        headers = {"Content-Type": INDEX_MEDIA_TYPE}
        if page + 1 < pages:
            headers["Link"] = f'<{location or REFERRERS}?page={page + 1}>; rel="next"'
        return Answer(200, build_index(entries), headers)

    server.override = override


def test_pages_are_followed(with_api: RegistryServer) -> None:
    paged(with_api, 3, 2)
    assert found_digests(with_api) == [referrer(number)[0].digest for number in range(6)]


@pytest.mark.parametrize(
    ("pages", "per_page", "asked"),
    [(1, MAX_REFERRERS + 1, 2), (2, MAX_REFERRERS + 1, 1), (1000, 1, MAX_PAGES)],
)
def test_too_many_referrers_are_not_looked_into(
    with_api: RegistryServer, pages: int, per_page: int, asked: int
) -> None:
    paged(with_api, pages, per_page)
    assert refusal(with_api) == "registry.referrers.count"
    assert len(with_api.requests) == asked


def test_as_many_as_the_bound_are_looked_into(with_api: RegistryServer) -> None:
    paged(with_api, 1, MAX_REFERRERS)
    assert len(found_digests(with_api)) == MAX_REFERRERS


def test_a_next_page_elsewhere_is_not_followed(with_api: RegistryServer) -> None:
    with serving() as elsewhere:
        paged(with_api, 2, 1, location=f"http://{elsewhere.address}/x")
        assert refusal(with_api) == "registry.url"
        assert elsewhere.requests == []


def test_a_writer_that_always_wins_the_race_is_named(with_api: RegistryServer) -> None:
    with_api.referrers_api = False
    other = build_index([SECOND])

    def override(request: Request) -> Answer | None:
        if request.path != FALLBACK:
            return None
        return (
            Answer(201) if request.method == "PUT" else Answer(200, other, {"Content-Type": INDEX_MEDIA_TYPE})
        )

    with_api.override = override
    registry, ref = reading(with_api)
    with pytest.raises(GlassclaveError) as caught:
        record_referrer(registry, ref, SUBJECT.digest, FIRST)
    assert caught.value.code == "registry.referrers.race"
    assert len(with_api.asked("PUT")) == 4
