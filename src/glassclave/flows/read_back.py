"""A publisher's own work judged through the consumer's path, before anybody can find it by its tag."""

from __future__ import annotations

from glassclave.errors import RefusedError
from glassclave.flows.verify import VerifyRequest, verify_reference
from glassclave.oci.reference import Reference
from glassclave.oci.transport import RegistryReader
from glassclave.policy.checks.identity import check_identity
from glassclave.policy.model import Policy
from glassclave.progress import Progress
from glassclave.provenance.claims import Claims, repository_of, split_workflow_uri
from glassclave.provenance.evidence import SignatureVerifier
from glassclave.results import Status


def read_back(
    reference: Reference,
    claims: Claims,
    *,
    registry: RegistryReader,
    signatures: SignatureVerifier,
    progress: Progress,
) -> None:
    """Judge ``reference`` (a digest) for exactly the identity that signed.

    Raises `RefusedError` ``publish.read-back`` naming the failed check. What a consumer's defaults would
    refuse (a pull request's run, a branch) is said as a warning: the publisher may mean it.
    """
    policy = exact_policy(claims)
    by_digest = Reference(
        registry=reference.registry, repository=reference.repository, digest=reference.digest
    )
    outcome = verify_reference(
        VerifyRequest(reference=by_digest, policy=policy),
        registry=registry,
        signatures=signatures,
        progress=progress,
    )
    if outcome.image is not None:
        outcome.image.close()
    if not outcome.verdict.passed:
        failed = [check for check in outcome.verdict.checks if check.status is Status.FAIL]
        reason = f"{failed[0].message} [{failed[0].code}]" if failed else "a step could not be taken"
        raise RefusedError(
            "publish.read-back", f"what was published does not verify: {reason}", source=str(reference)
        )
    for check in check_identity(claims, Policy(repository=policy.repository)):
        if check.status is Status.FAIL:
            progress.warn(
                check.code,
                f"consumers will refuse this unless they allow it: {check.message}",
            )


def exact_policy(claims: Claims) -> Policy:
    """The policy that only this identity meets. `RefusedError` ``publish.identity`` for no GitHub job's."""
    repository = repository_of(claims.source_repository_uri or "")
    signer = split_workflow_uri(claims.build_signer_uri or "")
    values = (claims.issuer, claims.source_repository_ref, claims.build_trigger)
    issuer, ref, trigger = values
    if repository is None or signer is None or issuer is None or ref is None or trigger is None:
        raise RefusedError(
            "publish.identity",
            "the certificate is not that of a GitHub Actions job",
            hint="publish from a workflow with id-token: write",
        )
    return Policy(
        repository=repository,
        issuer=issuer,
        signer_workflow=f"{signer.repository}/{signer.path}",
        source_refs=(ref,),
        source_digest=claims.source_repository_digest,
        triggers=(trigger,),
        runner_environment=claims.runner_environment,
        visibility=claims.visibility,
    )
