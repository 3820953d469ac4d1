"""``glassclave action``: the steps of action.yml. Each prints the command that it stands for."""

from __future__ import annotations

import base64
import importlib
import io
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import wraps
from pathlib import Path

import click

from glassclave.cli.keep_log import STEPS, kept_log, log_file
from glassclave.cli.workflow import (
    BUILT,
    HANDED_OVER,
    PUBLISHED,
    REQUEST,
    TRUST,
    announce_error,
    append,
    place,
    set_output,
)
from glassclave.errors import GlassclaveError, RefusedError
from glassclave.escaping import escape_lines, escape_untrusted
from glassclave.flows.action import GHCR, PREFIX, ActionRequest, parse_request
from glassclave.streams import read_small_file

_LIMIT = 4 << 20
_SHOWN = 20
_TOKEN = "GLASSCLAVE_REGISTRY_TOKEN"  # noqa: S105 - the name of a variable
_LOG = "GLASSCLAVE_LOG"
_ARTIFACT = "GLASSCLAVE_ARTIFACT"
_TRUST_TEXT = f"{PREFIX}TRUST_CONFIG_JSON"
_TRUST_PATH = f"{PREFIX}TRUST_CONFIG"
_TWICE = {"": None, "same-pcrs": {"sameBytes": False}, "same-bytes": {"sameBytes": True}}
"""What the job that built says of a second build, as it crosses to the job that signs."""


class _Steps(click.Group):
    """With the steps of the actions in ``rebuild/``, which add themselves when their module is loaded."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        importlib.import_module("glassclave.cli.action_rebuild")
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        importlib.import_module("glassclave.cli.action_rebuild")
        return super().get_command(ctx, cmd_name)


@click.group("action", cls=_Steps)
def command() -> None:
    """The steps of the GitHub Action, in their order: check, build, publish, summary; rebuild, issue.

    Inputs come through the environment (INPUT_…), state goes through RUNNER_TEMP. In the reusable workflow
    the job that builds ends in hand-over, and the job that signs begins with check and take-over.
    """


def step(name: str, *, kept: str | None = None) -> Callable[[Callable[[], int | None]], click.Command]:
    """A subcommand whose errors the run's page shows. ``kept``: the step whose own log it writes."""

    def decorate(function: Callable[[], int | None]) -> click.Command:
        @command.command(name, help=function.__doc__)
        @wraps(function)
        def run() -> int:
            with nullcontext() if kept is None else kept_log(kept):
                try:
                    return function() or 0
                except GlassclaveError as error:
                    announce_error(error)
                    raise

        return run

    return decorate


@step("check", kept="Check the inputs")
def check() -> None:
    """Read the inputs strictly, and keep them for the next steps."""
    inputs = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    if text := inputs.pop(_TRUST_TEXT, "").strip():
        # The job that signs has no file of the caller's, so this one comes as text.
        place(TRUST).write_text(text, encoding="utf-8")
        inputs[_TRUST_PATH] = str(place(TRUST))
    request = _parse(inputs)
    place(REQUEST).write_text(json.dumps(inputs), encoding="utf-8")
    where = f"pushed to {request.reference}" if request.reference else "not pushed"
    signed = ", signed" if request.sign else ""
    print(escape_untrusted(f"{request.context} becomes {request.eif.name}, {where}{signed}"))


@step("build", kept="Build")
def build() -> int | None:
    """Build the image, and compare its PCRs with the expected ones."""
    request = _request()
    said, status = run_words(_build_words(request))
    place(BUILT).write_text(said, encoding="utf-8")
    if status:
        raise RefusedError(
            "action.twice", "two builds of the same source gave different PCRs", hint=different_files(said)
        )
    described, _ = run_words(["describe", str(request.eif), "--json"])
    request.info.write_text(described, encoding="utf-8")
    set_output("eif-file-path", str(request.eif))
    set_output("eif-info-path", str(request.info))
    _compare(request, json.loads(said)["measurements"])
    return None


def different_files(built: str) -> str:
    """The files that differ, of what `build --twice --json` printed: it is not in the job's log."""
    found = [f"{one['path']} ({one['what']})" for one in json.loads(built)["twice"]["differences"]]
    more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"different: {', '.join(found[:_SHOWN])}{more}"


def _build_words(request: ActionRequest) -> list[str]:
    words = ["build", str(request.context), "-o", str(request.eif), "--dockerfile", str(request.dockerfile)]
    words += ["--arch", request.architecture, "--name", request.eif.name.removesuffix(".eif"), "--json"]
    if request.builder is not None:
        words += ["--builder", request.builder]
    if request.bootstrap is not None:
        words += ["--bootstrap", str(request.bootstrap)]
    if not request.normalize:
        words += ["--mtime", "preserve"]
    return [*words, "--twice"] if request.twice else words


def _compare(request: ActionRequest, measured: Mapping[str, str]) -> None:
    for index, wanted in request.expected.items():
        found = measured.get(f"PCR{index}", "none")
        if found != wanted.hex():
            raise RefusedError(
                "action.pcr.mismatch",
                f"PCR{index} is {found}, expected was {wanted.hex()}",
                hint="the source, a base image or the kernel changed: look, then change expected-pcrs",
            )


@step("hand-over")
def hand_over() -> None:
    """Lay out what the next job gets, and say the digest of each file in an output."""
    from glassclave.flows.hand_over import digest_folder, hand_over_text

    request = _request()
    folder = place(HANDED_OVER)
    folder.mkdir()
    for path in _crossing(request):
        shutil.copyfile(path, folder / path.name)
    files = hand_over_text(digest_folder(folder))
    print(files)
    set_output("folder", str(folder))
    set_output("files", files)
    twice = json.loads(read_small_file(place(BUILT), limit=_LIMIT)).get("twice")
    set_output("twice", next(word for word, said in _TWICE.items() if said == _same(twice)))


def _same(twice: Mapping[str, object] | None) -> dict[str, object] | None:
    return None if twice is None else {"sameBytes": twice["sameBytes"]}


@step("take-over")
def take_over() -> None:
    """Compare what arrived with the digests that were sent, measure the image, and only then lay it out."""
    from glassclave.flows.build import memory_needed
    from glassclave.flows.hand_over import check_arrival, digest_folder, parse_hand_over

    request = _request()
    paths = _crossing(request)
    folder = Path(os.environ.get("GLASSCLAVE_ARRIVED") or place("arrived"))
    sent = parse_hand_over(os.environ.get("GLASSCLAVE_FILES", ""), names=[path.name for path in paths])
    check_arrival(sent, digest_folder(folder))
    print("arrived as sent: " + ", ".join(sorted(sent.files)))
    for path in paths:
        shutil.move(folder / path.name, path)
    described, _ = run_words(["describe", str(request.eif), "--json"])
    measured = {name: str(value).lower() for name, value in json.loads(described)["Measurements"].items()}
    _compare(request, measured)
    for index in range(3):
        set_output(f"pcr{index}", measured[f"PCR{index}"])
    twice = _TWICE.get(os.environ.get("GLASSCLAVE_TWICE", ""))
    built = {"memoryBytes": memory_needed(request.eif.stat().st_size), "twice": twice}
    place(BUILT).write_text(json.dumps(built), encoding="utf-8")


def _crossing(request: ActionRequest) -> list[Path]:
    """The files that cross from the job that builds to the one that signs."""
    from glassclave.flows.files import measurements_file

    return [request.eif, measurements_file(request.eif), request.info]


@step("publish")
def publish() -> None:
    """Push what was built, signed where that was asked for."""
    request = _request()
    if request.reference is None:
        raise RefusedError("action.publish", "nothing was to be pushed")
    words = ["publish", str(request.eif), str(request.reference), "--info-name", request.info.name, "--json"]
    words += [] if request.annotate else ["--no-annotations"]
    words += [] if request.sign else ["--unsigned"]
    if request.sign and request.trust_config is not None:
        words += ["--trust-config", str(request.trust_config)]
    log = os.environ.get(_LOG) or (_own_log() if request.sign and request.log_archive else None)
    words += ["--log", log] if log else []
    with _login(request.reference.registry):
        said, _ = run_words(words)
    place(PUBLISHED).write_text(said, encoding="utf-8")
    published = json.loads(said)
    digest = str(published["digest"])
    set_output("ghcr-artifact-digest", digest.removeprefix("sha256:"))
    set_output("ghcr-artifact-path", f"{request.reference}@{digest}")
    if request.sign:
        set_output("rekor-log-index", str(published["logIndex"]))


def _own_log() -> str:
    """The log that the steps of this job kept themselves, as a folder for `publish --log`."""
    folder = str(place("log"))
    files = [
        word for step in STEPS if log_file(step).exists() for word in ("--file", f"{step}={log_file(step)}")
    ]
    said, _ = run_words(["log", "collect", "-o", folder, *files])
    print(escape_lines(said), flush=True)
    return folder


@step("attach-log")
def attach_log() -> None:
    """Sign the log of the whole run, and push it beside the image."""
    request = _request()
    if request.reference is None:
        raise RefusedError("action.publish", "nothing was pushed that a log could stand beside")
    words = ["log", "attach", os.environ.get(_ARTIFACT, ""), "--json"]
    if request.trust_config is not None:
        words += ["--trust-config", str(request.trust_config)]
    with _login(request.reference.registry):
        said, _ = run_words(words)
    print(escape_untrusted(said.strip(), limit=4000))


@step("summary")
def summary() -> None:
    """Write the job's summary."""
    from glassclave.bootstrap import lookup_pcr1
    from glassclave.flows.files import measurements_file
    from glassclave.provenance.claims import Claims, foreign_signer
    from glassclave.provenance.predicate import parse_predicate
    from glassclave.report.summary import JobSummary, summary_markdown

    request = _request()
    built = json.loads(read_small_file(place(BUILT), limit=_LIMIT))
    path = measurements_file(request.eif)
    predicate = parse_predicate(read_small_file(path, limit=_LIMIT), source=str(path))
    pushed = json.loads(read_small_file(place(PUBLISHED), limit=_LIMIT)) if place(PUBLISHED).exists() else {}
    known = lookup_pcr1(predicate.measured.measurements.pcr1.hex())
    twice = built.get("twice")
    said = "the same bytes" if twice and twice["sameBytes"] else "the same PCRs"
    append(
        "GITHUB_STEP_SUMMARY",
        summary_markdown(
            JobSummary(
                image=request.eif.name,
                size=predicate.measured.eif.size,
                memory_bytes=built["memoryBytes"],
                pcrs=predicate.measured.measurements.by_index(),
                known_bootstrap=None
                if known is None
                else f"{predicate.claimed.bootstrap.name} ({known.owner})",
                container=predicate.claimed.container,
                repository=os.environ.get("GITHUB_REPOSITORY", "OWNER/NAME"),
                reference=pushed.get("reference"),
                log_index=pushed.get("logIndex"),
                signer=foreign_signer(Claims(**pushed.get("claims", {}))),
                twice=f"Built twice in different surroundings: {said}." if twice else None,
            )
        ),
    )


def _parse(inputs: Mapping[str, str]) -> ActionRequest:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return parse_request(kept | dict(inputs))


def _request() -> ActionRequest:
    """What `check` kept."""
    return _parse(json.loads(read_small_file(place(REQUEST), limit=_LIMIT)))


def run_words(words: list[str]) -> tuple[str, int]:
    """A command of ours in this process: what it printed, and its status where it is no error."""
    from glassclave.cli import group

    # Escaped: a line end in an input would begin a line of its own, which the runner may take for a command.
    print(f"$ glassclave {escape_untrusted(shlex.join(words), limit=4000)}", flush=True)
    said = io.StringIO()
    with redirect_stdout(said):
        status = group.main(args=words, prog_name="glassclave", standalone_mode=False)
    return said.getvalue(), status or 0


@contextmanager
def login_folder(registry: str) -> Iterator[Path | None]:
    """The job's token for ghcr.io, in a docker configuration that lives as long as this step."""
    token = os.environ.pop(_TOKEN, "")
    if registry != GHCR or not token:
        yield None
        return
    user = os.environ.get("GITHUB_ACTOR") or "github"
    secret = base64.b64encode(f"{user}:{token}".encode()).decode("ascii")
    with tempfile.TemporaryDirectory(dir=place("").parent) as folder:
        path = Path(folder) / "config.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps({"auths": {registry: {"auth": secret}}}), encoding="ascii")
        yield Path(folder)


@contextmanager
def _login(registry: str) -> Iterator[None]:
    """The same for all that this process does, and starts."""
    before = os.environ.get("DOCKER_CONFIG")
    with login_folder(registry) as folder:
        if folder is None:
            yield
            return
        os.environ["DOCKER_CONFIG"] = str(folder)
        try:
            yield
        finally:
            if before is None:
                del os.environ["DOCKER_CONFIG"]
            else:
                os.environ["DOCKER_CONFIG"] = before
