"""A registry in trouble is never taken for an artifact that nobody signed: every status, at every place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from glassclave.clients.registry import Registry
from glassclave.errors import GlassclaveError, UnavailableError
from glassclave.flows.verify import VerifyRequest, verify_reference
from glassclave.oci.reference import Reference
from glassclave.oci.referrers import fallback_tag, signature_tag
from glassclave.policy.model import Policy
from glassclave.policy.verdict import Level, Verdict
from glassclave.progress import Silent
from glassclave.results import Status
from tests.registry_server import Answer, RegistryServer, Request, failure, serving
from tests.unit.flows.published import Published, whole
from tests.unit.flows.seed import ACCEPTING, Seed

CODES = {
    401: "registry.unauthorized",
    403: "registry.forbidden",
    418: "registry.answer",
    429: "registry.rate-limited",
    **dict.fromkeys((408, 500, 502, 503, 504), "registry.unavailable"),
}
STATUSES = tuple(CODES)
EVIDENCE = ("referrers", "fallback tag", ".sig tag")


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with serving() as running:
        yield running


def laid_out(published: Published, server: RegistryServer) -> Published:
    """The same artifact and evidence in a registry that is really asked."""
    for stored in published.registry.manifests.values():
        names = [tag for tag, digest in published.registry.tags.items() if digest == stored.digest]
        server.add_manifest(stored.data, stored.media_type, *names)
    for data in published.registry.blobs.values():
        server.add_blob(data)
    return published


def judge(published: Published, server: RegistryServer, policy: Policy = ACCEPTING) -> Verdict:
    outcome = verify_reference(
        VerifyRequest(reference=Reference(server.address, "o/r", tag="1.2"), policy=policy),
        registry=Registry(sleep=lambda seconds: None),
        signatures=published.sigstore,
        progress=Silent(),
    )
    outcome.close()
    return outcome.verdict


def paths(published: Published) -> dict[str, str]:
    """By name, the end of the path of each thing that is asked for."""
    evidence = {
        "referrers": f"referrers/{published.digest}",
        "fallback tag": f"manifests/{fallback_tag(published.digest)}",
        ".sig tag": f"manifests/{signature_tag(published.digest)}",
    }
    referrers = published.registry.referrers
    listed = {f"referrer {number}": f"manifests/{one.digest}" for number, one in enumerate(referrers)}
    return {"tag": "manifests/1.2", **evidence, **listed}


def answering(path: str, status: int, server: RegistryServer) -> None:
    def rule(request: Request) -> Answer | None:
        return failure(status, "DENIED") if request.path.endswith(path) else None

    server.override = rule


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("place", ["tag", *EVIDENCE])
def test_of_an_image_without_signatures_it_is_no_verdict(
    server: RegistryServer, place: str, status: int
) -> None:
    published = laid_out(Published(), server)
    assert [one.code for one in judge(published, server).checks if one.status is Status.FAIL] == [
        "signature.none"
    ]
    answering(paths(published)[place], status, server)
    with pytest.raises(UnavailableError) as caught:
        judge(published, server)
    assert caught.value.code == CODES[status]
    assert caught.value.exit_status == 3


@pytest.mark.parametrize("status", STATUSES)
def test_of_a_signed_image_it_is_no_verdict_or_the_same(server: RegistryServer, status: int) -> None:
    """With the lack of a statement accepted, which a registry must not be able to bring about like this."""
    published = laid_out(whole(), server)
    assert judge(published, server).level is Level.PROVENANCE
    for path in paths(published).values():
        answering(path, status, server)
        try:
            assert judge(published, server).level is Level.PROVENANCE
        except UnavailableError as error:
            assert error.code.startswith("registry.")


@pytest.mark.parametrize("status", STATUSES)
def test_of_an_unstated_image_it_is_no_verdict(server: RegistryServer, status: int) -> None:
    published = Seed()
    published.sign_bundle()
    laid_out(published, server)
    assert judge(published, server).level is Level.UNSTATED
    for name, path in paths(published).items():
        answering(path, status, server)
        with pytest.raises(UnavailableError):
            pytest.fail(f"{name}: {judge(published, server).level}")


@pytest.mark.parametrize("status", [400, 404, 405, 406, 501])
def test_a_registry_without_the_api_is_no_registry_in_trouble(server: RegistryServer, status: int) -> None:
    published = laid_out(Published(), server)
    answering(paths(published)["referrers"], status, server)
    failed = [one.code for one in judge(published, server).checks if one.status is Status.FAIL]
    assert failed == ["signature.none"]


def _flipped(data: bytes) -> bytes:
    """JSON and a manifest still, and nobody signed it."""
    return data + b" "


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:-7], lambda data: b"<!DOCTYPE html>", _flipped]
)
def test_a_damaged_answer_for_the_tag_is_no_verdict(
    server: RegistryServer, damage: Callable[[bytes], bytes]
) -> None:
    """Neither "no image" nor "unsigned": the registry knows no such manifest by its digest."""
    published = laid_out(whole(), server)
    stored = published.registry.manifests[published.digest]
    damaged = damage(stored.data)
    assert damaged != stored.data

    def rule(request: Request) -> Answer | None:
        wanted = request.path.endswith(paths(published)["tag"])
        return Answer(200, damaged, {"Content-Type": stored.media_type}) if wanted else None

    server.override = rule
    with pytest.raises(GlassclaveError) as caught:
        judge(published, server)
    assert (caught.value.exit_status, caught.value.code) in ((3, "json.syntax"), (3, "registry.not-found"))
