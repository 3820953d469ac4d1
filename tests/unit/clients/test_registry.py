from __future__ import annotations

import socket
from functools import partial
from itertools import count

import pytest

from glassclave.clients.http import Web
from glassclave.clients.registry import Registry
from glassclave.errors import GlassclaveError, UsageError
from glassclave.oci.manifest import (
    INDEX_MEDIA_TYPE,
    MANIFEST_MEDIA_TYPE,
    build_index,
)
from glassclave.oci.reference import Reference
from glassclave.oci.transport import RegistryWriter
from tests.registry_server import Answer, RegistryServer, digest_of, failure
from tests.unit.clients.content import MANIFEST, code_of, once


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


def test_an_answer_that_does_not_say_its_size_is_bounded_too(
    server: RegistryServer, registry: RegistryWriter, ref: Reference
) -> None:
    silent = Answer(200, MANIFEST, {"Content-Type": MANIFEST_MEDIA_TYPE}, announced=-1)
    server.override = lambda request: silent
    size = len(MANIFEST)
    assert registry.fetch_manifest(ref, digest_of(MANIFEST), limit=size).data == MANIFEST
    refused = code_of(lambda: registry.fetch_manifest(ref, digest_of(MANIFEST), limit=size - 1))
    assert refused == "registry.size"


def test_an_answer_that_trickles_is_given_up(server: RegistryServer, ref: Reference) -> None:
    for step, resolved in ((119.0, True), (121.0, False)):
        seconds = count(0.0, step)
        slow = Registry(web=Web(clock=seconds.__next__), sleep=lambda wait: None)
        if resolved:
            assert slow.resolve(ref).data == MANIFEST
        else:
            assert code_of(partial(slow.resolve, ref)) == "registry.unavailable"


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
