"""Options that say who must have built an image, the same for every verb that judges one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from glassclave.errors import UsageError
from glassclave.streams import read_small_file

if TYPE_CHECKING:
    from glassclave.policy.model import Policy

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
    """Adds the options; they reach the command as keywords, for `demands`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def demands(
    *,
    policy: str | None,
    repo: str | None,
    signer_workflow: str | None,
    source_refs: tuple[str, ...],
    source_digest: str | None,
) -> Policy:
    """Who must have built it. `UsageError` ``verify.policy.*``: nothing is guessed from the reference."""
    from glassclave.policy.file import MAX_SIZE, load_policy
    from glassclave.policy.model import DEFAULT_SOURCE_REFS, Policy

    if policy is not None:
        if repo or signer_workflow or source_refs or source_digest:
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
    )
