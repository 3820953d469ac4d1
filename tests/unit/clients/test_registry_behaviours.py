"""What registries answer, as rows of one table, each with what our client must make of it.

Told by others of the registries named, not seen by us: no machine of ours reaches them. Rows that other tests
have already are named by comments where they would stand.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from glassclave.clients.registry import Registry
from glassclave.errors import GlassclaveError
from glassclave.oci.manifest import INDEX_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, build_index
from glassclave.oci.reference import Reference
from tests.registry_server import Answer, digest_of, failure, serving
from tests.unit.clients.behaviours import (
    HTML,
    SUBJECT,
    TAG,
    TOKEN,
    UPLOAD,
    Refusal,
    Row,
    attach,
    basic,
    bearer,
    before_the_api,
    find,
    helped,
    identity,
    no_list,
    on,
    promises,
    push,
    stored,
    upload_at,
)
from tests.unit.clients.content import MANIFEST
from tests.unit.clients.tls import certificate

NAME = "registry.example"

TAG_INVALID = failure(400, "TAG_INVALID")
NO_OCI = failure(405, "UNSUPPORTED")
BOTH = f'{{"token": "{TOKEN}", "access_token": "{TOKEN}", "expires_in": 300}}'
ONLY_ACCESS = f'{{"token": "", "access_token": "{TOKEN}"}}'

ROWS = (
    # Referrers. How they are read: test_answers_without_an_api_lead_to_the_fallback_tag; these are writers.
    Row("GHCR", "no list: 404", (no_list(failure(404, "NOT_FOUND")),), attach, "fallback tag"),
    Row(
        "GHCR",
        "no list: 303 to a page",
        (no_list(Answer(303, headers={"Location": "/page"})), on("GET", "/page", HTML)),
        attach,
        "fallback tag",
    ),
    Row("distribution 2.8", "no list: text", (no_list(Answer(404, b"404 page\n")),), attach, "fallback tag"),
    Row("some", "no list: 400", (no_list(failure(400, "X")),), attach, "fallback tag"),
    Row("some", "no list: 405", (no_list(NO_OCI),), attach, "fallback tag"),
    Row("some", "no list: 406", (no_list(Answer(406)),), attach, "fallback tag"),
    Row("some", "no list: 501", (no_list(Answer(501)),), attach, "fallback tag"),
    Row("some", "no list: HTML", (no_list(HTML),), attach, "fallback tag"),
    Row(
        "some", "list refused: 403", (no_list(failure(403, "DENIED")),), attach, Refusal("registry.forbidden")
    ),
    Row("some", "lists without OCI-Subject", (), attach, "listed"),
    Row("ECR", "OCI-Subject, lists", (promises(SUBJECT.digest),), attach, "listed"),
    Row(
        "ECR",
        "OCI-Subject, lists nothing",
        (promises(SUBJECT.digest), no_list(Answer(200, build_index([]), {"Content-Type": INDEX_MEDIA_TYPE}))),
        attach,
        "fallback tag",
    ),
    Row(
        "some",
        "OCI-Subject, no list at all",
        (promises(SUBJECT.digest), no_list(Answer(404))),
        attach,
        "fallback tag",
    ),
    Row("some", "OCI-Subject of another", (promises(digest_of(b"another")),), attach, "listed"),
    # Reading both: also test_the_list_and_the_fallback_tag_are_put_together.
    Row("Quay", "list misses what was before", (before_the_api,), find, "1 found"),
    Row(
        "some in Go",
        "an empty list is null",
        (no_list(Answer(200, b'{"schemaVersion":2,"manifests":null}', {"Content-Type": INDEX_MEDIA_TYPE})),),
        find,
        "0 found",
    ),
    # An image behind the fallback tag when read: test_an_image_behind_the_fallback_tag_is_no_list.
    Row(
        "GitLab",
        "the fallback tag stays the image",
        (
            no_list(Answer(404)),
            on("GET", f"/{TAG}", Answer(200, MANIFEST, {"Content-Type": MANIFEST_MEDIA_TYPE})),
        ),
        attach,
        Refusal("registry.referrers.race", "does not keep our entry"),
    ),
    Row(
        "ECR Public",
        "a token that ran out: 400 to everything",
        (on("GET", "/v2/", failure(400, "X")),),
        find,
        Refusal("registry.answer", "400"),  # never "0 found"
    ),
    # Manifests that are not taken.
    Row(
        "ECR",
        "subject: 405",
        (on("PUT", "/sha256:", NO_OCI),),
        attach,
        Refusal("registry.answer", "artifactType"),
    ),
    Row(
        "ECR",
        "artifactType: 400",
        (on("PUT", "/sha256:", failure(400, "MANIFEST_INVALID")),),
        attach,
        Refusal("registry.answer", "MANIFEST_INVALID"),
    ),
    Row(
        "some",
        "media type: 415",
        (on("PUT", "/sha256:", Answer(415)),),
        push,
        Refusal("registry.answer", "OCI 1.1"),
    ),
    Row(
        "ECR",
        "immutable tag",
        (on("PUT", "/t", TAG_INVALID),),
        push,
        Refusal("registry.tag-immutable", "another tag"),
    ),
    Row(
        "ECR",
        "immutable fallback tag",
        (no_list(Answer(404)), before_the_api, on("PUT", TAG, TAG_INVALID)),
        attach,
        Refusal("registry.tag-immutable", "sha256-"),
    ),
    Row(
        "Harbor",
        "immutable tag: 412",
        (on("PUT", "/t", failure(412, "PRECONDITION")),),
        push,
        Refusal("registry.tag-immutable", "412 PRECONDITION"),
    ),
    Row(
        "some",
        "immutable tag: 409",
        (on("PUT", "/t", Answer(409)),),
        push,
        Refusal("registry.tag-immutable", "409"),
    ),
    Row(
        "some",
        "tag refused: 400",
        (on("PUT", "/t", Answer(400)),),
        push,
        Refusal("registry.answer", "immutable"),
    ),
    Row(
        "some",
        "conflict by digest",
        (on("PUT", "/sha256:", Answer(409)),),
        push,
        Refusal("registry.answer", "409"),
    ),
    # Uploads. A relative Location with a query: test_a_blob_is_pushed_once; elsewhere:
    # test_an_upload_elsewhere_is_sent_without_our_login; joined: test_where_an_upload_goes.
    Row("distribution", "Location relative to the request", (upload_at("1?_state=a%2Fb"),), push, "pushed"),
    Row("Docker Hub", "absolute Location", (upload_at(f"http://HOST{UPLOAD}"),), push, "pushed"),
    Row(
        "Harbor",
        "TLS proxy, Location with http",
        (upload_at(f"http://HOST{UPLOAD}"),),
        push,
        "pushed",
        tls=True,
    ),
    Row(
        "Harbor",
        "TLS proxy, Location with http and no port",
        (upload_at(f"http://{NAME}{UPLOAD}"),),
        push,
        "pushed",
        tls=True,
    ),
    Row(
        "some",
        "TLS proxy, Location with an inner name",
        (upload_at(f"http://localhost{UPLOAD}"),),
        push,
        Refusal("registry.url"),
        tls=True,
    ),
    Row("some", "no HEAD: 405", (on("HEAD", "/blobs/", Answer(405)),), push, "pushed"),
    Row("some", "no HEAD: 501", (on("HEAD", "/blobs/", Answer(501)),), push, "pushed"),
    Row("some", "HEAD forbidden", (on("HEAD", "/blobs/", Answer(403)),), push, Refusal("registry.forbidden")),
    # HEAD with 404: test_a_blob_is_pushed_once.
    Row(
        "some",
        "201, as if a mount had been asked for",
        (on("POST", "/uploads/", Answer(201, headers={"Location": "/v2/o/r/blobs/x"})),),
        push,
        Refusal("registry.answer", "201"),
    ),
    Row(
        "ECR",
        "makes no repository",
        (on("POST", "/uploads/", failure(404, "NAME_UNKNOWN")),),
        push,
        Refusal("registry.not-found", "created first"),
    ),
    # Logins. Anonymous and by name: test_registry_auth.py, test_credentials.py.
    Row("GHCR", "github-token in docker's config", (bearer(),), push, "pushed", stored),
    Row("GHCR", "public: token for everybody", (bearer(login=False),), find, "0 found"),
    Row(
        "GHCR",
        "job without packages: write",
        (bearer(), on("POST", "/uploads/", failure(403, "DENIED"))),
        push,
        Refusal("registry.forbidden", "DENIED"),
        stored,
    ),
    Row(
        "GHCR",
        "login expired",
        (bearer(failure(403, "DENIED")),),
        push,
        Refusal("registry.unauthorized"),
        stored,
    ),
    Row(
        "GHCR",
        "scope refused",
        (bearer(failure(403, "DENIED"), login=False),),
        push,
        Refusal("registry.unauthorized", "log in"),
    ),
    Row("ECR", "Basic only, by its helper", (basic,), push, "pushed", helped),
    Row("ECR", "Basic only, no login", (basic,), push, Refusal("registry.unauthorized", "docker login")),
    Row(
        "ECR",
        "password older than 12 hours",
        (basic, on("HEAD", "/blobs/", failure(403, "DENIED"))),
        push,
        Refusal("registry.forbidden", "expired"),
        helped,
    ),
    Row("ECR Public", "token for AWS, by its helper", (bearer(),), push, "pushed", helped),
    Row("Docker Hub", "token and access_token", (bearer(BOTH),), push, "pushed", stored),
    Row("some", "token empty, access_token", (bearer(ONLY_ACCESS),), push, "pushed", stored),
    Row("ACR", "identity token, POST only", (bearer(ONLY_ACCESS, method="POST"),), push, "pushed", identity),
    Row(
        "GitLab",
        "identity token, GET only",
        (bearer(),),
        push,
        Refusal("registry.challenge", "405"),
        identity,
    ),
    Row(
        "some",
        "password, POST only",
        (bearer(method="POST"),),
        push,
        Refusal("registry.challenge", "405"),
        stored,
    ),
    Row(
        "Docker Hub",
        "token for everybody, 401 at the push",
        (bearer(login=False), on("POST", "/uploads/", failure(401, "UNAUTHORIZED"))),
        push,
        Refusal("registry.unauthorized", "log in"),
    ),
    # Rates. Every kind of request: test_every_refusal_has_its_code_and_its_number_of_tries; the token
    # service: test_a_token_service_that_gives_none.
    Row(
        "ECR",
        "429 to a manifest, then well",
        (on("PUT", "/manifests/", failure(429, "TOOMANYREQUESTS"), times=2),),
        push,
        "pushed",
        waits=(0.5, 1.0),
    ),
    Row(
        "Docker Hub",
        "429 with a date to wait for",
        (
            on(
                "PUT",
                "/blobs/",
                failure(429, "TOOMANYREQUESTS", Retry_After="Tue, 24 Nov 2026 10:00:00 GMT"),
                times=1,
            ),
        ),
        push,
        "pushed",
        waits=(0.5,),
    ),
    Row(
        "Docker Hub",
        "429 for six hours",
        (on("POST", "/uploads/", failure(429, "TOOMANYREQUESTS", Retry_After="21600")),),
        push,
        Refusal("registry.rate-limited", "log in"),
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.registry}: {row.does}")
def test_what_a_registry_does(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = _named(tmp_path, monkeypatch) if row.tls else None
    waits: list[float] = []
    with serving(tls=context) as server:
        server.add_manifest(MANIFEST, MANIFEST_MEDIA_TYPE)
        server.override = lambda request: next(
            (answer for rule in row.rules if (answer := rule(server, request)) is not None), None
        )
        host = server.address.replace("127.0.0.1", NAME) if row.tls else server.address
        registry = Registry(row.login(tmp_path, host), sleep=waits.append)
        ref = Reference(host, "o/r")
        if isinstance(row.expected, str):
            assert row.job(registry, ref) == row.expected
        else:
            with pytest.raises(GlassclaveError) as caught:
                row.job(registry, ref)
            said = f"{caught.value} {caught.value.hint}"
            assert caught.value.code == row.expected.code
            assert row.expected.words in said
            assert not any(secret in said for secret in ("s3cret", TOKEN, "free text"))
        assert tuple(waits) == row.waits


def _named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for `NAME`, which leads to this machine: loopback itself would be asked with http."""
    pem, context = certificate(folder, (NAME,))
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest: look_up("127.0.0.1" if host == NAME else host, *rest)
    )
    return context


def test_an_overwritten_fallback_tag_keeps_what_another_wrote() -> None:
    with serving(referrers_api=False) as server:
        server.override = lambda request: before_the_api(server, request)
        server.add_manifest(MANIFEST, MANIFEST_MEDIA_TYPE)
        assert attach(Registry(), Reference(server.address, "o/r")) == "fallback tag"
        assert find(Registry(), Reference(server.address, "o/r")) == "2 found"
