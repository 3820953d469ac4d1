"""Who signed: every claim of the certificate that decides, one check each. A missing claim is a failure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable

from glassclave.escaping import escape_untrusted
from glassclave.policy.model import Policy, matches_ref, same_repository
from glassclave.provenance.claims import Claims, repository_of, split_workflow_uri
from glassclave.results import Check, Status

STEP = "identity"
ADVICE = "; to accept it: "
"""Between what is wrong and how to ask for it all the same."""


def check_identity(claims: Claims, policy: Policy, *, step: str = STEP) -> tuple[Check, ...]:
    """The identity checks, always all of them and in the same order."""
    judges: Iterable[Callable[[Claims, Policy, str], Check]] = (
        _issuer,
        _repository,
        _signer,
        _source_ref,
        _source_digest,
        _trigger,
        _runner,
        _visibility,
    )
    return tuple(judge(claims, policy, step) for judge in judges)


def _passed(step: str, code: str, message: str) -> Check:
    return Check(step=step, code=code, status=Status.PASS, message=message)


def _failed(step: str, code: str, message: str, expected: str, actual: str) -> Check:
    return Check(
        step=step,
        code=code,
        status=Status.FAIL,
        message=message,
        expected=expected,
        actual=escape_untrusted(actual, limit=300),
    )


def _shown(claim: str) -> str:
    return escape_untrusted(claim, limit=120)


def _missing(step: str, claim: str, expected: str) -> Check:
    return _failed(
        step, "identity.claim.missing", f"the certificate does not say its {claim}", expected, "nothing"
    )


def _issuer(claims: Claims, policy: Policy, step: str) -> Check:
    issuer = claims.issuer or claims.issuer_v1
    if issuer is None:
        return _missing(step, "issuer", policy.issuer)
    if issuer != policy.issuer:
        return _failed(
            step, "identity.issuer.mismatch", "identified by another service", policy.issuer, issuer
        )
    return _passed(step, "identity.issuer", issuer)


def _repository(claims: Claims, policy: Policy, step: str) -> Check:
    uri = claims.source_repository_uri
    if uri is None:
        return _missing(step, "repository", policy.repository)
    repository = repository_of(uri)
    if repository is None or not same_repository(repository, policy.repository):
        return _failed(
            step,
            "identity.repository.mismatch",
            f"built in {escape_untrusted(repository or uri, limit=200)}, wanted {policy.repository}",
            policy.repository,
            repository or uri,
        )
    return _passed(step, "identity.repository", repository)


def _signer(claims: Claims, policy: Policy, step: str) -> Check:
    wanted_repository, wanted_path = policy.signer()
    wanted = f"{wanted_repository}/{wanted_path or '(any workflow)'}"
    if claims.build_signer_uri is None or claims.san_uri is None:
        return _missing(step, "signer workflow", wanted)
    signer = split_workflow_uri(claims.build_signer_uri)
    if signer is None:
        return _failed(
            step, "identity.signer-workflow.form", "signed by no workflow", wanted, claims.build_signer_uri
        )
    place = f"{signer.repository}/{signer.path}"
    if not same_repository(signer.repository, wanted_repository):
        return _foreign(claims, policy, step, wanted, place)
    if wanted_path is not None and signer.path != wanted_path:
        return _failed(step, "identity.signer-workflow.mismatch", "signed by another workflow", wanted, place)
    wanted_ref = policy.signer_ref
    if wanted_ref is not None and not matches_ref(signer.ref, wanted_ref):
        message = "signed by the right workflow at another ref"
        return _failed(step, "identity.signer-workflow.ref", message, wanted_ref, signer.ref)
    pinned = "" if wanted_path is not None else " (workflow not pinned)"
    return _passed(step, "identity.signer-workflow", f"{signer.path} at {signer.ref}{pinned}")


def _foreign(claims: Claims, policy: Policy, step: str, wanted: str, place: str) -> Check:
    """Somebody else's workflow. A flag that accepts it is offered only for the demanded repository's run."""
    message = "signed by a workflow of another repository"
    if _repository(claims, policy, step).status is Status.PASS:
        flag = shlex.quote(escape_untrusted(place, limit=200))
        message += f"{ADVICE}--signer-workflow {flag}"
    elif same_repository(policy.signer()[0], policy.repository):
        # No reason of its own: of another repository's run the workflow is another repository's.
        return Check(
            step=step,
            code="identity.signer-workflow",
            status=Status.NOT_CHECKED,
            message="workflow not judged: the run belongs to another repository",
        )
    return _failed(step, "identity.signer-workflow.foreign", message, wanted, place)


def _source_ref(claims: Claims, policy: Policy, step: str) -> Check:
    allowed = ", ".join(policy.source_refs)
    ref = claims.source_repository_ref
    if ref is None:
        return _missing(step, "source ref", allowed)
    if not any(matches_ref(ref, pattern) for pattern in policy.source_refs):
        return _failed(
            step,
            "identity.source-ref.not-allowed",
            f"built from {_shown(ref)}, which is not allowed{ADVICE}--source-ref",
            allowed,
            ref,
        )
    return _passed(step, "identity.source-ref", ref)


def _source_digest(claims: Claims, policy: Policy, step: str) -> Check:
    commit = claims.source_repository_digest
    if commit is None:
        return _missing(step, "commit", policy.source_digest or "a commit")
    if policy.source_digest is not None and commit != policy.source_digest:
        return _failed(
            step,
            "identity.source-digest.mismatch",
            f"built from another commit, {_shown(commit[:12])}",
            policy.source_digest,
            commit,
        )
    return _passed(step, "identity.source-digest", f"started at commit {commit}")


def _trigger(claims: Claims, policy: Policy, step: str) -> Check:
    allowed = ", ".join(policy.triggers)
    trigger = claims.build_trigger
    if trigger is None:
        return _missing(step, "trigger", allowed)
    if trigger not in policy.triggers:
        return _failed(
            step,
            "identity.trigger.not-allowed",
            f"started by {_shown(trigger)}, which is not allowed{ADVICE}triggers in a policy file",
            allowed,
            trigger,
        )
    return _passed(step, "identity.trigger", trigger)


def _runner(claims: Claims, policy: Policy, step: str) -> Check:
    wanted = policy.runner_environment
    if wanted is None:
        return _passed(step, "identity.runner", f"{claims.runner_environment or 'not said'} (any is allowed)")
    if claims.runner_environment is None:
        return _missing(step, "runner", wanted)
    if claims.runner_environment != wanted:
        return _failed(
            step,
            "identity.runner.not-github-hosted",
            f"built on a {_shown(claims.runner_environment)} runner, a machine that its owner controls",
            wanted,
            claims.runner_environment,
        )
    return _passed(step, "identity.runner", claims.runner_environment)


def _visibility(claims: Claims, policy: Policy, step: str) -> Check:
    wanted = policy.visibility
    if wanted is None:
        return _passed(step, "identity.visibility", f"{claims.visibility or 'not said'} (any is allowed)")
    if claims.visibility is None:
        return _missing(step, "repository's visibility", wanted)
    if claims.visibility != wanted:
        return _failed(
            step,
            "identity.visibility.not-public",
            f"built from {_shown(claims.visibility)} source, which not everybody can read",
            wanted,
            claims.visibility,
        )
    return _passed(step, "identity.visibility", claims.visibility)
