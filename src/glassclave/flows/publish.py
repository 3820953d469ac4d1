"""From an image file to a published, signed artifact. The tag moves last, after reading everything back."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from glassclave.eif.describe import describe
from glassclave.eif.inspection import inspect_image
from glassclave.errors import ParseError, RefusedError, UnavailableError, UsageError
from glassclave.flows.files import measurements_file
from glassclave.flows.log import LogArchive, load_archive
from glassclave.flows.log_referrer import push_log, refuse_other_run
from glassclave.flows.measure import MeasuredFile, measure_file
from glassclave.flows.signatures import check_room, push_bundle, push_signature
from glassclave.oci.artifact import ArtifactPlan, BlobInfo, Titles, plan_artifact
from glassclave.oci.manifest import MANIFEST_MEDIA_TYPE
from glassclave.oci.reference import Reference
from glassclave.oci.transport import RegistryWriter
from glassclave.progress import Progress
from glassclave.provenance.claimed import SourceClaim
from glassclave.provenance.claims import Claims
from glassclave.provenance.cosign import SIGN_PREDICATE_TYPE, build_payload
from glassclave.provenance.evidence import Signer
from glassclave.provenance.predicate import (
    PREDICATE_TYPE,
    MeasurementPredicate,
    parse_predicate,
    predicate_json,
)
from glassclave.provenance.statement import build_statement
from glassclave.streams import FileSource, open_source, read_small_file

MAX_MEASUREMENTS = 1 << 20
_BUNDLES = (SIGN_PREDICATE_TYPE, PREDICATE_TYPE)
"""Predicate types of the bundles that one publishing adds."""
_LOGS = 3
"""Referrers of logs: the build's, and the whole run's with the statement about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRequest:
    """``image``: the EIF; ``reference``: with a tag; ``measurements``: what `build` wrote beside the image,
    ``None`` for the file of that name. ``info_name``: what the description beside the image is called;
    ``annotate``: whether PCRs stand in the manifest's annotations; ``log``: folder with the build's log, to
    be signed with the image and kept beside it. Raises `UsageError` ``publish.tag``."""

    image: Path
    reference: Reference
    measurements: Path | None = None
    info_name: str | None = None
    annotate: bool = True
    log: Path | None = None

    def __post_init__(self) -> None:
        if self.reference.tag is None or self.reference.digest is not None:
            raise UsageError(
                "publish.tag", "name a tag and no digest to publish under", field=str(self.reference)[:120]
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What stands in the registry. ``log_index``: of the entry that the `.sig` signature has."""

    reference: Reference
    log_index: int
    claims: Claims
    predicate: MeasurementPredicate


def publish_image(
    request: PublishRequest,
    *,
    registry: RegistryWriter,
    open_signer: Callable[[], AbstractContextManager[Signer]],
    read_back: Callable[[Reference, Claims], None],
    progress: Progress,
) -> Published:
    """Push by digest, sign, push the signatures, read back, move the tag.

    ``read_back`` judges the artifact through the consumer's own path and raises where a consumer would be
    refused; then the tag is not moved. Raises `RefusedError` ``publish.*``, and the errors of image, registry
    and signing.
    """
    log = None if request.log is None else load_archive(request.log)
    plan, predicate = push_by_digest(request, registry=registry, progress=progress)
    pinned = request.reference.pinned(plan.digest)
    check_room(registry, pinned, plan.digest, adding=len(_BUNDLES) + (0 if log is None else _LOGS))
    with open_signer() as signer:
        claims = signer.claims
        if log is not None:
            refuse_other_run(log, claims)
        stated = _stated(predicate, claims, log)
        log_index = _sign(registry, pinned, plan, stated, signer, log, progress)
    read_back(pinned, claims)
    progress.step("read back", "judged as a consumer does: passed")
    _move_tag(registry, request.reference, plan)
    progress.step("tag", f"{request.reference.tag} now names {plan.digest}")
    return Published(reference=pinned, log_index=log_index, claims=claims, predicate=stated)


def _stated(predicate: MeasurementPredicate, claims: Claims, log: LogArchive | None) -> MeasurementPredicate:
    """With what is known only now: the source, as the certificate says it, and the log."""
    return replace(
        predicate,
        claimed=replace(
            predicate.claimed, source=_source_claim(claims), build_log=None if log is None else log.claim
        ),
    )


def push_unsigned(request: PublishRequest, *, registry: RegistryWriter, progress: Progress) -> Reference:
    """Push without signing, and move the tag: nobody can judge what it names. Its reference by digest."""
    if request.log is not None:
        raise UsageError(
            "publish.log.unsigned", "a log is kept by what is signed of it", hint="leave out one of the two"
        )
    plan, _ = push_by_digest(request, registry=registry, progress=progress)
    progress.warn("publish.unsigned", "nobody can judge an image that nobody signed")
    _move_tag(registry, request.reference, plan)
    progress.step("tag", f"{request.reference.tag} now names {plan.digest}")
    return request.reference.pinned(plan.digest)


def push_by_digest(
    request: PublishRequest, *, registry: RegistryWriter, progress: Progress
) -> tuple[ArtifactPlan, MeasurementPredicate]:
    """Measure the image and put the artifact into the registry, unsigned and under no tag."""
    with open_source(request.image) as source:
        file = measure_file(source, name=str(request.image), progress=progress)
        predicate = _load_predicate(request, file)
        plan = _plan(request, source, file, predicate)
        _push_artifact(registry, request.reference, source, plan, progress)
    return plan, predicate


def _load_predicate(request: PublishRequest, file: MeasuredFile) -> MeasurementPredicate:
    """The measurements file, which must say of this image exactly what was just measured."""
    path = request.measurements or measurements_file(request.image)
    data = read_small_file(path, limit=MAX_MEASUREMENTS)
    try:
        predicate = parse_predicate(data, source=str(path))
    except ParseError as error:
        error.hint = (
            error.hint or "the measurements file is wanted that glassclave build writes beside the image"
        )
        raise
    if predicate.measured != file.measured:
        raise RefusedError(
            "publish.measurements.mismatch",
            "the measurements file is about another image",
            source=str(path),
            hint="build the image again: glassclave build writes both",
        )
    return predicate


def _plan(
    request: PublishRequest, source: FileSource, file: MeasuredFile, predicate: MeasurementPredicate
) -> ArtifactPlan:
    described = describe(inspect_image(source, name=request.image.name))
    stem = request.image.name.removesuffix(".eif")
    return plan_artifact(
        BlobInfo("sha256:" + file.measured.eif.sha256.hex(), file.measured.eif.size),
        predicate_json(predicate),
        json.dumps(described, indent=2, ensure_ascii=True).encode() + b"\n",
        file.measured.measurements.by_index() if request.annotate else {},
        Titles(
            # The file's own name: whoever publishes "image" gets "image" back.
            request.image.name,
            f"{stem}.measurements.json",
            request.info_name or f"{stem}.describe.json",
        ),
    )


def _push_artifact(
    registry: RegistryWriter, reference: Reference, source: FileSource, plan: ArtifactPlan, progress: Progress
) -> None:
    for blob in plan.blobs:
        content = source if blob.data is None else blob.data
        registry.push_blob(reference, content, blob.descriptor.digest, progress)
    registry.push_manifest(reference, plan.digest, plan.manifest, MANIFEST_MEDIA_TYPE)
    progress.step("push", f"{reference.name}@{plan.digest}")


def _sign(
    registry: RegistryWriter,
    reference: Reference,
    plan: ArtifactPlan,
    stated: MeasurementPredicate,
    signer: Signer,
    log: LogArchive | None,
    progress: Progress,
) -> int:
    """Every signature made before any is pushed, so that a failing service leaves nothing half signed."""
    subject = plan.digest.removeprefix("sha256:")
    signed = signer.sign_payload(build_payload(reference.name, plan.digest))
    predicates: dict[str, MeasurementPredicate | dict[str, object]] = {
        SIGN_PREDICATE_TYPE: {},
        PREDICATE_TYPE: stated,
    }
    sealed = [
        (
            kind,
            signer.sign_statement(
                build_statement(reference.name, subject, predicates[kind], predicate_type=kind)
            ),
        )
        for kind in _BUNDLES
    ]
    if log is not None:
        push_log(registry, reference, plan.descriptor, log)
        progress.step("log", f"{log.record.text_lines:,} lines kept beside the image")
    for kind, bundle in sealed:
        push_bundle(registry, reference, plan.descriptor, bundle, kind)
    push_signature(registry, reference, plan.digest, signed)
    progress.step("sign", f"log index {signed.log_index:,}")
    return signed.log_index


def _source_claim(claims: Claims) -> SourceClaim | None:
    """Where the source is, as the certificate says it."""
    repository, commit, ref = (
        claims.source_repository_uri,
        claims.source_repository_digest,
        claims.source_repository_ref,
    )
    if repository is None or commit is None or ref is None:
        return None
    return SourceClaim(repository=repository, commit=commit, ref=ref)


def _move_tag(registry: RegistryWriter, reference: Reference, plan: ArtifactPlan) -> None:
    tag = reference.tag or ""
    registry.push_manifest(reference, tag, plan.manifest, MANIFEST_MEDIA_TYPE)
    found = registry.find_tag(reference, tag)
    if found is None or found.digest != plan.digest:
        raise UnavailableError(
            "publish.tag.moved",
            f"the tag {tag} does not name what was just put there",
            source=str(reference),
            hint="somebody else may be publishing to the same tag",
        )
