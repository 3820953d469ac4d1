"""What ``bootstrap --json`` prints follows its schemas, known or not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from glassclave import bootstrap
from glassclave.cli import main

SPEC = Path(__file__).resolve().parents[3] / "docs" / "spec"
SHIPPED = Path(bootstrap.__file__).parent / "data" / "x86_64"


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, object]:
    with pytest.raises(SystemExit) as ended:
        main(["bootstrap", *words, "--json"])
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


def errors(schema: str, value: object) -> list[str]:
    document = json.loads((SPEC / schema).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(document)
    return [error.message for error in Draft202012Validator(document).iter_errors(value)]


def test_the_list_follows_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    status, rows = answer(capsys, "list")
    assert status == 0
    assert errors("bootstrap-list.schema.json", rows) == []
    assert isinstance(rows, list)
    assert errors("bootstrap-list.schema.json", [rows[0] | {"pcr1": rows[0]["pcr1"].upper()}])
    assert errors("bootstrap-list.schema.json", [rows[0] | {"extra": 1}])


def test_known_and_unknown_bootstraps_follow_theirs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, known = answer(capsys, "verify")
    assert status == 0
    assert errors("bootstrap-verify.schema.json", known) == []
    folder = tmp_path / "x86_64"
    shutil.copytree(SHIPPED, folder)
    (folder / "cmdline").write_bytes(b"another")
    status, unknown = answer(capsys, "verify", str(folder))
    assert status == 1
    assert errors("bootstrap-verify.schema.json", unknown) == []
    assert isinstance(unknown, list)
    assert unknown[0]["owner"] is None
    assert errors("bootstrap-verify.schema.json", [])
    assert errors("bootstrap-verify.schema.json", [unknown[0] | {"owner": 1}])
