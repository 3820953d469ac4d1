"""Publishing in memory: the tag moves last, and only after a consumer would accept what was pushed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from glassclave.errors import GlassclaveError, UnavailableError
from glassclave.flows.files import measurements_file
from glassclave.flows.publish import Published, PublishRequest, publish_image
from glassclave.flows.read_back import exact_policy, read_back
from glassclave.oci.manifest import MANIFEST_MEDIA_TYPE, Descriptor, parse_manifest
from glassclave.oci.reference import Reference
from glassclave.oci.referrers import MAX_REFERRERS
from glassclave.oci.transport import PushResult, StoredManifest
from glassclave.progress import Progress, Silent
from glassclave.provenance.claims import Claims
from glassclave.provenance.cosign import LegacySignature
from glassclave.provenance.evidence import SignedPayload
from glassclave.provenance.predicate import predicate_json
from glassclave.streams import ByteSource
from tests.unit.flows.published import GOOD, IMAGE, REFERENCE, MemoryRegistry, MemorySigstore, seal
from tests.unit.flows.published import Published as Artifact

TAG = str(REFERENCE.tag)


@dataclass
class MemoryWriter(MemoryRegistry):
    """`RegistryWriter`. ``stolen``: what the tag names once it was put; ``forgets``: the end of tags that are
    taken and not kept; ``written``: targets in order."""

    stolen: str | None = None
    forgets: str | None = None
    written: list[str] = field(default_factory=list)

    def push_blob(
        self, ref: Reference, source: ByteSource | bytes, digest: str, progress: Progress | None = None
    ) -> bool:
        data = source if isinstance(source, bytes) else source.read_at(0, source.size)
        self.blobs[digest] = data
        return True

    def push_manifest(self, ref: Reference, target: str, data: bytes, media_type: str) -> PushResult:
        digest = self.put_manifest(data, None if ":" in target else target)
        subject = parse_manifest(data, source=target).subject
        if subject is not None:
            self.referrers.append(Descriptor(media_type, digest, len(data)))
        self.written.append(target)
        if self.forgets and target.endswith(self.forgets):
            self.tags.pop(target, None)
        if self.stolen is not None and target == TAG:
            self.tags[TAG] = self.stolen
        return PushResult(digest, None)

    def tag_exists(self, ref: Reference, tag: str) -> bool:
        return tag in self.tags

    def resolve(self, ref: Reference) -> StoredManifest:
        return self.fetch_manifest(ref, ref.digest or self.tags[ref.tag or ""])


@dataclass(frozen=True)
class MemorySigner:
    """`Signer` that `MemorySigstore` believes; ``broken``: the code that it refuses the signatures with."""

    claims: Claims = GOOD
    broken: str | None = None
    fails: bool = False

    def sign_payload(self, payload: bytes) -> SignedPayload:
        sealed = {"claims": self.claims.present(), "log": 1}
        if self.broken:
            sealed["broken"] = self.broken
        legacy = LegacySignature(
            payload=payload,
            signature="AA==",
            certificate=json.dumps(sealed),
            chain=None,
            bundle=None,
            timestamp=None,
        )
        return SignedPayload(signature=legacy, log_index=1)

    def sign_statement(self, statement: bytes) -> bytes:
        if self.fails:
            raise UnavailableError("sign.signature.failed", "the signature was not given")
        return seal(statement, self.claims, log=2, broken=self.broken)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "app.eif"
    path.write_bytes(IMAGE)
    measurements_file(path).write_bytes(predicate_json(Artifact().predicate))
    return path


def publish(image: Path, registry: MemoryWriter, signer: MemorySigner | None = None) -> Published:
    sigstore = MemorySigstore()

    @contextmanager
    def open_signer() -> Iterator[MemorySigner]:
        yield signer or MemorySigner()

    return publish_image(
        PublishRequest(image=image, reference=REFERENCE),
        registry=registry,
        open_signer=open_signer,
        read_back=lambda pinned, claims: read_back(
            pinned, claims, registry=registry, signatures=sigstore, progress=Silent()
        ),
        progress=Silent(),
    )


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(GlassclaveError) as caught:
        action()
    return caught.value.code


def test_the_tag_is_the_last_thing_that_is_written(image: Path) -> None:
    registry = MemoryWriter()
    published = publish(image, registry)
    assert registry.written[-1] == TAG
    assert registry.tags[TAG] == published.reference.digest
    assert len(registry.referrers) == 2


@pytest.mark.parametrize("code", ["signature.invalid", "signature.certificate.chain"])
def test_what_a_consumer_would_refuse_gets_no_tag(image: Path, code: str) -> None:
    registry = MemoryWriter()
    good = publish(image, registry)
    other = image.with_name("other.eif")
    other.write_bytes(IMAGE)
    measurements_file(other).write_bytes(predicate_json(Artifact().predicate))
    assert refusal(lambda: publish(other, registry, MemorySigner(broken=code))) == "publish.read-back"
    assert registry.tags[TAG] == good.reference.digest
    assert registry.written.count(TAG) == 1


def test_a_signing_service_that_fails_leaves_nothing_half_signed(image: Path) -> None:
    registry = MemoryWriter()
    assert refusal(lambda: publish(image, registry, MemorySigner(fails=True))) == "sign.signature.failed"
    assert registry.referrers == []
    assert registry.tags == {}


def test_what_would_be_one_signature_too_many_is_refused_before_it_is_made(image: Path) -> None:
    """More referrers than readers look into: then nobody could judge the image any more."""
    registry = MemoryWriter()
    publish(image, registry)
    index = [
        Descriptor(MANIFEST_MEDIA_TYPE, f"sha256:{number:064x}", 7) for number in range(MAX_REFERRERS - 3)
    ]
    registry.referrers += index
    tags = dict(registry.tags)
    assert len(registry.referrers) == MAX_REFERRERS - 1
    signer = MemorySigner(fails=True)
    assert refusal(lambda: publish(image, registry, signer)) == "publish.referrers.count"
    assert registry.tags == tags
    registry.referrers.pop()
    assert refusal(lambda: publish(image, registry, signer)) == "sign.signature.failed"


def test_a_signature_that_was_taken_and_not_kept_is_noticed(image: Path) -> None:
    """Bundles alone would pass our reading back; readers of the older layout would find nothing."""
    registry = MemoryWriter(forgets=".sig")
    assert refusal(lambda: publish(image, registry)) == "publish.signature.lost"
    assert TAG not in registry.tags


def test_a_tag_that_somebody_else_moves_is_noticed(image: Path) -> None:
    registry = MemoryWriter()
    registry.stolen = registry.put_manifest(b"{}")
    assert refusal(lambda: publish(image, registry)) == "publish.tag.moved"


def test_measurements_of_another_image_stop_it_before_anything_is_pushed(image: Path) -> None:
    registry = MemoryWriter()
    predicate = Artifact().predicate
    wrong = replace(predicate, measured=replace(predicate.measured, flags=1))
    measurements_file(image).write_bytes(predicate_json(wrong))
    assert refusal(lambda: publish(image, registry)) == "publish.measurements.mismatch"
    assert (registry.written, registry.blobs) == ([], {})


def test_only_the_identity_that_signed_meets_the_policy_of_reading_back() -> None:
    policy = exact_policy(GOOD)
    assert (policy.repository, policy.source_refs, policy.source_digest) == (
        "acme/hello",
        ("refs/tags/1.2",),
        GOOD.source_repository_digest,
    )
    assert refusal(lambda: exact_policy(replace(GOOD, build_signer_uri=None))) == "publish.identity"
