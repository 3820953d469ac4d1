"""``glassclave log``: collect, attach, show, verify."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from glassclave.cli.arguments import as_typed
from glassclave.cli.demands import load_trust_file, policy_of, policy_options
from glassclave.cli.signing import signing_token
from glassclave.cli.style import COLOUR_OPTION, style_of
from glassclave.cli.workflow import as_text
from glassclave.errors import UsageError
from glassclave.escaping import escape_untrusted
from glassclave.streams import read_small_file

if TYPE_CHECKING:
    from glassclave.buildlog.collect import Run
    from glassclave.buildlog.record import LogRecord
    from glassclave.flows.log import LogArchive
    from glassclave.policy.model import Policy

_Command = TypeVar("_Command", bound=Callable[..., Any])
_LINE_LIMIT = 1 << 20
_RUN_OPTIONS = (
    click.option("--repo", envvar="GITHUB_REPOSITORY", metavar="OWNER/NAME", help="Default: this job's."),
    click.option("--run", "run_id", envvar="GITHUB_RUN_ID", type=int, help="Default: this job's run."),
    click.option("--attempt", envvar="GITHUB_RUN_ATTEMPT", type=int, help="Default: this job's attempt."),
    click.option("--commit", envvar="GITHUB_SHA", metavar="SHA", help="Default: the one that started it."),
)


@click.group("log")
def command() -> None:
    """The log of a build: kept beside its image, signed with it, shown and judged long after GitHub's own.

    A log proves what somebody's runner wrote, not that it did what it wrote (docs/spec/build-log-v1.md).
    """


def _run_options(function: _Command) -> _Command:
    for option in reversed(_RUN_OPTIONS):
        function = option(function)
    return function


def _run(repo: str | None, run_id: int | None, attempt: int | None, commit: str | None) -> Run:
    from glassclave.buildlog.collect import Run

    named = {"--repo": repo, "--run": run_id, "--attempt": attempt, "--commit": commit}
    missing = [name for name, value in named.items() if not value]
    if missing or repo is None or run_id is None or attempt is None or commit is None:
        raise UsageError(
            "log.run.missing",
            f"nobody says of which run the log is: {', '.join(missing)}",
            hint="in a job of GitHub Actions its environment says so",
        )
    return Run(repository=repo, run_id=run_id, attempt=attempt, commit=commit)


@command.command("collect")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FOLDER")
@click.option("--job", "jobs", multiple=True, help="Name of a job that has ended; repeatable. Default: all.")
@click.option(
    "--file", "files", multiple=True, metavar="STEP=FILE", help="A step's own log, instead of GitHub's API."
)
@_run_options
@click.option("--json", "as_json", is_flag=True, help="The record, as JSON.")
def collect(
    output: Path,
    jobs: tuple[str, ...],
    files: tuple[str, ...],
    repo: str | None,
    run_id: int | None,
    attempt: int | None,
    commit: str | None,
    as_json: bool,
) -> None:
    """Write the log of jobs of this run as FOLDER/build-log.json and FOLDER/build-log.txt.gz.

    From GitHub's API (GITHUB_TOKEN, with actions: read), or from files. Refused where secrets are found.
    """
    from glassclave.flows.log import collect_files, write_archive

    run = _run(repo, run_id, attempt, commit)
    if files:
        from glassclave.clients.secret_scan import SecretScanner

        if len(jobs) > 1:
            raise UsageError("log.job.several", "files are of one job", field="--job")
        name = jobs[0] if jobs else os.environ.get("GITHUB_JOB") or "job"
        log = collect_files(run, name, [_step_file(pair) for pair in files], scanner=SecretScanner())
    else:
        log = _from_api(run, jobs)
    write_archive(log, output)
    _said(log, as_json, f"wrote      {output}")


def _from_api(run: Run, jobs: tuple[str, ...]) -> LogArchive:
    from glassclave.clients.github import PUBLIC_API, GithubApi
    from glassclave.clients.secret_scan import SecretScanner
    from glassclave.flows.log import collect_run

    token = os.environ.get("GITHUB_TOKEN", "")
    if not token:
        raise UsageError(
            "log.token",
            "GITHUB_TOKEN is not set",
            hint="env: GITHUB_TOKEN: ${{ github.token }}, in a job with actions: read",
        )
    api = GithubApi(token, address=os.environ.get("GITHUB_API_URL") or PUBLIC_API)
    return collect_run(run, jobs, api=api, scanner=SecretScanner(), runner=os.environ.get("RUNNER_NAME"))


def _step_file(pair: str) -> tuple[str, bytes]:
    from glassclave.buildlog.text import MAX_TEXT

    name, equals, path = as_typed(pair).partition("=")
    if not name or not equals or not path:
        raise UsageError("log.file", "must be STEP=FILE", field=pair[:80])
    return name, read_small_file(Path(path), limit=MAX_TEXT)


def _said(log: LogArchive, as_json: bool, line: str) -> None:
    from glassclave.policy.checks.log import describe_log

    if as_json:
        click.echo(log.record_file.decode("ascii"), nl=False)
        return
    scan = log.record.scan
    click.echo(f"log        {escape_untrusted(describe_log(log.record))}")
    click.echo(f"secrets    none found by {scan.detector} {scan.version}, {scan.rules:,} rules")
    click.echo(escape_untrusted(line))


@command.command("attach")
@click.argument("reference", metavar="REF")
@click.option("--job", "jobs", multiple=True, help="Name of a job that has ended; repeatable. Default: all.")
@_run_options
@click.option("--trust-config", metavar="FILE", help="Sign with this Sigstore instead of the public one.")
@click.option("--identity-token", metavar="FILE", help="A token to sign with, instead of the job's own.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def attach(
    reference: str,
    jobs: tuple[str, ...],
    repo: str | None,
    run_id: int | None,
    attempt: int | None,
    commit: str | None,
    trust_config: str | None,
    identity_token: str | None,
    as_json: bool,
) -> None:
    """Collect the whole run's log, sign it, and push it beside the image that the run made.

    For the last job of a workflow: it sees the logs of all jobs before it.
    """
    from glassclave.clients.credentials import DockerConfig
    from glassclave.clients.registry import Registry
    from glassclave.clients.sigstore_signer import open_signer
    from glassclave.flows.log_referrer import attach_log
    from glassclave.oci.reference import parse_reference
    from glassclave.report.records import json_text

    named = parse_reference(reference)
    run = _run(repo, run_id, attempt, commit)
    trust = load_trust_file(trust_config)
    token = signing_token(trust, identity_token)
    log = _from_api(run, jobs)
    pinned = attach_log(
        named,
        log,
        registry=Registry(DockerConfig(os.environ)),
        open_signer=lambda: open_signer(trust, token()),
    )
    if as_json:
        shown = {"reference": str(pinned), "record": log.claim.sha256.hex(), "lines": log.record.text_lines}
        click.echo(json_text(shown))
        return
    _said(log, False, f"attached   {pinned}")


@command.command("verify")
@click.argument("reference", metavar="REF")
@policy_options
@click.option("--trust-config", metavar="FILE", help="Trust this Sigstore instead of the public one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@COLOUR_OPTION
def verify(reference: str, trust_config: str | None, as_json: bool, colour: str, **policy: Any) -> int:
    """Judge every log of an image that somebody signed whom you allow. The image itself is not fetched."""
    from glassclave.report.logs import log_lines, logs_record
    from glassclave.report.records import json_text

    digest, trust, logs = _judged(reference, policy_of(**policy), trust_config)
    if as_json:
        click.echo(json_text(logs_record(reference, digest, trust, logs)))
    else:
        style = style_of(colour)
        lines = log_lines(trust, logs, ascii_only=style.ascii_only, colour=style.colour, width=style.width)
        click.echo("\n".join(lines), color=style.colour)
    return 0 if all(one.judged.passed for one in logs) else 1


def _judged(reference: str, policy: Policy, trust_config: str | None) -> tuple[str, Any, Any]:
    from glassclave.clients.credentials import DockerConfig
    from glassclave.clients.registry import Registry
    from glassclave.clients.sigstore_verifier import SigstoreVerifier
    from glassclave.flows.log_referrer import signed_logs
    from glassclave.oci.reference import parse_reference

    named = parse_reference(reference)
    trust = load_trust_file(trust_config)
    verifier = SigstoreVerifier(trust)
    digest, logs = signed_logs(
        named, policy, registry=Registry(DockerConfig(os.environ)), signatures=verifier
    )
    return digest, verifier.trust, logs


@command.command("show")
@click.argument("reference", metavar="REF")
@policy_options
@click.option("--trust-config", metavar="FILE", help="Trust this Sigstore instead of the public one.")
@click.option("--step", metavar="NAME|NUMBER", help="Only this step's lines.")
@click.option("--job", metavar="NAME", help="Only this job's lines.")
@click.option("--whole-run", is_flag=True, help="The log of the whole run, not that of the build alone.")
def show(
    reference: str,
    trust_config: str | None,
    step: str | None,
    job: str | None,
    whole_run: bool,
    **policy: Any,
) -> None:
    """Print a log that was judged as `log verify` judges it: nothing else is shown."""
    from glassclave.errors import RefusedError

    _, _, logs = _judged(reference, policy_of(**policy), trust_config)
    chosen = [one for one in logs if one.whole_run == whole_run]
    if not chosen:
        kind = "the whole run" if whole_run else "the build"
        raise RefusedError("log.none", f"no log of {kind} was signed", source=reference)
    good = next((one.judged for one in chosen if one.judged.passed), None)
    if good is None:
        bad = chosen[0].judged.checks[0]
        raise RefusedError(bad.code, f"the log {bad.message}", source=reference)
    assert good.record is not None and good.text is not None  # noqa: S101 - it passed
    first, last = _span(good.record, job, step)
    for line in good.text.decode("utf-8", "replace").split("\n")[first - 1 : last]:
        click.echo(as_text(escape_untrusted(line.replace("\t", "    "), limit=_LINE_LIMIT)))


def _span(record: LogRecord, job: str | None, step: str | None) -> tuple[int, int]:
    """First and last line, from 1, of what was asked for."""
    jobs = [one for one in record.jobs if job is None or job in (one.name, one.name.rpartition(" / ")[2])]
    if not jobs:
        known = ", ".join(one.name for one in record.jobs[:20])
        raise UsageError("log.job.unknown", "the log has no such job", field=job, hint=f"it has: {known}")
    if job is not None and len(jobs) > 1:
        known = ", ".join(one.name for one in jobs[:20])
        raise UsageError("log.job.several", "the log has several such jobs", field=job, hint=f"name: {known}")
    if step is None:
        return jobs[0].first_line, jobs[-1].first_line + jobs[-1].lines - 1
    steps = [one for each in jobs for one in each.steps if step in (one.name, str(one.number))]
    if len(steps) != 1:
        known = ", ".join(f"{one.number} {one.name}" for each in jobs for one in each.steps)
        raise UsageError(
            "log.step.unknown" if not steps else "log.step.several",
            f"the log has {len(steps)} steps of that name",
            field=step[:200],
            hint=f"it has: {known[:1000]}",
        )
    return steps[0].first_line, steps[0].first_line + steps[0].lines - 1
