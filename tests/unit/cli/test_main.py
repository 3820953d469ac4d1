from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from glassclave import __version__, cli
from glassclave.cli import VERBS, main

DOCUMENT = next((Path(__file__).parents[2] / "vectors/attestation").glob("worldcoin*.bin"))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert __version__ in capsys.readouterr().out


def test_help_lists_every_verb_that_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    out = capsys.readouterr().out
    for verb in ("build", "describe", "sign-eif", "attestation"):
        assert VERBS[verb] in out


def test_unknown_verbs_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("nonsense") == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "nonsense" in streams.err


def test_an_error_says_what_where_and_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("describe", str(tmp_path / "nothing.eif")) == 3
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "nothing.eif" in streams.err
    assert "file.unreadable" in streams.err


def test_with_json_an_error_is_one_document_on_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("describe", str(tmp_path / "nothing.eif"), "--json") == 3
    record = json.loads(capsys.readouterr().out)
    assert record["error"]["code"] == "file.unreadable"


def test_usage_errors_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("describe", "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"


def test_untrusted_text_in_an_error_cannot_move_the_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("describe", str(tmp_path / "a\x1b[2Jb.eif")) == 3
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\\u{1b}" in err


def test_untrusted_text_in_a_usage_error_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("describe", "a", "b\x1b[2Jc") == 2
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "Usage: glassclave describe" in err


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """``line`` with $G for glassclave, in a process of its own: streams are what is tried here."""
    program = f"{sys.executable} -m glassclave"
    environment = {**os.environ, "G": program, "R": str(DOCUMENT)}
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, timeout=60, env=environment
    )


@pytest.mark.parametrize("words", ["--help", "attestation describe $R", "attestation describe $R --json"])
def test_a_reader_that_went_away_is_no_verdict(words: str) -> None:
    done = shell(f"($G {words}; echo $? >&2) | true")
    assert done.stderr == "3\n"


def test_a_full_disk_behind_stdout_is_an_error_of_ours() -> None:
    done = shell("$G attestation describe $R > /dev/full")
    assert done.returncode == 3
    assert "system.failed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("$G attestation describe - <&-", 3),
        ("$G attestation describe $R >&-", 0),
        ("$G attestation describe nothing 2>&-", 3),
    ],
)
def test_a_closed_stream_is_empty(line: str, status: int) -> None:
    done = shell(line)
    assert done.returncode == status
    assert "Traceback" not in done.stderr


def test_a_fault_of_ours_is_no_judgement(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1 would say "judged, and negative"."""

    def fault(*_arguments: object, **_names: object) -> None:
        raise ZeroDivisionError("a\x1b[2Jb")

    monkeypatch.setattr(cli.group, "main", fault)
    for words in (["describe", "x"], ["describe", "x", "--json"]):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 3
    said = capsys.readouterr()
    assert json.loads(said.out)["error"]["code"] == "internal"
    assert "ZeroDivisionError in test_main.py:" in said.err
    assert "\x1b" not in said.err
