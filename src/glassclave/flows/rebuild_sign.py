"""The word of whoever built an image again: signed, pushed beside it, read back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from glassclave.errors import RefusedError
from glassclave.flows.evidence import collect_evidence
from glassclave.flows.rebuild import rebuild_predicate
from glassclave.flows.signatures import check_room, push_bundle
from glassclave.flows.stated import none_was_withheld
from glassclave.oci.manifest import MANIFEST_MEDIA_TYPE, Descriptor
from glassclave.oci.reference import Reference
from glassclave.oci.transport import RegistryWriter
from glassclave.progress import Progress
from glassclave.provenance.evidence import SignatureVerifier, Signer, VerifiedSignature
from glassclave.provenance.rebuild import REBUILD_TYPE, Rebuilt, rebuild_predicate_record
from glassclave.provenance.statement import build_statement


def sign_rebuild(
    reference: Reference,
    rebuilt: Rebuilt,
    *,
    registry: RegistryWriter,
    signatures: SignatureVerifier,
    open_signer: Callable[[], AbstractContextManager[Signer]],
    progress: Progress,
) -> VerifiedSignature:
    """Sign that ``reference`` (by digest) came out again, and find the statement as a consumer would.

    Nothing that differs is signed. Raises `RefusedError` ``publish.referrers.count``, ``rebuild.read-back``
    and the errors of registry and signing.
    """
    digest = str(reference.digest)
    stored = registry.fetch_manifest(reference, digest)
    check_room(registry, reference, digest, adding=1)
    statement = build_statement(
        reference.name,
        digest.removeprefix("sha256:"),
        rebuild_predicate_record(rebuild_predicate(rebuilt)),
        predicate_type=REBUILD_TYPE,
    )
    with open_signer() as signer:
        bundle = signer.sign_statement(statement)
    subject = Descriptor(MANIFEST_MEDIA_TYPE, digest, len(stored.data))
    push_bundle(registry, reference, subject, bundle, REBUILD_TYPE)
    signature = _read_back(reference, statement, registry, signatures)
    progress.step("sign", f"log index {signature.log_index:,}")
    return signature


def _read_back(
    reference: Reference, statement: bytes, registry: RegistryWriter, signatures: SignatureVerifier
) -> VerifiedSignature:
    """The newest of those that say exactly this: the same words may have been signed in earlier weeks."""
    evidence = collect_evidence(registry, reference, str(reference.digest), signatures)
    found = [one.signature for one in evidence.rebuilds if one.signature.payload == statement]
    if not found:
        none_was_withheld(evidence.signatures)
        raise RefusedError(
            "rebuild.read-back",
            "the statement that was just pushed is not found or does not hold",
            source=str(reference),
        )
    return max(found, key=lambda one: (one.signed_at, one.log_index))
