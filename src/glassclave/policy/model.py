"""What a consumer demands of the one who signed. Defaults are those of the design, section "Identity"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from glassclave.errors import UsageError
from glassclave.sources import is_commit, is_repository

GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
DEFAULT_SOURCE_REFS = ("refs/tags/*", "refs/heads/main", "refs/heads/master")
DEFAULT_TRIGGERS = ("push", "release", "workflow_dispatch", "schedule")
GITHUB_HOSTED = "github-hosted"
PUBLIC = "public"
LOG_STATED, LOG_REQUIRED, LOG_ANY = "stated", "required", "any"
STATEMENT_REQUIRED, STATEMENT_OPTIONAL = "required", "optional"
STATEMENT_DEMANDS = (STATEMENT_REQUIRED, STATEMENT_OPTIONAL)
"""Of the statement of measurements: must be there, or may be missing (never: may be wrong)."""
LOG_DEMANDS = (LOG_STATED, LOG_REQUIRED, LOG_ANY)
"""Of the build's log: kept where one was signed, signed and kept, or not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Demands on a signer.

    ``repository``: ``owner/name`` that the run must belong to. ``signer_workflow``: ``PATH`` in that
    repository or ``OWNER/NAME/PATH``, either with ``@REF`` behind it, a pattern like those of
    ``source_refs``; ``None`` takes any workflow of the repository itself.
    ``source_refs``: patterns whose ``*`` does not cross ``/``. ``source_digest``: one commit, or ``None``.
    ``runner_environment``, ``visibility``: ``None`` takes any. ``build_log``: one of `LOG_DEMANDS`.
    ``statement``: one of `STATEMENT_DEMANDS`.
    """

    repository: str
    issuer: str = GITHUB_ISSUER
    signer_workflow: str | None = None
    source_refs: tuple[str, ...] = DEFAULT_SOURCE_REFS
    source_digest: str | None = None
    triggers: tuple[str, ...] = DEFAULT_TRIGGERS
    runner_environment: str | None = GITHUB_HOSTED
    visibility: str | None = PUBLIC
    build_log: str = LOG_STATED
    statement: str = STATEMENT_REQUIRED

    def __post_init__(self) -> None:
        if not is_repository(self.repository):
            raise UsageError(
                "policy.repository", "is not OWNER/NAME", field=self.repository[:120], hint="e.g. acme/hello"
            )
        if not (self.source_refs and self.triggers and self.issuer) or "" in self.source_refs + self.triggers:
            raise UsageError("policy.empty", "a list without an entry allows nothing and is not meant")
        for pattern in self.source_refs:
            if not pattern.startswith("refs/"):
                raise UsageError(
                    "policy.source-refs",
                    "is no whole ref, so nothing would match it",
                    field=pattern[:120],
                    hint="write refs/heads/main for a branch, refs/tags/1.0 or refs/tags/* for tags",
                )
        if self.source_digest is not None and not is_commit(self.source_digest):
            raise UsageError("policy.source-digest", "is no whole commit id", field=self.source_digest[:80])
        if self.build_log not in LOG_DEMANDS:
            raise _not_one_of("policy.build-log", self.build_log, LOG_DEMANDS)
        if self.statement not in STATEMENT_DEMANDS:
            raise _not_one_of("policy.statement", self.statement, STATEMENT_DEMANDS)
        workflow = self.signer_workflow
        if workflow is not None:
            path, at, ref = workflow.partition("@")
            if not all(path.split("/")) or (at and not ref):
                raise UsageError("policy.signer-workflow", "is no workflow's path", field=workflow[:120])
        self.signer()  # a wrong one is said before anything is fetched

    @property
    def signer_ref(self) -> str | None:
        """Pattern of the ref at which the signing workflow must have run; ``None``: any."""
        return (self.signer_workflow or "").partition("@")[2] or None

    def signer(self) -> tuple[str, str | None]:
        """Repository that the signing workflow must lie in, and its path (``None``: any)."""
        if self.signer_workflow is None:
            return self.repository, None
        path = self.signer_workflow.partition("@")[0]
        if path.startswith(".github/"):
            return self.repository, path
        parts = path.split("/", 2)
        if len(parts) != 3 or not is_repository("/".join(parts[:2])):
            raise UsageError(
                "policy.signer-workflow",
                "is neither PATH nor OWNER/NAME/PATH, with or without @REF",
                field=self.signer_workflow[:120],
            )
        return "/".join(parts[:2]), parts[2]


def _not_one_of(code: str, value: str, allowed: tuple[str, ...]) -> UsageError:
    return UsageError(code, f"must be one of {', '.join(allowed)}", field=value[:80])


def same_repository(left: str, right: str) -> bool:
    """GitHub's names are the same in either case (ASCII)."""
    return left.isascii() and right.isascii() and left.lower() == right.lower()


def matches_ref(ref: str, pattern: str) -> bool:
    """Whether ``ref`` is ``pattern``, where ``*`` stands for anything without ``/``."""
    parts = [re.escape(part) for part in pattern.split("*")]
    return re.fullmatch("[^/]*".join(parts), ref) is not None
