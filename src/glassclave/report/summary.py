"""The summary of a GitHub job, in Markdown: what was built and published, and how anybody checks it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from glassclave.escaping import escape_untrusted
from glassclave.provenance.container import ContainerClaim
from glassclave.report.outside import HEADING, NOT_SEEN, outside_rows
from glassclave.results import PCR_COVERS
from glassclave.sizes import megabytes

_SHOWN = 50
"""Lines of each kind of what came from outside: the statement has more."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~-])")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSummary:
    """``reference``: by digest, ``None``: nothing was pushed. ``log_index``: ``None`` where not signed.

    ``signer``: the workflow that signed, as ``OWNER/NAME/PATH``, where another repository has it.
    """

    image: str
    size: int
    memory_bytes: int
    pcrs: Mapping[int, bytes]
    known_bootstrap: str | None
    container: ContainerClaim | None
    repository: str
    reference: str | None = None
    log_index: int | None = None
    signer: str | None = None
    twice: str | None = None
    warnings: Sequence[str] = ()


def summary_markdown(job: JobSummary) -> str:
    """The whole summary. Nothing in it is taken for markup or leaves its line."""
    lines = [f"## Enclave image `{code_span(job.image)}`", ""]
    lines += ["| | value | of |", "|---|---|---|"]
    lines += [f"| PCR{index} | `{value.hex()}` | {PCR_COVERS[index]} |" for index, value in job.pcrs.items()]
    lines.append("")
    kernel = "unknown (PCR1 is in no table)" if job.known_bootstrap is None else text(job.known_bootstrap)
    lines.append(
        f"{megabytes(job.size)}; the enclave needs {-(-job.memory_bytes // 1_000_000):,} MB of memory."
        f" Kernel and init: {kernel}."
    )
    if job.twice is not None:
        lines += ["", text(job.twice)]
    lines += _published(job)
    lines += _outside(job.container)
    if job.warnings:
        lines += ["", "### Warnings", "", *(f"- {text(warning)}" for warning in job.warnings)]
    return "\n".join(lines) + "\n"


def _published(job: JobSummary) -> list[str]:
    if job.reference is None:
        return ["", "Nothing was pushed."]
    lines = ["", "### Published", "", f"`{code_span(job.reference)}`", ""]
    if job.log_index is None:
        return [*lines, "**Not signed: nobody can judge it.** Set `enable-artifact-sign: true`."]
    return [
        *lines,
        f"Signed; entry [{job.log_index:d}](https://search.sigstore.dev/?logIndex={job.log_index:d}) of the"
        " transparency log. Anybody can check it:",
        "",
        "```sh",
        f"glassclave verify {code_span(job.reference)} --repo {code_span(job.repository)}{_signer(job)}",
        f"cosign verify {code_span(job.reference)} \\",
        f"  --certificate-identity-regexp '^https://github.com/{code_span(_identity(job))}' \\",
        "  --certificate-oidc-issuer https://token.actions.githubusercontent.com",
        "```",
    ]


def _signer(job: JobSummary) -> str:
    """What a consumer has to add, whose demand is that the repository's own workflow signed."""
    return "" if job.signer is None else f" --signer-workflow {code_span(shlex.quote(job.signer))}"


def _identity(job: JobSummary) -> str:
    return f"{re.escape(job.repository)}/" if job.signer is None else f"{re.escape(job.signer)}@"


def _outside(container: ContainerClaim | None) -> list[str]:
    """What the build took from outside of the repository, as far as it can be seen."""
    if container is None:
        return []
    lines = ["", f"### {HEADING}", ""]
    rows = [
        f"- image {text(name)}" + (f", {_pinned(name, digest)}" if digest else ", **digest not known**")
        for name, digest in container.bases
    ]
    rows += [f"- added: {text(address)}" for address in container.added]
    if container.outside is not None:
        rows += [f"- {text(row)}" for row in outside_rows(container.outside, most=_SHOWN)]
        if container.outside.base_layers is None:
            rows.append("- the base's layers are not known: packages of the base are listed too")
    return [*lines, *(rows or ["- nothing that can be seen in the Dockerfile and the layers"]), "", NOT_SEEN]


def _pinned(name: str, digest: str) -> str:
    return "pinned by digest" if name.endswith(digest) else f"`{digest}` today, not pinned"


def text(value: str) -> str:
    """Untrusted text in Markdown: on one line, no markup, no HTML."""
    return (
        _SPECIAL.sub(r"\\\1", escape_untrusted(value, limit=500)).replace("&", "&amp;").replace("\\<", "&lt;")
    )


def code_span(value: str) -> str:
    """For code spans and blocks, which nothing can be escaped in."""
    return escape_untrusted(value, limit=500).replace("`", "'")
