from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from itertools import count

import pytest

from glassclave.clients.blob_transfer import upload_url
from glassclave.clients.credentials import Credential
from glassclave.clients.http import Web
from glassclave.clients.registry import Registry
from glassclave.errors import GlassclaveError, UsageError
from glassclave.oci.manifest import (
    EMPTY_DESCRIPTOR,
    INDEX_MEDIA_TYPE,
    MANIFEST_MEDIA_TYPE,
    Descriptor,
    build_index,
    build_manifest,
)
from glassclave.oci.reference import Reference
from glassclave.oci.transport import RegistryWriter
from glassclave.progress import Silent
from glassclave.streams import BytesSource
from tests.registry_server import Answer, RegistryServer, Request, digest_of, failure, serving

MANIFEST = build_manifest(config=EMPTY_DESCRIPTOR, layers=[])
BLOB = bytes(range(256)) * 8192  # 2 MiB: several reads


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with serving() as registry:
        registry.add_manifest(MANIFEST, MANIFEST_MEDIA_TYPE, "t")
        registry.add_blob(BLOB)
        yield registry


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the client waited between tries."""
    return []


@pytest.fixture
def registry(waits: list[float]) -> RegistryWriter:
    return Registry(sleep=waits.append)


@pytest.fixture
def ref(server: RegistryServer) -> Reference:
    return Reference(server.address, "o/r", "t")


def once(answer: Answer, times: int = 1) -> Callable[[Request], Answer | None]:
    """``answer`` to the first ``times`` requests, the registry's own after that."""
    left = [answer] * times
    return lambda request: left.pop() if left else None


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(GlassclaveError) as caught:
        call()
    assert "free text" not in f"{caught.value} {caught.value.hint}"
    return caught.value.code


def descriptor(data: bytes) -> Descriptor:
    return Descriptor("a/b", digest_of(data), len(data))


def test_a_tag_is_resolved_with_one_request(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    found = registry.resolve(ref)
    assert (found.digest, found.data) == (digest_of(MANIFEST), MANIFEST)
    assert found.media_type == MANIFEST_MEDIA_TYPE
    assert [request.path for request in server.requests] == ["/v2/o/r/manifests/t"]
    assert INDEX_MEDIA_TYPE in server.requests[0].headers["accept"]


def test_the_header_with_the_digest_is_not_believed(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    lie = {"Docker-Content-Digest": digest_of(b"lie"), "Content-Type": MANIFEST_MEDIA_TYPE}
    server.override = lambda request: Answer(200, MANIFEST, lie)
    assert registry.resolve(ref).digest == digest_of(MANIFEST)


def test_other_bytes_than_the_digest_names_are_refused(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    pinned = ref.pinned(digest_of(MANIFEST))
    assert registry.resolve(pinned).data == MANIFEST
    claim = {"Docker-Content-Digest": digest_of(MANIFEST)}
    server.override = lambda request: Answer(200, MANIFEST + b" ", claim)
    assert code_of(lambda: registry.resolve(pinned)) == "registry.digest"


def test_a_reference_without_tag_and_digest_is_not_guessed(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    with pytest.raises(UsageError) as caught:
        registry.resolve(Reference(ref.registry, ref.repository))
    assert caught.value.code == "reference.open"
    assert server.requests == []


def test_a_missing_tag_is_told_from_trouble(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    assert registry.find_tag(ref, "none") is None
    assert (registry.tag_exists(ref, "t"), registry.tag_exists(ref, "none")) == (True, False)
    assert code_of(lambda: registry.resolve(ref.tagged("none"))) == "registry.not-found"
    server.override = lambda request: failure(403, "DENIED")
    assert code_of(lambda: registry.find_tag(ref, "none")) == "registry.forbidden"


@pytest.mark.parametrize(
    ("status", "code", "tries"),
    [
        (401, "registry.unauthorized", 1),
        (403, "registry.forbidden", 1),
        (404, "registry.not-found", 1),
        (418, "registry.answer", 1),
        (501, "registry.answer", 1),
        (429, "registry.rate-limited", 4),
        (500, "registry.unavailable", 4),
        (503, "registry.unavailable", 4),
    ],
)
def test_every_refusal_has_its_code_and_its_number_of_tries(
    server: RegistryServer,
    registry: RegistryWriter,
    ref: Reference,
    waits: list[float],
    status: int,
    code: str,
    tries: int,
) -> None:
    server.override = lambda request: failure(status, "SOME_CODE")
    assert code_of(lambda: registry.resolve(ref)) == code
    assert (len(server.requests), len(waits)) == (tries, tries - 1)


def test_the_code_of_the_registry_is_told_and_its_text_is_not(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    server.override = lambda request: failure(418, "SOME_CODE")
    with pytest.raises(GlassclaveError, match="418 SOME_CODE"):
        registry.resolve(ref)
    server.override = lambda request: failure(418, "free text\x1b[0m")
    assert code_of(lambda: registry.resolve(ref)) == "registry.answer"


def test_an_outage_that_ends_is_waited_for(
    server: RegistryServer, registry: RegistryWriter, ref: Reference, waits: list[float]
) -> None:
    server.override = once(failure(503, "X"), times=3)
    assert registry.resolve(ref).data == MANIFEST
    assert waits == [0.5, 1.0, 2.0]


def test_a_registry_may_say_how_long_to_wait_but_not_forever(
    server: RegistryServer, registry: RegistryWriter, ref: Reference, waits: list[float]
) -> None:
    server.override = once(failure(429, "TOOMANYREQUESTS", Retry_After="7"))
    assert registry.resolve(ref).data == MANIFEST
    assert waits == [7.0]
    server.override = once(failure(429, "TOOMANYREQUESTS", Retry_After="61"))
    assert code_of(lambda: registry.resolve(ref)) == "registry.rate-limited"
    assert waits == [7.0]


def test_an_answer_cut_short_is_asked_for_again(
    server: RegistryServer, registry: RegistryWriter, ref: Reference, waits: list[float]
) -> None:
    cut = Answer(200, MANIFEST[:10], announced=len(MANIFEST))
    server.override = once(cut)
    assert registry.resolve(ref).data == MANIFEST
    server.override = lambda request: cut
    assert code_of(lambda: registry.resolve(ref)) == "registry.unavailable"


def test_nobody_listening_is_an_outage(registry: RegistryWriter, waits: list[float]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ref = Reference(f"127.0.0.1:{unused.getsockname()[1]}", "o/r", "t")
        assert code_of(lambda: registry.resolve(ref)) == "registry.unavailable"
    assert len(waits) == 3


def test_a_manifest_larger_than_the_limit_is_not_read(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    size = len(MANIFEST)
    assert registry.fetch_manifest(ref, digest_of(MANIFEST), limit=size).data == MANIFEST
    refused = code_of(lambda: registry.fetch_manifest(ref, digest_of(MANIFEST), limit=size - 1))
    assert refused == "registry.size"
    server.override = lambda request: Answer(200, b"x", announced=(4 << 20) + 1)
    assert code_of(lambda: registry.resolve(ref)) == "registry.size"


def test_an_answer_that_trickles_is_given_up(server: RegistryServer, ref: Reference) -> None:
    for step, resolved in ((119.0, True), (121.0, False)):
        seconds = count(0.0, step)
        slow = Registry(web=Web(clock=seconds.__next__), sleep=lambda wait: None)
        if resolved:
            assert slow.resolve(ref).data == MANIFEST
        else:
            assert code_of(partial(slow.resolve, ref)) == "registry.unavailable"


def test_a_small_blob_is_exactly_what_its_descriptor_says(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    data = b"small"
    server.add_blob(data)
    assert registry.fetch_small_blob(ref, descriptor(data), 5) == data
    assert code_of(lambda: registry.fetch_small_blob(ref, descriptor(data), 4)) == "registry.blob.size"
    assert code_of(lambda: registry.fetch_small_blob(ref, descriptor(b"gone"), 9)) == "registry.not-found"
    short = Descriptor("a/b", digest_of(data), 4)
    assert code_of(lambda: registry.fetch_small_blob(ref, short, 9)) == "registry.size"
    long = Descriptor("a/b", digest_of(data), 6)
    assert code_of(lambda: registry.fetch_small_blob(ref, long, 9)) == "registry.digest"
    server.override = lambda request: Answer(200, b"smalL")
    assert code_of(lambda: registry.fetch_small_blob(ref, descriptor(data), 5)) == "registry.digest"


def test_a_large_blob_is_streamed_into_a_file(registry: RegistryWriter, ref: Reference) -> None:
    file = BytesIO()
    file.write(b"before")
    registry.fetch_blob_to(ref, descriptor(BLOB), file, Silent())
    assert file.getvalue() == b"before" + BLOB


def test_a_broken_download_goes_on_where_it_broke(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    def override(request: Request) -> Answer | None:
        if "range" not in request.headers:
            return Answer(200, BLOB[:1_500_000], announced=len(BLOB))
        begin = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        content_range = f"bytes {begin}-{len(BLOB) - 1}/{len(BLOB)}"
        return Answer(206, BLOB[begin:], {"Content-Range": content_range})

    server.override = override
    file = BytesIO()
    registry.fetch_blob_to(ref, descriptor(BLOB), file, Silent())
    assert file.getvalue() == BLOB
    assert [request.headers.get("range") for request in server.requests] == [None, "bytes=1500000-"]


def test_a_registry_that_cannot_go_on_begins_again(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    server.override = once(Answer(200, b"wrong" * 1000, announced=len(BLOB)))
    file = BytesIO()
    registry.fetch_blob_to(ref, descriptor(BLOB), file, Silent())
    assert file.getvalue() == BLOB
    server.override = once(Answer(200, BLOB[:9], announced=len(BLOB)))
    wrong_part = Answer(206, BLOB[8:], {"Content-Range": f"bytes 8-{len(BLOB) - 1}/{len(BLOB)}"})
    server.override = lambda request: (
        wrong_part if "range" in request.headers else Answer(200, BLOB[:9], announced=len(BLOB))
    )
    refused = code_of(lambda: registry.fetch_blob_to(ref, descriptor(BLOB), BytesIO(), Silent()))
    assert refused == "registry.answer"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (BLOB[:-1] + b"x", "registry.digest"),
        (BLOB + b"x", "registry.size"),
        (BLOB[:-1], "registry.unavailable"),
    ],
)
def test_a_large_blob_that_is_not_the_one_named(
    server: RegistryServer, registry: RegistryWriter, ref: Reference, body: bytes, code: str
) -> None:
    server.override = lambda request: Answer(200, body)
    assert code_of(lambda: registry.fetch_blob_to(ref, descriptor(BLOB), BytesIO(), Silent())) == code


def test_a_blob_elsewhere_is_fetched_without_our_login(ref: Reference, server: RegistryServer) -> None:
    class Known:
        def find(self, registry: str) -> Credential | None:
            return Credential("alice", "s3cret")

    with serving() as elsewhere:
        elsewhere.add_blob(BLOB)

        def override(request: Request) -> Answer | None:
            if "authorization" not in request.headers:
                return failure(401, "UNAUTHORIZED", WWW_Authenticate="Basic")
            return Answer(307, headers={"Location": f"http://{elsewhere.address}{request.path}?signed=1"})

        server.override = override
        registry = Registry(Known(), sleep=lambda wait: None)
        file = BytesIO()
        registry.fetch_blob_to(ref, descriptor(BLOB), file, Silent())
        assert file.getvalue() == BLOB
        assert "authorization" in server.requests[-1].headers
        assert "authorization" not in elsewhere.requests[0].headers
        # A challenge from there is not answered with the registry's login either.
        elsewhere.override = lambda request: failure(401, "UNAUTHORIZED", WWW_Authenticate="Basic")
        refused = code_of(lambda: registry.fetch_blob_to(ref, descriptor(BLOB), BytesIO(), Silent()))
        assert refused == "registry.unauthorized"
        assert all("authorization" not in request.headers for request in elsewhere.requests)


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://blobs.invalid/x", "registry.url"),
        ("ftp://127.0.0.1/x", "registry.url"),
        ("http://user:password@127.0.0.1:9/x", "registry.url"),
        ("http://127.0.0.1:99999/x", "registry.url"),
        ("", "registry.answer"),
        ("/v2/o/r/blobs/again", "registry.redirect"),
    ],
)
def test_redirects_that_are_not_followed(
    server: RegistryServer, registry: RegistryWriter, ref: Reference, location: str, code: str
) -> None:
    server.override = lambda request: Answer(307, headers={"Location": location})
    assert code_of(lambda: registry.fetch_small_blob(ref, descriptor(b"x"), 9)) == code
    assert len(server.requests) <= 6


def test_a_blob_is_pushed_once(server: RegistryServer, registry: RegistryWriter, ref: Reference) -> None:
    data = b"new" * 1_000_000
    assert registry.push_blob(ref, BytesSource(data), digest_of(data)) is True
    assert server.blobs[digest_of(data)] == data
    put = next(request for request in server.requests if request.method == "PUT")
    assert put.query == {"_state": ["a/b"], "digest": [digest_of(data)]}
    assert put.headers["content-length"] == str(len(data))
    assert "transfer-encoding" not in put.headers
    assert registry.push_blob(ref, data, digest_of(data)) is False
    assert server.asked("PUT") == [put.path]


def test_an_upload_that_breaks_begins_again(
    server: RegistryServer, registry: RegistryWriter, ref: Reference, waits: list[float]
) -> None:
    left = [failure(502, "X")]
    server.override = lambda request: left.pop() if left and request.method == "PUT" else None
    assert registry.push_blob(ref, b"new", digest_of(b"new"))
    assert len(server.asked("POST")) == 2
    assert waits == [0.5]


def test_a_file_that_changed_is_noticed(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    assert code_of(lambda: registry.push_blob(ref, b"new", digest_of(b"old"))) == "registry.answer"
    server.override = lambda request: Answer(201) if request.method == "PUT" else None
    assert code_of(lambda: registry.push_blob(ref, b"new", digest_of(b"old"))) == "registry.digest"


def test_an_upload_elsewhere_is_sent_without_our_login(server: RegistryServer, ref: Reference) -> None:
    class Known:
        def find(self, registry: str) -> Credential | None:
            return Credential("alice", "s3cret")

    with serving() as elsewhere:
        away = f"http://{elsewhere.address}/v2/o/r/blobs/uploads/9?_state=a%2Fb"

        def override(request: Request) -> Answer | None:
            if "authorization" not in request.headers:
                return failure(401, "UNAUTHORIZED", WWW_Authenticate="Basic")
            return Answer(202, headers={"Location": away}) if request.method == "POST" else None

        server.override = override
        registry = Registry(Known(), sleep=lambda wait: None)
        assert registry.push_blob(ref, b"new", digest_of(b"new"))
        assert elsewhere.blobs == {digest_of(b"new"): b"new"}
        assert "authorization" in server.requests[-1].headers
        assert "authorization" not in elsewhere.requests[0].headers


@pytest.mark.parametrize("answer", [Answer(202), Answer(200, headers={"Location": "/x"}), failure(405, "X")])
def test_an_upload_that_is_not_opened(
    server: RegistryServer, registry: RegistryWriter, ref: Reference, answer: Answer
) -> None:
    server.override = lambda request: answer if request.method == "POST" else None
    assert code_of(lambda: registry.push_blob(ref, b"new", digest_of(b"new"))) == "registry.answer"
    assert server.asked("PUT") == []


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/v2/o/r/u/1?_state=a%2Fb%3D", "https://h.example/v2/o/r/u/1?_state=a%2Fb%3D&digest=sha256%3Aab"),
        ("1", "https://h.example/v2/o/r/blobs/uploads/1?digest=sha256%3Aab"),
        ("https://other.example/u#f", "https://other.example/u?digest=sha256%3Aab"),
        ("http://h.example/u", "https://h.example/u?digest=sha256%3Aab"),
        ("http://other.example/u", "http://other.example/u?digest=sha256%3Aab"),
    ],
)
def test_where_an_upload_goes(location: str, url: str) -> None:
    assert upload_url("https://h.example/v2/o/r/blobs/uploads/", location, "sha256:ab") == url


def test_a_manifest_is_pushed_by_tag_and_by_its_own_digest(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    data = build_index([])
    result = registry.push_manifest(ref, "new", data, INDEX_MEDIA_TYPE)
    assert (result.digest, result.oci_subject) == (digest_of(data), None)
    assert server.manifests["new"] == (data, INDEX_MEDIA_TYPE)
    registry.push_manifest(ref, digest_of(data), data, INDEX_MEDIA_TYPE)
    assert code_of(lambda: registry.push_manifest(ref, digest_of(b""), data, "a/b")) == "registry.digest"
    subject = digest_of(b"subject")
    server.override = lambda request: Answer(201, headers={"OCI-Subject": subject})
    assert registry.push_manifest(ref, "new", data, INDEX_MEDIA_TYPE).oci_subject == subject
    server.override = lambda request: Answer(201, headers={"OCI-Subject": "yes"})
    assert registry.push_manifest(ref, "new", data, INDEX_MEDIA_TYPE).oci_subject is None


def test_a_tag_that_may_not_change_is_explained(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    server.override = lambda request: failure(409, "TAG_INVALID")
    with pytest.raises(GlassclaveError) as caught:
        registry.push_manifest(ref, "t", MANIFEST, MANIFEST_MEDIA_TYPE)
    assert caught.value.code == "registry.answer"
    assert "immutable" in str(caught.value.hint)
