"""The registry: what it takes, what it refuses, who sees what, and in which order it was asked."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from glassclave_sandbox.services import Services
from tests.unit.sandbox.loopback import Reply, ask

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = b"{}"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with Services(tmp_path) as running:
        yield running


@pytest.fixture
def v2(services: Services) -> str:
    return f"http://{services.registry}/v2"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def code_of(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.json()["errors"][0]["code"]


def push_blob(v2: str, name: str, data: bytes) -> str:
    assert ask("POST", f"{v2}/{name}/blobs/uploads/?digest={digest_of(data)}", data).status == 201
    return digest_of(data)


def descriptor(data: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def manifest(subject: bytes | None = None, artifact_type: str = "text/x-one", layer: bytes = EMPTY) -> bytes:
    value: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": descriptor(EMPTY, "application/vnd.oci.empty.v1+json"),
        "layers": [descriptor(layer, "text/plain")],
        "annotations": {"kind": artifact_type},
    }
    if subject is not None:
        value["subject"] = descriptor(subject, MANIFEST)
    return json.dumps(value).encode()


def put(v2: str, name: str, reference: str, data: bytes, media_type: str = MANIFEST) -> Reply:
    return ask("PUT", f"{v2}/{name}/manifests/{reference}", data, {"Content-Type": media_type})


def test_a_manifest_comes_back_as_it_was_pushed(v2: str) -> None:
    push_blob(v2, "o/r", EMPTY)
    data = manifest()
    pushed = put(v2, "o/r", "v1", data)
    assert (pushed.status, pushed.headers["Docker-Content-Digest"]) == (201, digest_of(data))
    for reference in ("v1", digest_of(data)):
        answer = ask("GET", f"{v2}/o/r/manifests/{reference}")
        assert (answer.body, answer.headers["Content-Type"]) == (data, MANIFEST)
        head = ask("HEAD", f"{v2}/o/r/manifests/{reference}")
        assert (head.body, head.headers["Content-Length"]) == (b"", str(len(data)))
    assert code_of(ask("GET", f"{v2}/o/r/manifests/v2")) == (404, "MANIFEST_UNKNOWN")
    assert code_of(ask("GET", f"{v2}/o/other/manifests/v1")) == (404, "NAME_UNKNOWN")
    assert ask("GET", v2 + "/").status == 200


def test_what_is_no_manifest_is_refused(v2: str) -> None:
    push_blob(v2, "o/r", EMPTY)
    good = manifest()
    assert code_of(put(v2, "o/r", digest_of(b"another"), good)) == (400, "DIGEST_INVALID")
    assert code_of(put(v2, "o/r", "t", manifest(layer=b"never pushed"))) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert code_of(put(v2, "o/r", "t", good, INDEX)) == (400, "MANIFEST_INVALID")
    assert code_of(put(v2, "o/r", "t", good, "")) == (400, "MANIFEST_INVALID")
    assert code_of(put(v2, "o/r", "-t", good)) == (400, "TAG_INVALID")
    assert code_of(put(v2, "o/r", "t", good[:-1])) == (400, "MANIFEST_INVALID")
    assert code_of(put(v2, "o/r", "t", b"[]")) == (400, "MANIFEST_INVALID")
    assert code_of(put(v2, "o/r", "t", b'{"layers":[{"size":1}]}')) == (400, "MANIFEST_INVALID")
    assert code_of(put(v2, "o/r", "t", b" " * (4 << 20) + good)) == (413, "SIZE_INVALID")
    assert ask("GET", f"{v2}/o/r/tags/list").json()["tags"] == []
    assert put(v2, "o/r", "t", good).status == 201


def test_a_blob_is_what_its_digest_says(v2: str) -> None:
    data, wrong = b"content", digest_of(b"another")
    assert code_of(ask("POST", f"{v2}/o/r/blobs/uploads/?digest={wrong}", data)) == (400, "DIGEST_INVALID")
    assert ask("HEAD", f"{v2}/o/r/blobs/{wrong}").status == 404
    push_blob(v2, "o/r", data)
    assert ask("GET", f"{v2}/o/r/blobs/{digest_of(data)}").body == data
    assert ask("HEAD", f"{v2}/o/r/blobs/{digest_of(data)}").headers["Content-Length"] == "7"
    assert ask("DELETE", f"{v2}/o/r/blobs/{digest_of(data)}").status == 202
    assert code_of(ask("GET", f"{v2}/o/r/blobs/{digest_of(data)}")) == (404, "BLOB_UNKNOWN")


def test_a_blob_of_another_repository_must_be_mounted(v2: str) -> None:
    digest = push_blob(v2, "o/r", b"content")
    push_blob(v2, "o/s", EMPTY)
    assert ask("GET", f"{v2}/o/s/blobs/{digest}").status == 404
    assert ask("POST", f"{v2}/o/s/blobs/uploads/?mount={digest}&from=o/nowhere").status == 202
    assert ask("POST", f"{v2}/o/s/blobs/uploads/?mount={digest}&from=o/r").status == 201
    assert ask("GET", f"{v2}/o/s/blobs/{digest}").body == b"content"


def test_a_blob_comes_in_pieces(services: Services, v2: str) -> None:
    root = f"http://{services.registry}"
    started = ask("POST", f"{v2}/o/r/blobs/uploads/")
    location = root + started.headers["Location"]
    assert started.status == 202
    first = ask("PATCH", location, b"hello ", {"Content-Range": "0-5"})
    assert (first.status, first.headers["Range"]) == (202, "0-5")
    assert code_of(ask("PATCH", location, b"x", {"Content-Range": "9-9"})) == (416, "BLOB_UPLOAD_INVALID")
    chunked = ask("PATCH", location, iter([b"wor", b"ld"]), encode_chunked=True)
    assert (chunked.status, chunked.headers["Range"]) == (202, "0-10")
    assert ask("GET", location).headers["Range"] == "0-10"
    digest = digest_of(b"hello world!")
    assert code_of(ask("PUT", f"{location}?digest=md5:0", b"!")) == (400, "DIGEST_INVALID")
    assert ask("PUT", f"{location}?digest={digest}", b"!").status == 201
    assert ask("GET", f"{v2}/o/r/blobs/{digest}").body == b"hello world!"
    assert code_of(ask("PATCH", location, b"x")) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_an_upload_belongs_to_its_repository_and_can_be_dropped(services: Services, v2: str) -> None:
    location = f"http://{services.registry}" + ask("POST", f"{v2}/o/r/blobs/uploads/").headers["Location"]
    elsewhere = location.replace("/o/r/", "/o/s/")
    assert ask("PATCH", elsewhere, b"x").status == 404
    assert ask("DELETE", location).status == 204
    assert ask("PATCH", location, b"x").status == 404
    assert not any((services.state / "registry" / "uploads").iterdir())


def test_tags_are_listed_page_by_page(v2: str) -> None:
    push_blob(v2, "o/r", EMPTY)
    for tag in ("b", "c", "a"):
        assert put(v2, "o/r", tag, manifest()).status == 201
    page = ask("GET", f"{v2}/o/r/tags/list?n=2")
    assert page.json() == {"name": "o/r", "tags": ["a", "b"]}
    assert page.headers["Link"] == '</v2/o/r/tags/list?n=2&last=b>; rel="next"'
    last = ask("GET", f"{v2}/o/r/tags/list?n=2&last=b")
    assert (last.json()["tags"], last.headers["Link"]) == (["c"], None)
    assert ask("DELETE", f"{v2}/o/r/manifests/a").status == 202
    assert ask("DELETE", f"{v2}/o/r/manifests/{digest_of(manifest())}").status == 202
    assert ask("GET", f"{v2}/o/r/tags/list").json()["tags"] == []


def test_referrers_are_listed(v2: str) -> None:
    push_blob(v2, "o/r", EMPTY)
    image = manifest()
    put(v2, "o/r", "v1", image)
    entries = [manifest(image), manifest(image, "text/x-two")]
    for entry in entries:
        pushed = put(v2, "o/r", digest_of(entry), entry)
        assert pushed.headers["OCI-Subject"] == digest_of(image)
    assert put(v2, "o/r", "v1", image).headers["OCI-Subject"] is None
    listed = ask("GET", f"{v2}/o/r/referrers/{digest_of(image)}")
    assert listed.headers["Content-Type"] == INDEX
    assert [found["digest"] for found in listed.json()["manifests"]] == [*map(digest_of, entries)]
    assert listed.json()["manifests"][1]["artifactType"] == "text/x-two"
    assert listed.json()["manifests"][1]["annotations"] == {"kind": "text/x-two"}
    filtered = ask("GET", f"{v2}/o/r/referrers/{digest_of(image)}?artifactType=text/x-one")
    assert len(filtered.json()["manifests"]) == 1
    assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
    assert ask("GET", f"{v2}/o/nobody/referrers/{digest_of(image)}").json()["manifests"] == []
    assert ask("GET", f"{v2}/o/r/referrers/v1").status == 400


def test_without_referrers_api_there_is_no_trace_of_it(tmp_path: Path) -> None:
    with Services(tmp_path, referrers_api=False) as services:
        v2 = f"http://{services.registry}/v2"
        push_blob(v2, "o/r", EMPTY)
        image, entry = manifest(), manifest(manifest())
        put(v2, "o/r", "v1", image)
        assert put(v2, "o/r", digest_of(entry), entry).headers["OCI-Subject"] is None
        assert code_of(ask("GET", f"{v2}/o/r/referrers/{digest_of(image)}")) == (404, "UNSUPPORTED")


def test_an_index_lists_what_is_here(v2: str) -> None:
    push_blob(v2, "o/r", EMPTY)
    image = manifest()
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(image, MANIFEST)]})
    assert code_of(put(v2, "o/r", "i", index.encode(), INDEX)) == (400, "MANIFEST_BLOB_UNKNOWN")
    put(v2, "o/r", "v1", image)
    assert put(v2, "o/r", "i", index.encode(), INDEX).status == 201


def test_requests_are_kept_in_order(services: Services, v2: str) -> None:
    ask("GET", f"{v2}/")
    ask("GET", f"{v2}/o/r/tags/list?n=1")
    ask("POST", f"{v2}/o/r/manifests/x")
    ask("GET", f"{v2}/O/r/tags/list")
    assert services.requests() == [
        ("GET", "/v2/", 200),
        ("GET", "/v2/o/r/tags/list?n=1", 404),
        ("POST", "/v2/o/r/manifests/x", 405),
        ("GET", "/v2/O/r/tags/list", 404),
    ]
    log = (services.state / "registry" / "access.log").read_text()
    assert log.splitlines()[1] == '"GET /v2/o/r/tags/list?n=1 HTTP/1.1" 404'
