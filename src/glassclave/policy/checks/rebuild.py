"""Who says that the same image came out again. It decides nothing: a finding, never a check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from glassclave.attestation.content import time_text
from glassclave.escaping import escape_untrusted
from glassclave.policy.checks.identity import check_identity
from glassclave.policy.model import Policy, same_repository
from glassclave.provenance.claims import Claims, repository_of, split_workflow_uri
from glassclave.provenance.rebuild import RebuildPredicate, SignedRebuild
from glassclave.results import Finding, Measurements, Severity, Status

MAX_FINDINGS = 8
"""Signers that are named; whoever may write to the registry can add any number."""


def says_the_same(predicate: RebuildPredicate, measured: Measurements, stated: Claims) -> bool:
    """Whether it is about these registers, and about the source that the image's own statement is of."""
    source = stated.source_repository_uri, stated.source_repository_digest
    return (
        predicate.measurements.of_image == measured.of_image
        and (predicate.repository, predicate.commit) == source
    )


def rebuild_findings(rebuilds: Sequence[SignedRebuild], policy: Policy) -> list[Finding]:
    """One line a signer, the latest of its rebuilds: the repository's own first, then others by name."""
    by_signer: dict[tuple[int, str], list[SignedRebuild]] = {}
    for one in rebuilds:
        by_signer.setdefault(_signer(one.signature.claims, policy), []).append(one)
    found = [_finding(key, by_signer[key]) for key in sorted(by_signer)]
    left = len(found) - MAX_FINDINGS
    if left <= 0:
        return found
    more = Finding(code="rebuild.more", severity=Severity.NOTE, message=f"and by {left} more signers")
    return [*found[:MAX_FINDINGS], more]


def _signer(claims: Claims, policy: Policy) -> tuple[int, str]:
    """How near to the judged repository, and who."""
    # Another workflow than the one that builds, at another commit; all else is demanded as of a build.
    demands = replace(policy, signer_workflow=None, source_digest=None)
    passed = all(one.status is Status.PASS for one in check_identity(claims, demands))
    repository = repository_of(claims.source_repository_uri or "")
    same = repository is not None and same_repository(repository, policy.repository)
    return 0 if passed else 1 if same else 2, claims.build_signer_uri or claims.san_uri or ""


def _finding(key: tuple[int, str], rebuilds: Sequence[SignedRebuild]) -> Finding:
    rank, name = key
    last = max(rebuilds, key=lambda one: (one.signature.signed_at, one.signature.log_index))
    code, whose = (
        ("rebuild.own", "the repository's own"),
        ("rebuild.doubtful", "the repository's, in a run that your demands do not allow"),
        (
            "rebuild.foreign",
            f"FOREIGN, {_whose(last.signature.claims)}: whether to believe it is yours to say",
        ),
    )[rank]
    at = time_text(last.signature.signed_at)
    often = f", the last of {len(rebuilds):,}" if len(rebuilds) > 1 else ""
    others = ", ".join(one.what for one in last.predicate.surroundings)
    with_others = f"; not as in the first build: {others}" if others else ""
    message = f"rebuilt to the same PCRs by {_shown(name)} ({whose}) at {at}{often}{with_others}"
    return Finding(code=code, severity=Severity.NOTE, message=escape_untrusted(message, limit=1000))


def _shown(uri: str) -> str:
    """A workflow at its ref without what all of them begin with."""
    return escape_untrusted(uri.removeprefix("https://github.com/"), limit=300) or "nobody who is named"


def _whose(claims: Claims) -> str:
    signer = split_workflow_uri(claims.build_signer_uri or "")
    repository = repository_of(claims.source_repository_uri or "")
    if signer is None or repository is None:
        return "no workflow of GitHub's"
    return f"a run of {escape_untrusted(repository, limit=200)}"
