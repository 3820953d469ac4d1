"""Our registry client against real registries, and what it leaves there against oras."""

import json
import subprocess
from io import BytesIO
from pathlib import Path

import pytest

from glassclave.clients.registry import Registry as Client
from glassclave.digests import sha256_digest
from glassclave.oci.artifact import (
    ARTIFACT_TYPE,
    EIF_MEDIA_TYPE,
    ArtifactPlan,
    BlobInfo,
    plan_artifact,
    read_artifact,
)
from glassclave.oci.manifest import (
    EMPTY_DESCRIPTOR,
    MANIFEST_MEDIA_TYPE,
    Descriptor,
    build_manifest,
    parse_manifest,
)
from glassclave.oci.reference import Reference, parse_reference
from glassclave.oci.referrers import fallback_tag, find_referrers, record_referrer
from glassclave.progress import Silent
from tests.interop.peers import Registry

pytestmark = pytest.mark.interop

EIF = bytes(range(256)) * 20_000  # 5 MB: many reads and writes
PLAN = plan_artifact(
    BlobInfo(sha256_digest(EIF), len(EIF)), b'{"m": 1}', b'{"d": 1}', {0: b"\1" * 48, 1: b"\2" * 48}
)
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.fixture(params=["docker_registry", pytest.param("referrers_registry", marks=pytest.mark.acceptance)])
def registry(request: pytest.FixtureRequest) -> Registry:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Registry)
    return found


def publish(client: Client, ref: Reference, plan: ArtifactPlan, tag: str) -> None:
    for blob in plan.blobs:
        client.push_blob(ref, EIF if blob.data is None else blob.data, blob.descriptor.digest)
    client.push_manifest(ref, plan.digest, plan.manifest, MANIFEST_MEDIA_TYPE)
    client.push_manifest(ref, tag, plan.manifest, MANIFEST_MEDIA_TYPE)


def attach(client: Client, ref: Reference, number: int) -> Descriptor:
    """A referrer of the artifact, findable."""
    bundle = b'{"bundle": %d}' % number
    layer = Descriptor(BUNDLE_TYPE, sha256_digest(bundle), len(bundle))
    manifest = build_manifest(
        config=EMPTY_DESCRIPTOR, layers=[layer], artifact_type=BUNDLE_TYPE, subject=PLAN.descriptor
    )
    entry = Descriptor(MANIFEST_MEDIA_TYPE, sha256_digest(manifest), len(manifest), artifact_type=BUNDLE_TYPE)
    client.push_blob(ref, bundle, layer.digest)
    client.push_manifest(ref, entry.digest, manifest, MANIFEST_MEDIA_TYPE)
    record_referrer(client, ref, PLAN.digest, entry)
    return entry


def run(program: Path, *arguments: str, environment: dict[str, str], folder: Path) -> str:
    finished = subprocess.run(
        [program, *arguments], env=environment, cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_an_artifact_goes_there_and_back(registry: Registry) -> None:
    ref = parse_reference(f"{registry.address}/acme/app:v1")
    client = Client()
    assert not client.tag_exists(ref, "v1")
    publish(client, ref, PLAN, "v1")
    stored = Client().resolve(ref)
    assert (stored.digest, stored.data, stored.media_type) == (
        PLAN.digest,
        PLAN.manifest,
        MANIFEST_MEDIA_TYPE,
    )
    layers = read_artifact(parse_manifest(stored.data, source="registry"))
    file = BytesIO()
    client.fetch_blob_to(ref, layers.eif, file, Silent())
    assert file.getvalue() == EIF
    assert layers.describe is not None
    assert client.fetch_small_blob(ref, layers.describe, 100) == b'{"d": 1}'


def test_nothing_is_uploaded_twice(registry: Registry) -> None:
    ref = parse_reference(f"{registry.address}/acme/app:v1")
    client = Client()
    publish(client, ref, PLAN, "v1")
    assert [client.push_blob(ref, blob.data or EIF, blob.descriptor.digest) for blob in PLAN.blobs] == [
        False
    ] * len(PLAN.blobs)


def test_oras_pulls_what_we_published(
    registry: Registry, oras: Path, peer_environment: dict[str, str], tmp_path: Path
) -> None:
    ref = parse_reference(f"{registry.address}/acme/app:v1")
    publish(Client(), ref, PLAN, "v1")
    pulled = tmp_path / "pulled"
    pulled.mkdir()
    run(
        oras, "pull", "--plain-http", f"{ref.name}@{PLAN.digest}", environment=peer_environment, folder=pulled
    )
    files = {path.name: path.read_bytes() for path in pulled.iterdir()}
    assert files == {
        "app.eif": EIF,
        "app.measurements.json": b'{"m": 1}',
        "app.describe.json": b'{"d": 1}',
    }


def test_we_read_what_oras_pushed(
    registry: Registry, oras: Path, peer_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "app.eif").write_bytes(EIF)
    ref = parse_reference(f"{registry.address}/acme/app:v2")
    options = ["--plain-http", "--artifact-type", ARTIFACT_TYPE]
    run(
        oras,
        *("push", *options, str(ref), f"app.eif:{EIF_MEDIA_TYPE}"),
        environment=peer_environment,
        folder=tmp_path,
    )
    layers = read_artifact(parse_manifest(Client().resolve(ref).data, source="oras"))
    assert (layers.eif.digest, layers.eif.size, layers.measurements) == (sha256_digest(EIF), len(EIF), None)


def test_referrers_of_ours_and_of_oras_live_together(
    registry: Registry, oras: Path, peer_environment: dict[str, str], tmp_path: Path
) -> None:
    ref = parse_reference(f"{registry.address}/acme/app:v1")
    client = Client()
    publish(client, ref, PLAN, "v1")
    first = attach(client, ref, 1)
    (tmp_path / "note.txt").write_text("attached by oras")
    subject = f"{ref.name}@{PLAN.digest}"
    run(
        oras,
        *("attach", "--plain-http", "--artifact-type", "text/note", subject, "note.txt"),
        environment=peer_environment,
        folder=tmp_path,
    )
    second = attach(client, ref, 2)
    found = {entry.digest for entry in find_referrers(client, ref, PLAN.digest)}
    assert len(found) == 3
    assert {first.digest, second.digest} < found
    listing = run(
        oras,
        *("discover", "--plain-http", "--format", "json", subject),
        environment=peer_environment,
        folder=tmp_path,
    )
    discovered = json.loads(listing)
    entries = discovered.get("manifests") or discovered.get("referrers")
    assert {entry["digest"] for entry in entries} == found
    for digest in found:
        manifest = parse_manifest(client.fetch_manifest(ref, digest).data, source=digest)
        assert manifest.subject is not None
        assert manifest.subject.digest == PLAN.digest


def test_the_fallback_tag_is_written_where_there_is_no_api_only(
    docker_registry: Registry, referrers_registry: Registry
) -> None:
    client = Client()
    for registry, has_tag in ((docker_registry, True), (referrers_registry, False)):
        ref = parse_reference(f"{registry.address}/acme/app:v1")
        publish(client, ref, PLAN, "v1")
        attach(client, ref, 1)
        assert (client.list_referrers(ref, PLAN.digest) is None) is has_tag
        assert client.tag_exists(ref, fallback_tag(PLAN.digest)) is has_tag
