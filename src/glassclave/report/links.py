"""Addresses that may be clicked: made of claims of a certificate, only where each has a known form."""

from __future__ import annotations

import re

from glassclave.provenance.claims import Claims, repository_of, split_workflow_uri
from glassclave.sources import is_commit, is_repository

_PATH = re.compile(r"[A-Za-z0-9._/-]{1,400}\Z")
_RUN = re.compile(r"/actions/runs/[0-9]{1,20}(?:/attempts/[0-9]{1,6})?\Z")


def public_link(uri: str | None) -> str | None:
    """The address of a repository on GitHub; ``None`` for anything else."""
    repository = None if uri is None else repository_of(uri)
    if repository is None or not is_repository(repository):
        return None
    return f"https://github.com/{repository}"


def commit_link(claims: Claims) -> str | None:
    """The source as it was at the commit that the run was started at."""
    repository, commit = public_link(claims.source_repository_uri), claims.source_repository_digest
    if repository is None or commit is None or not is_commit(commit):
        return None
    return f"{repository}/tree/{commit}"


def workflow_link(claims: Claims, *, signer: bool) -> str | None:
    """The workflow's file at the commit that ran: of the signing workflow, or of the one that was started."""
    uri, commit = (
        (claims.build_signer_uri, claims.build_signer_digest)
        if signer
        else (claims.build_config_uri, claims.build_config_digest)
    )
    parts = None if uri is None else split_workflow_uri(uri)
    if parts is None or commit is None or not is_commit(commit):
        return None
    if not is_repository(parts.repository) or _PATH.match(parts.path) is None or ".." in parts.path:
        return None
    return f"https://github.com/{parts.repository}/blob/{commit}/{parts.path}"


def run_link(claims: Claims) -> str | None:
    """The run, whose address must lie in the repository."""
    repository, run = public_link(claims.source_repository_uri), claims.run_invocation_uri
    if repository is None or run is None or not run.startswith(repository):
        return None
    return run if _RUN.match(run.removeprefix(repository)) else None


def log_link(index: int) -> str:
    """The entry in the public log."""
    return f"https://search.sigstore.dev/?logIndex={index:d}"
