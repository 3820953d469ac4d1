"""With ``--json`` a command that fails prints one document, of the form that is specified."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from glassclave.cli import main

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[3] / "docs" / "spec" / "error.schema.json").read_text(encoding="utf-8")
)
IMAGE = "127.0.0.1:1/o/r:1"


def error_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)] == []
    error = document["error"]
    assert isinstance(error, dict)
    return int(ended.value.code or 0), error


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["init"], 2, "init.action"),
        (["build"], 2, "usage"),
        (["build", "dir:gone", "-o", "a.eif", "--cmd", "/a"], 3, "image.directory.missing"),
        (["build", "elsewhere:a", "-o", "a.eif"], 2, "build.source.kind"),
        (["build", "oci-archive:text", "-o", "a.eif"], 3, "image.tar.truncated"),
        (["describe"], 2, "usage"),
        (["describe", "gone.eif"], 3, "file.unreadable"),
        (["describe", "."], 3, "file.kind"),
        (["describe", "text"], 3, "eif.truncated"),
        (["sign-eif", "a.eif"], 2, "usage"),
        (["sign-eif", "a.eif", "--key", "text", "--certificate", "text", "-o", "b"], 3, "eif.sign.key.form"),
        (["attestation", "describe", "text"], 3, "attestation.armor"),
        (["attestation", "verify", "text"], 2, "attestation.mode"),
        (["attestation", "verify", "text", "--historical"], 2, "attestation.expected.incomplete"),
        (["bootstrap", "verify", "."], 2, "bootstrap.directory.kernel"),
        (["publish", "a.eif", "o/r:1"], 2, "reference.registry"),
        (["publish", "a.eif", IMAGE, "--trust-config", "gone"], 3, "file.unreadable"),
        (["verify", IMAGE], 2, "verify.policy.missing"),
        (["verify", IMAGE, "--repo", "a/b", "--trust-config", "text"], 3, "json.syntax"),
        (["rebuild", IMAGE], 2, "verify.policy.missing"),
        (["rebuild", "o/r:1", "--repo", "a/b"], 2, "reference.registry"),
        (["rebuild", IMAGE, "--repo", "a/b", "--identity-token", "text"], 2, "rebuild.sign"),
        (["rebuild", IMAGE, "--repo", "a/b", "--policy", "text"], 2, "verify.policy.twice"),
        (["rebuild", IMAGE, "--repo", "a/b", "--trust-config", "text"], 3, "json.syntax"),
    ],
)
def test_an_error_is_one_document_of_the_specified_form(
    words: list[str],
    status: int,
    code: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("not it\n", encoding="ascii")
    found, error = error_of(words, capsys)
    assert (found, error["code"]) == (status, code)
    assert [path.name for path in tmp_path.iterdir()] == ["text"], "nothing half-written is left"


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"code": "x"},
        {"code": "a.b", "message": "", "hint": "h"},
        {"code": "a.b", "message": "m", "why": 1},
    ],
)
def test_the_schema_refuses_another_error(change: dict[str, object]) -> None:
    assert list(Draft202012Validator(SCHEMA).iter_errors({"error": change}))
