"""Images that `build` wrote, compared file by file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from glassclave.cli import main
from glassclave.flows.compare import compare_images

SCHEMA = Path(__file__).resolve().parents[3] / "docs" / "spec" / "build.schema.json"


def build(root: Path, output: Path, *words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["build", f"dir:{root}", "-o", str(output), "--cmd", "/app", "--owner", "preserve", *words])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    for name in ("app", "etc/one", "etc/two"):
        (tmp_path / "root" / name).write_bytes(name.encode())
    return tmp_path / "root"


def test_nothing_differs(root: Path, tmp_path: Path) -> None:
    for name in ("a.eif", "b.eif"):
        assert build(root, tmp_path / name) == 0
    compared = compare_images(tmp_path / "a.eif", tmp_path / "b.eif")
    assert (compared.same_bytes, compared.same_pcrs, compared.files) == (True, True, ())


def test_metadata_is_not_measured(root: Path, tmp_path: Path) -> None:
    build(root, tmp_path / "a.eif", "--name", "a")
    build(root, tmp_path / "b.eif", "--name", "bb")
    compared = compare_images(tmp_path / "a.eif", tmp_path / "b.eif")
    assert (compared.same_bytes, compared.same_pcrs, compared.files) == (False, True, ())


def test_each_difference_is_named(root: Path, tmp_path: Path) -> None:
    build(root, tmp_path / "a.eif", "--mtime", "1")
    (root / "etc" / "one").write_bytes(b"other bytes")
    (root / "etc" / "two").rename(root / "etc" / "th\x1bree")
    (root / "app").chmod(0o4755)
    os.chown(root / "etc", 12, 34)
    build(root, tmp_path / "b.eif", "--mtime", "2")
    compared = compare_images(tmp_path / "a.eif", tmp_path / "b.eif")
    said = {file.path: file.what for file in compared.files}
    assert not compared.same_pcrs
    assert said["/app"] == "mode 100644 and 104755, time"
    assert said["/etc"] == "owner 0:0 and 12:34, time"
    assert said["/etc/one"] == "time, content (7 and 11 bytes)"
    assert said["/etc/two"] == "only in the first build"
    assert said["/etc/th\\u{1b}ree"] == "only in the second build"


@pytest.mark.parametrize("words", [(), ("--env=A=-b", "--name=-x", "--mtime=preserve")])
def test_twice(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    before = set(os.listdir(tmp_path))
    assert build(root, tmp_path / "a.eif", "--twice", "--json", *words) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(said)
    assert said["twice"] == {"sameBytes": True, "samePcrs": True, "differences": []}
    assert set(os.listdir(tmp_path)) - before == {"a.eif", "a.measurements.json"}
