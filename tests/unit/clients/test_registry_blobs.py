from __future__ import annotations

from io import BytesIO

import pytest

from glassclave.clients.blob_transfer import upload_url
from glassclave.clients.credentials import Credential
from glassclave.clients.registry import Registry
from glassclave.oci.manifest import (
    Descriptor,
)
from glassclave.oci.reference import Reference
from glassclave.oci.transport import RegistryWriter
from glassclave.progress import Silent
from glassclave.streams import BytesSource
from tests.registry_server import Answer, RegistryServer, Request, digest_of, failure, serving
from tests.unit.clients.content import BLOB, code_of, descriptor, once


def test_a_small_blob_is_exactly_what_its_descriptor_says(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    data = b"small"
    server.add_blob(data)
    assert registry.fetch_small_blob(ref, descriptor(data), 5) == data
    assert code_of(lambda: registry.fetch_small_blob(ref, descriptor(data), 4)) == "registry.blob.size"
    assert code_of(lambda: registry.fetch_small_blob(ref, descriptor(b"gone"), 9)) == "registry.not-found"
    short = Descriptor("a/b", digest_of(data), 4)
    assert code_of(lambda: registry.fetch_small_blob(ref, short, 9)) == "registry.digest"
    long = Descriptor("a/b", digest_of(data), 6)
    assert code_of(lambda: registry.fetch_small_blob(ref, long, 9)) == "registry.digest"
    server.override = lambda request: Answer(200, b"smalL")
    assert code_of(lambda: registry.fetch_small_blob(ref, descriptor(data), 5)) == "registry.digest"


def test_of_a_blob_only_the_beginning_is_asked_for(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    """A registry that knows no ranges (this one) sends all, and is hung up on."""
    assert registry.fetch_blob_head(ref, descriptor(BLOB), 4) == BLOB[:4]
    assert server.requests[-1].headers["range"] == "bytes=0-3"
    server.override = lambda request: Answer(206, BLOB[:4], {"Content-Range": f"bytes 0-3/{len(BLOB)}"})
    assert registry.fetch_blob_head(ref, descriptor(BLOB), 4) == BLOB[:4]
    server.override = lambda request: Answer(206, BLOB[4:8], {"Content-Range": f"bytes 4-7/{len(BLOB)}"})
    assert code_of(lambda: registry.fetch_blob_head(ref, descriptor(BLOB), 4)) == "registry.answer"
    server.override = lambda request: None
    server.add_blob(b"xy")
    assert registry.fetch_blob_head(ref, descriptor(b"xy"), 4) == b"xy"
    assert code_of(lambda: registry.fetch_blob_head(ref, descriptor(b"gone"), 4)) == "registry.not-found"


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_beginning_that_is_refused_is_an_error(
    server: RegistryServer, registry: RegistryWriter, ref: Reference, status: int
) -> None:
    server.override = lambda request: failure(status, "DENIED")
    assert code_of(lambda: registry.fetch_blob_head(ref, descriptor(BLOB), 4)).startswith("registry.")


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
        realm = f'Bearer realm="http://{elsewhere.address}/token"'
        elsewhere.override = lambda request: failure(401, "UNAUTHORIZED", WWW_Authenticate=realm)
        refused = code_of(lambda: registry.fetch_blob_to(ref, descriptor(BLOB), BytesIO(), Silent()))
        assert refused == "registry.unauthorized"
        assert "/token" not in elsewhere.asked("GET")
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
