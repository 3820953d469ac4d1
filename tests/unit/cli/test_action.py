"""The steps of the action, with a runner's files and no runner."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from glassclave.cli import main
from glassclave.cli.action import _login, different_files
from glassclave.cli.workflow import announce, set_output
from glassclave.errors import UsageError
from tests.images.layout import Entry, write_layout


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """RUNNER_TEMP and the files of a step; the workspace is `workspace`."""
    for name in [name for name in os.environ if name.startswith(("GITHUB_", "INPUT_", "ACTIONS_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "workspace").mkdir()
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path / "temp"))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/hello")
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


def step(name: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["action", name])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_a_wrong_input_is_announced_and_nothing_is_kept(
    runner: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INPUT_TWICE", "yes\n::set-output name=x::y")
    assert step("check") == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("::error title=action.input::the input twice is ")
    assert not (runner / "temp" / "glassclave" / "request.json").exists()


def test_an_input_begins_no_line_of_its_own(
    runner: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line with `::` at its beginning is a command to the runner."""
    monkeypatch.setenv("INPUT_DOCKER_BUILD_CONTEXT_PATH", "x\n::add-mask::y")
    monkeypatch.setenv("INPUT_DOCKERFILE_PATH", "D\r\n::error::y")
    assert step("check") == 0
    assert step("build") != 0
    said = capsys.readouterr()
    lines = (said.out + said.err).splitlines()
    assert "::add-mask::y" in said.out
    assert [line for line in lines if line.startswith("::") and not line.startswith("::error title=")] == []


def test_build_wants_check_first(runner: Path) -> None:
    assert step("build") == 3


def test_a_second_build_that_differs_names_the_files() -> None:
    files = [{"path": f"/f{number}", "what": "content"} for number in range(21)]
    said = different_files(json.dumps({"twice": {"differences": files[:2]}}))
    assert said == "different: /f0 (content), /f1 (content)"
    assert different_files(json.dumps({"twice": {"differences": files}})).endswith(
        "/f19 (content), and 1 more"
    )


def test_outside_of_a_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNNER_TEMP", raising=False)
    assert step("check") == 2


def test_what_is_announced_stays_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    announce("warning", "50% of\n::error::x\r\x1b[2J", title="a:b,c%")
    said = capsys.readouterr().err
    assert said == "::warning title=a%3Ab%2Cc%25::50%25 of\\u{a}::error::x\\u{d}\\u{1b}[2J\n"


def test_an_output_has_one_line(runner: Path) -> None:
    set_output("a", "1")
    set_output("b", "2")
    assert (runner / "GITHUB_OUTPUT").read_text() == "a=1\nb=2\n"
    for value in ("1\nb=2", "1\rb=2"):
        with pytest.raises(UsageError):
            set_output("a", value)


def test_the_token_logs_in_to_ghcr_alone_and_for_the_step_alone(
    runner: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (runner / "temp" / "glassclave").mkdir(parents=True)
    monkeypatch.setenv("GITHUB_ACTOR", "octocat")
    monkeypatch.setenv("DOCKER_CONFIG", "/before")
    monkeypatch.setenv("GLASSCLAVE_REGISTRY_TOKEN", "t0ken")
    with _login("ghcr.io"):
        folder = Path(os.environ["DOCKER_CONFIG"])
        auths = json.loads((folder / "config.json").read_bytes())["auths"]
        assert base64.b64decode(auths["ghcr.io"]["auth"]) == b"octocat:t0ken"
        assert stat.S_IMODE((folder / "config.json").stat().st_mode) == 0o600
        assert "GLASSCLAVE_REGISTRY_TOKEN" not in os.environ
    assert not folder.exists()
    assert os.environ["DOCKER_CONFIG"] == "/before"
    monkeypatch.setenv("GLASSCLAVE_REGISTRY_TOKEN", "t0ken")
    with _login("registry.example"):
        assert os.environ["DOCKER_CONFIG"] == "/before"
    monkeypatch.setenv("GLASSCLAVE_REGISTRY_TOKEN", "")
    with _login("ghcr.io"):
        assert os.environ["DOCKER_CONFIG"] == "/before"


def test_warnings_are_announced_where_a_runner_reads(
    runner: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    layout = write_layout(runner / "layout", [{"app": Entry(b"x", 0o644)}], {"Cmd": ["/app"]})
    with pytest.raises(SystemExit):
        main(["build", f"oci:{layout}", "-o", str(runner / "a.eif")])
    assert "::warning title=build.process.absent::" in capsys.readouterr().err


@pytest.fixture
def built(runner: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a job that builds leaves for the next step: an image, and what stands beside it."""
    layout = write_layout(runner / "layout", [{"app": Entry(b"x", 0o644)}], {"Cmd": ["/app"]})
    image = runner / "workspace" / "enclave.eif"
    with pytest.raises(SystemExit):
        main(["build", f"oci:{layout}", "-o", str(image)])
    (runner / "workspace" / "enclave.info.json").write_text("{}")
    assert step("check") == 0
    (runner / "temp" / "glassclave" / "build.json").write_text('{"twice": {"sameBytes": true}}')
    return image


def outputs(runner: Path) -> dict[str, str]:
    lines = (runner / "GITHUB_OUTPUT").read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def arrive(runner: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The next job: a workspace with nothing in it, and what was downloaded."""
    said = outputs(runner)
    arrived = runner / "arrived"
    shutil.copytree(said["folder"], arrived)
    shutil.rmtree(runner / "workspace")
    (runner / "workspace").mkdir()
    monkeypatch.setenv("GLASSCLAVE_ARRIVED", str(arrived))
    monkeypatch.setenv("GLASSCLAVE_FILES", said["files"])
    monkeypatch.setenv("GLASSCLAVE_TWICE", said["twice"])
    return arrived


def test_one_job_hands_over_and_the_next_takes_over(
    built: Path, runner: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = built.read_bytes()
    assert step("hand-over") == 0
    arrive(runner, monkeypatch)
    assert step("take-over") == 0
    assert built.read_bytes() == before
    assert len(outputs(runner)["pcr0"]) == 96
    assert step("summary") == 0
    said = (runner / "GITHUB_STEP_SUMMARY").read_text()
    assert outputs(runner)["pcr0"] in said
    assert "Built twice in different surroundings: the same bytes." in said


def test_what_arrives_otherwise_is_not_laid_out(
    built: Path, runner: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert step("hand-over") == 0
    arrived = arrive(runner, monkeypatch)
    data = (arrived / "enclave.eif").read_bytes()
    (arrived / "enclave.eif").write_bytes(bytes([data[0] ^ 1]) + data[1:])
    capsys.readouterr()
    assert step("take-over") == 1
    assert "::error title=action.arrival.changed::enclave.eif is not what was sent" in capsys.readouterr().err
    assert not built.exists()


def test_the_job_that_signs_compares_the_expected_pcrs_itself(
    built: Path, runner: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert step("hand-over") == 0
    arrive(runner, monkeypatch)
    monkeypatch.setenv("INPUT_EXPECTED_PCRS", f"PCR0={'0' * 96}")
    assert step("check") == 0
    assert step("take-over") == 1
    assert "::error title=action.pcr.mismatch::" in capsys.readouterr().err


def test_a_sigstore_can_come_as_text(runner: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INPUT_TRUST_CONFIG_JSON", '{"mediaType": "x"}')
    assert step("check") == 0
    kept = json.loads((runner / "temp" / "glassclave" / "request.json").read_bytes())
    assert Path(kept["INPUT_TRUST_CONFIG"]).read_text() == '{"mediaType": "x"}'


def test_a_log_needs_something_that_was_pushed(runner: Path) -> None:
    assert step("check") == 0
    assert step("attach-log") == 1
