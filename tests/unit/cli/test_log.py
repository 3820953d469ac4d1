"""``log collect``, ``show``, ``verify``, ``attach``: usage, what is printed, and that none of it commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from glassclave.buildlog.collect import Run as GithubRun
from glassclave.buildlog.collect import RunJob, RunStep, collect_jobs
from glassclave.cli import main
from glassclave.flows.log import archive, load_archive, write_archive
from glassclave_sandbox.services import Services
from tests.pipeline.github_api import GithubApi
from tests.pipeline.records import JobRecord
from tests.unit.flows.logged import Detector

RUN = GithubRun(repository="acme/hello", run_id=777, attempt=2, commit="5" * 40)
ENVIRONMENT = {
    "GITHUB_REPOSITORY": RUN.repository,
    "GITHUB_RUN_ID": "777",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_SHA": RUN.commit,
    "GITHUB_JOB": "build",
}
HOSTILE = "\x1b[2J\u202e\n::error::pwned"
T = "2026-11-24T10:00:0"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ENVIRONMENT, "GITHUB_TOKEN", "GITHUB_API_URL", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def in_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@dataclass
class Cli:
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str | Path) -> tuple[int, str, str]:
        """Exit status, stdout, stderr."""
        with pytest.raises(SystemExit) as caught:
            main(["log", *map(str, words)])
        assert isinstance(caught.value.code, int)
        return caught.value.code, *self.capsys.readouterr()

    def code(self, *words: str | Path) -> tuple[int, str]:
        """Exit status, and the error's code."""
        status, out, err = self(*words)
        assert out == ""
        assert "\x1b" not in err and "\u202e" not in err
        return status, err.split()[-1]


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def test_the_run_must_be_named(log: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("collect", "-o", tmp_path / "kept", "--file", "Build=gone")
    assert log.code(*words) == (2, "log.run.missing")
    for missing in ENVIRONMENT:
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, "" if name == missing else value)
        wanted = (3, "file.unreadable") if missing == "GITHUB_JOB" else (2, "log.run.missing")
        assert log.code(*words) == wanted
    assert not (tmp_path / "kept").exists()


@pytest.mark.usefixtures("in_a_job")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--file", "gone"), "log.file"),
        (("--file", "=gone"), "log.file"),
        (("--file", "Build="), "log.file"),
        (("--file", "Build=gone", "--job", "a", "--job", "b"), "log.job.several"),
        ((), "log.token"),
        (("--job", "build"), "log.token"),
        (("--repo", "acme"), "log.run"),
        (("--run", "-1"), "log.run"),
        (("--attempt", "99999999999999999999"), "log.run"),
        (("--commit", "main"), "log.run"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    log: Cli, tmp_path: Path, words: tuple[str, ...], code: str
) -> None:
    assert log.code("collect", "-o", tmp_path / "kept", *words) == (2, code)
    assert not (tmp_path / "kept").exists()


@pytest.mark.usefixtures("in_a_job")
def test_numbers_are_numbers(log: Cli, tmp_path: Path) -> None:
    assert log("collect", "-o", tmp_path, "--run", "x")[0] == 2
    assert log("collect")[0] == 2


@pytest.mark.usefixtures("in_a_job")
def test_files_are_collected_and_the_record_is_printed(log: Cli, tmp_path: Path) -> None:
    path = tmp_path / "step=1.log"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntoken ***")
    words = ("collect", "-o", tmp_path / "kept", "--file", f"Build={path}")
    status, out, _ = log(*words, "--json")
    kept = load_archive(tmp_path / "kept")
    assert (status, out) == (0, kept.record_file.decode())
    assert (kept.record.run_id, kept.record.run_attempt, kept.record.commit) == (777, 2, RUN.commit)
    assert [(job.name, job.lines) for job in kept.record.jobs] == [("build", 2)]
    status, out, _ = log(*words, "--job", HOSTILE)
    assert status == 0
    assert "\x1b" not in out and "\n::" not in out
    assert "none found by kingfisher" in out and "1 place masked" in out


@pytest.mark.usefixtures("in_a_job")
def test_an_empty_log_is_none(log: Cli, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert log.code("collect", "-o", tmp_path / "kept", "--file", f"Build={path}") == (2, "log.empty")


# An image in a registry on loopback, with the build's log and that of the whole run.

BUILD = (
    f"{T}0.0Z Set up\n{T}1.0Z ##[group]Run make\n{T}1.1Z \x1b[31mred\x1b[0m\tfour\n"
    "::error::not ours\n  ::add-mask::x\n"
)
SIGN = f"{T}5.0Z sign\n"


def step(number: int, name: str, second: int, conclusion: str = "success") -> RunStep:
    return RunStep(number=number, name=name, conclusion=conclusion, started_at=f"{T}{second}Z")


JOBS = (
    RunJob(
        name="call / build",
        job_id=5,
        conclusion="success",
        steps=(step(1, "Set up", 0), step(2, HOSTILE, 1), step(3, "Skipped", 1, "skipped"), step(4, "2", 9)),
        text=BUILD.encode(),
    ),
    RunJob(name="sign", job_id=6, conclusion="success", steps=(step(1, "Sign", 5),), text=SIGN.encode()),
    RunJob(name="other / build", job_id=7, conclusion="success", steps=(), text=b"other\n"),
)


@dataclass(frozen=True)
class World:
    services: Services
    reference: str

    @property
    def policy(self) -> tuple[str, ...]:
        return (self.reference, "--repo", RUN.repository, "--trust-config", str(self.services.trust_config))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("log")
    root, image = folder / "root", folder / "app.eif"
    root.mkdir()
    (root / "app").write_bytes(b"x")
    write_archive(archive(collect_jobs(RUN, "github-api", JOBS), Detector()), folder / "kept")
    whole = JobRecord(9, HOSTILE)
    whole.say("whole run")
    whole.complete("failure")
    claims = {"repository": RUN.repository, "run_id": "777", "run_attempt": "2", "sha": RUN.commit}
    with (
        Services(folder / "state") as services,
        GithubApi(RUN.repository, RUN.commit, run_attempt=2, jobs=[whole]) as api,
    ):
        token = {"GITHUB_API_URL": api.url, "GITHUB_TOKEN": api.grant({"actions": "read"})}
        inherited = os.environ | services.environment(**claims) | ENVIRONMENT | token

        def glassclave(*words: str | Path) -> None:
            done = subprocess.run(
                [sys.executable, "-m", "glassclave", *map(str, words)],
                capture_output=True,
                text=True,
                timeout=120,
                env=inherited,
            )
            assert done.returncode == 0, done.stdout + done.stderr

        glassclave("build", f"dir:{root}", "-o", image, "--cmd", "/app")
        reference = f"{services.registry}/o/r:1.0"
        trust = ("--trust-config", services.trust_config)
        glassclave("publish", image, reference, *trust, "--log", folder / "kept")
        glassclave("log", "attach", reference, *trust)
        yield World(services, reference)


LINES = [
    f"{T}0.0Z Set up",
    f"{T}1.0Z ##[group]Run make",
    f"{T}1.1Z red    four",
    "::error::not ours",
    "  ::add-mask::x",
    f"{T}5.0Z sign",
    "other",
]


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ((), LINES),
        (("--job", "call / build"), LINES[:5]),
        (("--job", "sign"), LINES[5:6]),
        (("--job", "sign", "--step", "1"), LINES[5:6]),
        (("--job", "sign", "--step", "Sign"), LINES[5:6]),
        (("--step", "Set up"), LINES[:1]),
        (("--step", HOSTILE), LINES[1:5]),
        (("--step", "Skipped"), []),
        (("--step", "4"), []),
    ],
)
def test_what_is_shown(world: World, log: Cli, words: tuple[str, ...], lines: list[str]) -> None:
    status, out, err = log("show", *world.policy, *words)
    assert (status, out.splitlines(), err) == (0, lines, "")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--job", "gone"), "log.job.unknown"),
        (("--job", "build"), "log.job.several"),
        (("--step", "gone"), "log.step.unknown"),
        (("--step", "1"), "log.step.several"),
        (("--step", "2"), "log.step.several"),
        (("--job", "other / build", "--step", "1"), "log.step.unknown"),
    ],
)
def test_what_is_not_there_is_a_usage_error(
    world: World, log: Cli, words: tuple[str, ...], code: str
) -> None:
    assert log.code("show", *world.policy, *words) == (2, code)


def test_where_a_runner_reads_no_line_is_a_command(
    world: World, log: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    status, out, _ = log("show", *world.policy)
    assert status == 0
    assert "##[" not in out
    lines = out.splitlines()
    assert not any(line.lstrip().startswith("::") for line in lines)
    assert lines[1].endswith("\\u{23}#[group]Run make")
    assert lines[3:5] == ["\\u{3a}:error::not ours", "  \\u{3a}:add-mask::x"]


def test_the_log_of_the_whole_run(world: World, log: Cli) -> None:
    status, out, _ = log("show", *world.policy, "--whole-run")
    (line,) = out.splitlines()
    assert (status, line.partition("Z ")[2]) == (0, "whole run")


def test_the_verdict_on_the_logs(world: World, log: Cli) -> None:
    status, out, _ = log("verify", *world.policy)
    assert status == 0
    assert "\x1b" not in out and "\u202e" not in out and "\n::" not in out
    assert "7 lines of 3 jobs, from GitHub's API" in out
    assert out.splitlines()[-1].startswith("KEPT: 2 logs, as signed.")
    assert "UNDER CUSTOM TRUST" in out


def test_the_verdict_as_json(world: World, log: Cli) -> None:
    status, out, _ = log("verify", *world.policy, "--json")
    verdict = json.loads(out)
    assert (status, verdict["passed"], out.isascii()) == (0, True, True)
    build, run = verdict["logs"]
    assert [one["name"] for one in build["jobs"]] == [job.name for job in JOBS]
    assert (build["kind"], build["lines"]) == ("build", 7)
    assert (run["kind"], run["jobs"]) == (
        "run",
        [{"name": HOSTILE, "conclusion": "failure", "lines": 1}],
    )


@pytest.mark.parametrize("verb", ["show", "verify"])
def test_by_another_repositorys_policy_nothing_is_shown(world: World, log: Cli, verb: str) -> None:
    reference, trust = world.reference, str(world.services.trust_config)
    assert log.code(verb, reference, "--repo", "acme/other", "--trust-config", trust) == (
        1,
        "statement.identity",
    )
    assert log.code(verb, reference, "--trust-config", trust) == (2, "verify.policy.missing")


def test_an_unknown_names_own_text_is_escaped(world: World, log: Cli) -> None:
    status, code = log.code("show", *world.policy, "--job", HOSTILE)
    assert (status, code) == (2, "log.job.unknown")


def test_attaching_needs_a_run_and_a_token(world: World, log: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    trust = ("--trust-config", str(world.services.trust_config))
    assert log.code("attach", world.reference, *trust) == (2, "log.run.missing")
    for name, value in (ENVIRONMENT | world.services.environment()).items():
        monkeypatch.setenv(name, value)
    assert log.code("attach", world.reference, *trust) == (2, "log.token")
