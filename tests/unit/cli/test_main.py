from __future__ import annotations

import json
from pathlib import Path

import pytest

from glassclave import __version__
from glassclave.cli import VERBS, main


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
    for verb in ("build", "describe", "attestation"):
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
