"""``glassclave rebuild``."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glassclave.cli.arguments import as_typed
from glassclave.cli.container import say_line, say_nothing
from glassclave.cli.demands import load_trust_file, policy_of, policy_options
from glassclave.cli.signing import signing_token
from glassclave.cli.style import COLOUR_OPTION, style_of
from glassclave.cli.terminal import TerminalProgress
from glassclave.errors import UnavailableError, UsageError
from glassclave.streams import write_atomically

if TYPE_CHECKING:
    from glassclave.bootstrap import Bootstrap
    from glassclave.clients.registry import Registry
    from glassclave.clients.sigstore_trust import Trust
    from glassclave.image.container import ContainerBuilder
    from glassclave.oci.reference import Reference
    from glassclave.policy.model import Policy
    from glassclave.progress import Progress
    from glassclave.provenance.evidence import VerifiedSignature
    from glassclave.provenance.rebuild import Rebuilt
    from glassclave.report.rebuild import RebuildReport


@click.command("rebuild")
@click.argument("reference", metavar="REF")
@policy_options
@click.option("--trust-config", metavar="FILE", help="Trust this Sigstore instead of the public one.")
@click.option(
    "--source",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A clean checkout of the commit, instead of fetching it from GitHub.",
)
@click.option("--folder", metavar="PATH", help="Folder in the repository, instead of the recorded one.")
@click.option(
    "--builder", type=click.Choice(["docker", "buildah", "buildx"]), help="Default: as then, if it is there."
)
@click.option("--secret", "secrets", multiple=True, metavar="id=NAME,src=FILE", help="As the build had it.")
@click.option(
    "--bootstrap", "bootstrap_dir", type=click.Path(path_type=Path), help="Kernel and init from DIR."
)
@click.option(
    "--spool-dir", type=click.Path(path_type=Path), help="Source and images lie here during the build."
)
@click.option("--sign", is_flag=True, help="If it is equal, say so beside the image, signed.")
@click.option("--identity-token", metavar="FILE", help="A token to sign with, instead of the job's own.")
@click.option(
    "--login",
    metavar="DIR",
    help="Folder of a docker config.json for the registry alone; the builder keeps its own.",
)
@click.option(
    "--report",
    "report_file",
    metavar="FILE.md",
    type=click.Path(path_type=Path),
    help="Write Markdown too, fit for an issue.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@COLOUR_OPTION
def command(
    reference: str,
    repo: str | None,
    policy: str | None,
    signer_workflow: str | None,
    source_refs: tuple[str, ...],
    source_digest: str | None,
    trust_config: str | None,
    source: Path | None,
    folder: str | None,
    builder: str | None,
    secrets: tuple[str, ...],
    bootstrap_dir: Path | None,
    spool_dir: Path | None,
    sign: bool,
    identity_token: str | None,
    login: str | None,
    report_file: Path | None,
    as_json: bool,
    colour: str,
) -> int:
    """Build a published image again from the commit in its certificate, and compare.

    It is verified first, and only what passes is built: as its signed statement says, from that commit.
    Exit status 0: PCR0, PCR1 and PCR2 are the same; 1: they are not, or it did not verify; 3: not judged.
    """
    from glassclave.oci.reference import parse_reference
    from glassclave.report.rebuild import rebuild_json, rebuild_lines, rebuild_markdown

    if identity_token is not None and not sign:
        raise UsageError("rebuild.sign", "an identity token and nothing to sign with it", hint="--sign")
    demands = policy_of(
        policy=policy,
        repo=repo,
        signer_workflow=signer_workflow,
        source_refs=source_refs,
        source_digest=source_digest,
    )
    asked = _Asked(
        reference=parse_reference(reference),
        policy=demands,
        source=source,
        folder=None if folder is None else as_typed(folder),
        builder=builder,
        secrets=tuple(as_typed(secret) for secret in secrets),
        bootstrap=bootstrap_dir,
        spool=spool_dir,
        sign=sign,
        identity_token=identity_token,
        login=login,
        quiet=as_json,
    )
    report = _rebuild(asked, load_trust_file(trust_config))
    if report_file is not None:
        with write_atomically(report_file) as file:
            file.write(rebuild_markdown(report).encode())
    if as_json:
        click.echo(rebuild_json(report))
    else:
        style = style_of(colour)
        lines = rebuild_lines(report, ascii_only=style.ascii_only, colour=style.colour, width=style.width)
        click.echo("\n".join(lines), color=style.colour)
    return 0 if report.result == "equal" else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """As given."""

    reference: Reference
    policy: Policy
    source: Path | None
    folder: str | None
    builder: str | None
    secrets: tuple[str, ...]
    bootstrap: Path | None
    spool: Path | None
    sign: bool
    identity_token: str | None
    login: str | None
    quiet: bool


def _rebuild(asked: _Asked, trust: Trust) -> RebuildReport:
    from glassclave.clients.credentials import DockerConfig
    from glassclave.clients.git import Git
    from glassclave.clients.registry import Registry
    from glassclave.clients.sigstore_verifier import SigstoreVerifier
    from glassclave.flows.rebuild import RebuildRequest, rebuild_image
    from glassclave.flows.verify import VerifyRequest, verify_reference
    from glassclave.policy.verdict import Level
    from glassclave.report.rebuild import RebuildReport

    token = signing_token(trust, asked.identity_token) if asked.sign else None
    progress = TerminalProgress(quiet=asked.quiet)
    registry = Registry(
        DockerConfig(os.environ if asked.login is None else {**os.environ, "DOCKER_CONFIG": asked.login})
    )
    outcome = verify_reference(
        VerifyRequest(reference=asked.reference, policy=asked.policy, required=Level.PROVENANCE),
        registry=registry,
        signatures=SigstoreVerifier(trust),
        progress=progress,
    )
    with closing(outcome):
        if not outcome.verdict.passed:
            return RebuildReport(verdict=outcome.verdict, rebuilt=None)
        request = RebuildRequest(
            source=asked.source,
            folder=asked.folder,
            bootstrap=_bootstrap_of(asked.bootstrap),
            given=asked.bootstrap is not None,
            secrets=asked.secrets,
            spool=asked.spool,
        )
        rebuilt = rebuild_image(
            outcome,
            request,
            git=Git(os.environ),
            choose_builder=_chooser(asked.builder),
            on_line=say_nothing if asked.quiet else say_line,
            progress=progress,
        )
    signed = None
    if token is not None and rebuilt.equal:
        pinned = asked.reference.pinned(str(outcome.verdict.digest))
        signed = _sign(pinned, rebuilt, registry, trust, token, progress)
    progress.close()
    return RebuildReport(verdict=outcome.verdict, rebuilt=rebuilt, signed=signed)


def _sign(
    reference: Reference,
    rebuilt: Rebuilt,
    registry: Registry,
    trust: Trust,
    token: Callable[[], str],
    progress: Progress,
) -> VerifiedSignature:
    from glassclave.clients.sigstore_signer import open_signer
    from glassclave.clients.sigstore_verifier import SigstoreVerifier
    from glassclave.flows.rebuild_sign import sign_rebuild

    return sign_rebuild(
        reference,
        rebuilt,
        registry=registry,
        signatures=SigstoreVerifier(trust),
        open_signer=lambda: open_signer(trust, token()),
        progress=progress,
    )


def _bootstrap_of(folder: Path | None) -> Callable[[str], Bootstrap]:
    from glassclave.bootstrap import load_directory, load_shipped

    return load_shipped if folder is None else lambda _architecture: load_directory(folder)


def _chooser(wanted: str | None) -> Callable[[str], ContainerBuilder]:
    """The builder that was asked for; else the one of the first build, or any that answers."""
    from glassclave.clients.builders import BUILDERS, choose_builder

    def choose(used: str) -> ContainerBuilder:
        if wanted is None and used in BUILDERS:
            try:
                return choose_builder(used, os.environ)
            except UnavailableError:
                pass  # another one is named as a difference of the surroundings
        return choose_builder(wanted, os.environ)

    return choose
