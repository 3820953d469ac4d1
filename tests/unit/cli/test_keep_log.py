"""What a step prints goes on, and stands in its log with a time before every line."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
import pytest

from glassclave.buildlog.text import normalize_text
from glassclave.cli.keep_log import STEPS, kept_log, log_file
from glassclave.errors import UsageError

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ")
FORGED = "2031-01-01T00:00:00.0000000Z forged"


@pytest.fixture(autouse=True)
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path))


def lines() -> list[str]:
    """Of the log of `Build` as it is kept in the end; each begins with a time of ours, which is cut off."""
    kept = normalize_text(log_file("Build").read_bytes()).data.decode()
    assert kept.endswith("\n")
    found = kept[:-1].split("\n")
    assert all(TIME.match(line) for line in found)
    return [TIME.sub("", line, count=1) for line in found]


def test_both_streams_go_on_and_are_kept_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    with kept_log("Build"):
        print("one")
        click.echo("two", err=True)
        click.echo("three")
        print("four", file=sys.stderr)
    print("after")
    streams = capsys.readouterr()
    assert (streams.out, streams.err) == ("one\nthree\nafter\n", "two\nfour\n")
    assert lines() == ["one", "two", "three", "four"]


def test_a_line_in_pieces_is_one() -> None:
    with kept_log("Build"):
        for piece in ("a", "b", "", "c\nd", "\n", "\n", "e"):
            sys.stdout.write(piece)
    assert lines() == ["abc", "d", "", "e"]


def test_a_text_without_a_line_end_does_not_swallow_the_next_time_of_the_step() -> None:
    with kept_log("Build"):
        print("begun", end="")
    with kept_log("Build"):
        print("again")
    kept = log_file("Build").read_text(encoding="utf-8")
    assert kept.count("begun") == kept.count("again") == 1
    assert lines()[0].startswith("begun")


@pytest.mark.parametrize("end", ["\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028"])
def test_no_line_of_the_log_has_anothers_time(end: str) -> None:
    with kept_log("Build"):
        sys.stdout.write(f"progress{end}{FORGED}{end}\n")
        sys.stdout.write("next\n")
    found = lines()
    assert found[-1] == "next"
    assert not any(line.startswith("forged") for line in found)


def test_an_escape_over_lines_takes_none_with_it() -> None:
    with kept_log("Build"):
        print("\x1b]0;\ntwo\nthree\x07")
    assert [line[-5:] for line in lines()] == ["0;", "two", "three"]


def test_a_name_that_is_no_text_does_not_stop_the_step(capfd: pytest.CaptureFixture[str]) -> None:
    with kept_log("Build"):
        print("odd \udcff name", file=sys.stderr)
    assert lines() == [r"odd \udcff name"]


def test_an_error_is_in_the_log_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with pytest.raises(UsageError), kept_log("Build"):
        print("said before")
        raise UsageError("a.b", "wrong")
    assert (sys.stdout, sys.stderr) == before
    assert lines() == ["said before"]


def test_each_step_has_its_own_file() -> None:
    assert len({log_file(step) for step in STEPS}) == len(STEPS)
    with kept_log("Install"):
        print("installed")
    assert not log_file("Build").exists()


def test_outside_of_a_runner_there_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNNER_TEMP")
    with pytest.raises(UsageError) as error, kept_log("Build"):
        pytest.fail("kept nowhere")
    assert error.value.code == "action.runner"
