from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from glassclave.cli.arguments import check_output, parse_seconds, split_words
from glassclave.errors import UsageError


def test_words_are_split_as_a_shell_does_or_taken_from_json() -> None:
    assert split_words("/bin/x 'a b'") == ("/bin/x", "a b")
    assert split_words('["/bin/x", "a b"]') == ("/bin/x", "a b")


@pytest.mark.parametrize(
    "text",
    [
        "'",
        "[",
        "[1]",
        "[" * 100_000,
        "[" + "9" * 5000 + "]",
        '["\\ud800"]',
        '["\udcff"]',
        '{"a": "b"}x\'',
        "[[]]",
    ],
)
def test_what_is_no_command_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=r"build\.cmd\.syntax"):
        split_words(text)


def test_seconds_fit_32_bits() -> None:
    assert parse_seconds("4294967295") == 4294967295
    for text in ("4294967296", "9" * 5000, "-1", "+1", "1_0", "\u0661", "", " 1"):
        assert parse_seconds(text) is None


@pytest.mark.parametrize("coding", [{"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_an_argument_has_the_same_characters_in_every_locale(coding: dict[str, str]) -> None:
    program = "import sys; from glassclave.cli.arguments import as_typed; print(ascii(as_typed(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-c", program, "é".encode()],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **coding, "PYTHONCOERCECLOCALE": "0"},
    )
    assert done.stdout.strip() == ascii("é")


def test_an_output_inside_of_its_source_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    check_output(f"dir:{root}", tmp_path / "root.eif")
    (tmp_path / "link").symlink_to(root)
    for output in (root / "x.eif", tmp_path / "link" / "x.eif"):
        with pytest.raises(UsageError, match=r"build\.output\.inside"):
            check_output(f"dir:{root}", output)


@pytest.mark.parametrize("name", ["", ".", "/", ".."])
def test_an_output_names_a_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"build\.output\.name"):
        check_output(f"dir:{tmp_path}", Path(name))


def test_a_link_to_itself_is_no_trap(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    check_output(f"dir:{tmp_path / 'loop'}", tmp_path / "x.eif")
