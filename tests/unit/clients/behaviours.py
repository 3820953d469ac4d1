"""What a registry may do otherwise than ours on loopback, and what is done with it: rows' parts."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glassclave.clients.credentials import Credentials, NoCredentials
from glassclave.clients.registry import Registry
from glassclave.oci.manifest import (
    EMPTY_BLOB,
    EMPTY_DESCRIPTOR,
    INDEX_MEDIA_TYPE,
    MANIFEST_MEDIA_TYPE,
    Descriptor,
    build_index,
    build_manifest,
)
from glassclave.oci.reference import Reference
from glassclave.oci.referrers import fallback_tag, find_referrers, record_referrer
from tests.registry_server import Answer, RegistryServer, Request, digest_of, failure
from tests.unit.clients.content import MANIFEST
from tests.unit.clients.test_credentials import configured, install_helper

SUBJECT = Descriptor(MANIFEST_MEDIA_TYPE, digest_of(MANIFEST), len(MANIFEST))
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def _referrer(number: str) -> bytes:
    return build_manifest(
        config=EMPTY_DESCRIPTOR,
        layers=[EMPTY_DESCRIPTOR],
        artifact_type=BUNDLE_TYPE,
        subject=SUBJECT,
        annotations={"number": number},
    )


OURS, OTHER = _referrer("1"), _referrer("2")
TAG = fallback_tag(SUBJECT.digest)
PASSWORD = "s3cret" * 700  # ECR's are of several KiB
TOKEN = "t0ken"
JOB = "x-access-token"
UPLOAD = "/v2/o/r/blobs/uploads/1?_state=a%2Fb"
HTML = Answer(200, b"<!DOCTYPE html>", {"Content-Type": "text/html; charset=utf-8"})

Rule = Callable[[RegistryServer, Request], Answer | None]
Job = Callable[[Registry, Reference], str]
Login = Callable[[Path, str], Credentials]


@dataclass(frozen=True)
class Refusal:
    """An error's code, and words that message or hint must have."""

    code: str
    words: str = ""


@dataclass(frozen=True)
class Row:
    registry: str
    does: str
    rules: tuple[Rule, ...]
    job: Job
    expected: str | Refusal
    login: Login = lambda folder, host: NoCredentials()
    waits: tuple[float, ...] = ()
    tls: bool = False


# Jobs: each says how it ended.


def push(registry: Registry, ref: Reference) -> str:
    """A blob, a manifest by digest, then a tag moved to it."""
    data = build_manifest(config=EMPTY_DESCRIPTOR, layers=[])
    registry.push_blob(ref, EMPTY_BLOB, EMPTY_DESCRIPTOR.digest)
    registry.push_manifest(ref, digest_of(data), data, MANIFEST_MEDIA_TYPE)
    registry.push_manifest(ref, "t", data, MANIFEST_MEDIA_TYPE)
    return "pushed"


def attach(registry: Registry, ref: Reference) -> str:
    """A referrer pushed, recorded and found again."""
    registry.push_manifest(ref, digest_of(OURS), OURS, MANIFEST_MEDIA_TYPE)
    wrote = record_referrer(
        registry, ref, SUBJECT.digest, Descriptor(MANIFEST_MEDIA_TYPE, digest_of(OURS), len(OURS))
    )
    assert digest_of(OURS) in [entry.digest for entry in find_referrers(registry, ref, SUBJECT.digest)]
    return "fallback tag" if wrote else "listed"


def find(registry: Registry, ref: Reference) -> str:
    return f"{len(find_referrers(registry, ref, SUBJECT.digest))} found"


# Rules: what a registry does otherwise than ours on loopback.


def on(method: str, part: str, answer: Answer, times: int = 1 << 20) -> Rule:
    """``answer`` to the first requests of ``method`` whose path holds ``part``."""
    asked: dict[str, int] = {}

    def rule(server: RegistryServer, request: Request) -> Answer | None:
        if request.method != method or part not in request.path:
            return None
        asked[server.address] = asked.get(server.address, 0) + 1
        return answer if asked[server.address] <= times else None

    return rule


def no_list(answer: Answer) -> Rule:
    return on("GET", "/referrers/", answer)


def promises(subject: str) -> Rule:
    """Manifests are stored, and answered with ``OCI-Subject``."""

    def rule(server: RegistryServer, request: Request) -> Answer | None:
        target = request.path.removeprefix("/v2/o/r/manifests/")
        if request.method != "PUT" or target == request.path:
            return None
        server.add_manifest(request.body, request.headers["content-type"], target)
        return Answer(201, headers={"OCI-Subject": subject})

    return rule


def before_the_api(server: RegistryServer, request: Request) -> Answer | None:
    """Behind the fallback tag stands what another wrote when there was no list."""
    if TAG not in server.manifests:
        index = build_index([Descriptor(MANIFEST_MEDIA_TYPE, digest_of(OTHER), len(OTHER))])
        server.add_manifest(index, INDEX_MEDIA_TYPE, TAG)
    return None


def upload_at(location: str) -> Rule:
    def rule(server: RegistryServer, request: Request) -> Answer | None:
        if request.method != "POST":
            return None
        assert "mount" not in request.query  # we never ask for it: 201 and 202 are no question then
        return Answer(202, headers={"Location": location.replace("HOST", request.headers["host"])})

    return rule


def _basic(name: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()


def basic(server: RegistryServer, request: Request) -> Answer | None:
    if request.headers.get("authorization") == _basic("AWS"):
        return None
    challenge = 'Basic realm="https://1.dkr.ecr.example/",service="ecr.example"'
    return Answer(401, b"Not Authorized\n", {"Content-Type": "text/plain", "WWW-Authenticate": challenge})


def bearer(
    grant: str | Answer = f'{{"token": "{TOKEN}"}}', *, method: str = "GET", login: bool = True
) -> Rule:
    """A token service that knows one method, and with ``login`` wants one there."""

    def rule(server: RegistryServer, request: Request) -> Answer | None:
        if request.path == "/token":
            if request.method != method:
                return failure(405, "UNSUPPORTED")
            sent = request.headers.get("authorization")
            known = (
                sent in {_basic("AWS"), _basic(JOB)} or f"refresh_token={PASSWORD}&".encode() in request.body
            )
            if login and not known:
                return failure(401, "UNAUTHORIZED")
            return Answer(200, grant.encode()) if isinstance(grant, str) else grant
        if request.headers.get("authorization") == f"Bearer {TOKEN}":
            return None
        realm = f'Bearer realm="http://{server.address}/token",service="s",scope="repository:o/r:pull"'
        return failure(401, "UNAUTHORIZED", WWW_Authenticate=realm)

    return rule


# Logins.


def stored(folder: Path, host: str) -> Credentials:
    """As ``docker login`` with a job's github-token leaves it; the name does not matter there."""
    return configured(folder, auths={host: {"username": JOB, "password": PASSWORD}})


def helped(folder: Path, host: str) -> Credentials:
    install_helper(folder, "ecr-login", {host: ("AWS", PASSWORD)})
    return configured(folder, credHelpers={host: "ecr-login"})


def identity(folder: Path, host: str) -> Credentials:
    """As ``az acr login`` leaves it."""
    name = "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg=="  # nil UUID, no password
    return configured(folder, auths={host: {"auth": name, "identitytoken": PASSWORD}})
