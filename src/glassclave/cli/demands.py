"""Options that say who must have built an image, and under which root of trust that is judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from glassclave.errors import UsageError
from glassclave.streams import read_small_file

if TYPE_CHECKING:
    from glassclave.clients.sigstore_trust import Trust
    from glassclave.policy.model import Policy

_TRUST_LIMIT = 4 << 20
_Command = TypeVar("_Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--repo", metavar="OWNER/NAME", help="The repository that must have built it."),
    click.option(
        "--policy", metavar="FILE", help="Demands in a TOML file, instead of the options that say who."
    ),
    click.option(
        "--signer-workflow", metavar="PATH", help="The workflow that signs: [OWNER/NAME/]PATH[@REF]."
    ),
    click.option(
        "--source-ref",
        "source_refs",
        multiple=True,
        help="Allowed ref (refs/heads/x); repeatable. Default: refs/tags/* and the branches main, master.",
    ),
    click.option("--source-digest", metavar="SHA", help="The one commit that is allowed."),
)


def policy_options(command: _Command) -> _Command:
    """Adds the options; they reach the command as keywords of these names, for `policy_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def policy_of(
    *,
    policy: str | None,
    repo: str | None,
    signer_workflow: str | None,
    source_refs: tuple[str, ...],
    source_digest: str | None,
    accept_unstated: bool = False,
) -> Policy:
    """Who must have built it. `UsageError` ``verify.policy.*``: nothing is guessed from the reference."""
    from glassclave.policy.file import MAX_SIZE, load_policy
    from glassclave.policy.model import DEFAULT_SOURCE_REFS, STATEMENT_OPTIONAL, STATEMENT_REQUIRED, Policy

    if policy is not None:
        if repo or signer_workflow or source_refs or source_digest or accept_unstated:
            raise UsageError(
                "verify.policy.twice",
                "a policy file and options that say who, at once",
                hint="write all demands into the file",
            )
        return load_policy(read_small_file(Path(policy), limit=MAX_SIZE), source=policy)
    if repo is None:
        raise UsageError(
            "verify.policy.missing",
            "nobody was named who must have built it; nothing was judged",
            hint="name the repository, --repo OWNER/NAME, or a file of demands, --policy FILE",
        )
    return Policy(
        repository=repo,
        signer_workflow=signer_workflow,
        source_refs=source_refs or DEFAULT_SOURCE_REFS,
        source_digest=source_digest,
        statement=STATEMENT_OPTIONAL if accept_unstated else STATEMENT_REQUIRED,
    )


def load_trust_file(path: str | None) -> Trust:
    """The Sigstore that ``--trust-config`` names, the public one without it."""
    from glassclave.clients.sigstore_trust import load_trust

    config = None if path is None else read_small_file(Path(path), limit=_TRUST_LIMIT)
    return load_trust(config, source=path or "Sigstore")
