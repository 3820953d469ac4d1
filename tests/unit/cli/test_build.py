"""``glassclave build``: what a person and a program see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from glassclave.cli import main
from glassclave.cli.build import build_time, parse_mtime
from glassclave.errors import UsageError
from tests.oracle_pcrs import pcrs
from tests.unit.attestation.vectors import PRODUCTION

SPEC = Path(__file__).resolve().parents[3] / "docs" / "spec"
STALE = bytes.fromhex("a70d0d0a00000000785634120500000063")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "srv").mkdir(parents=True)
    (folder / "srv" / "a.pyc").write_bytes(STALE)
    (folder / "app").write_bytes(b"#!/bin/sh\n")
    (folder / "app").chmod(0o755)
    return folder


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def build(root: Path, *words: str | Path, output: str = "app.eif") -> int:
    return run("build", f"dir:{root}", "-o", root.parent / output, "--cmd", "/app", *words)


def test_a_build_ends_with_registers_and_the_next_command(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(root) == 0
    out, err = capsys.readouterr()
    output = tmp_path / "app.eif"
    zero, one, two = pcrs(str(output))
    assert out.splitlines() == [
        "",
        f"PCR0  {zero}  image",
        f"PCR1  {one}  kernel, init",
        f"PCR2  {two}  application",
        "",
        "not measured: name, version, build time. The enclave needs 68 MB of memory.",
        f"next: glassclave publish {output} ghcr.io/OWNER/REPO:TAG",
    ]
    lines = err.splitlines()
    assert "tree       3 entries, 27 B; 3 file times and 1 .pyc headers made constant" in lines
    assert any(
        line.startswith("bootstrap  glassclave ") and "PCR1 known: Glassclave" in line for line in lines
    )
    assert lines[-1].startswith(f"wrote      {output}, ")


def test_kept_times_are_not_called_constant(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(root, "--mtime", "preserve") == 0
    assert "tree       3 entries, 27 B" in capsys.readouterr().err.splitlines()


def test_json_is_one_document_as_published(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(root, "--json") == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    schema = json.loads((SPEC / "build.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(answer)
    output = tmp_path / "app.eif"
    assert err == ""
    assert [answer["measurements"][f"PCR{index}"] for index in range(3)] == pcrs(str(output))
    assert answer["file"] == str(output)
    assert answer["size"] == output.stat().st_size
    saved = json.loads(Path(answer["measurementsFile"]).read_bytes())
    assert saved["measured"]["pcrs"] == answer["measurements"]
    assert saved["measured"]["eif"] == {name: answer[name] for name in ("size", "sha256", "sha384")}
    assert answer["layout"] == {
        "name": "glassclave-1",
        "mtime": 315532800,
        "normalizers": ["pyc"],
        "entries": 3,
        "timesMadeConstant": 3,
        "normalized": {"pyc": 1},
    }


def test_the_recipe_says_what_was_chosen(root: Path, tmp_path: Path) -> None:
    assert build(root, "--mtime", "preserve", "--drop-file-capabilities", "--name", "n") == 0
    claimed = json.loads((tmp_path / "app.measurements.json").read_bytes())["claimed"]
    assert claimed["recipe"]["mtime"] == "preserve"
    assert claimed["recipe"]["normalizers"] == []
    assert claimed["recipe"]["dropFileCapabilities"] is True
    assert claimed["unmeasured"]["imageName"] == "n"


def test_the_measurements_file_is_what_attestation_verify_reads(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The document is another enclave's: the file is read, and the registers differ."""
    assert build(root) == 0
    document = next(one.path for one in PRODUCTION if one.path.name.startswith("evervault_attestation"))
    measurements = tmp_path / "app.measurements.json"
    capsys.readouterr()
    status = run("attestation", "verify", document, "--measurements", measurements, "--historical", "--json")
    assert status == 1
    codes = {check["code"] for check in json.loads(capsys.readouterr().out)["checks"]}
    assert {f"attestation.pcr{index}.mismatch" for index in range(3)} <= codes


def test_no_program_to_start_is_a_question_of_usage(root: Path, tmp_path: Path) -> None:
    assert run("build", f"dir:{root}", "-o", tmp_path / "app.eif") == 2
    assert not (tmp_path / "app.eif").exists()


def test_times_are_numbers_of_32_bits() -> None:
    assert (parse_mtime("0"), parse_mtime("4294967295"), parse_mtime("preserve")) == (0, 4294967295, None)
    assert build_time({}) == 315532800
    assert build_time({"SOURCE_DATE_EPOCH": "1"}) == 1
    for text in ("", "-1", "1.5", "4294967296", "١", " 1", "Preserve"):
        with pytest.raises(UsageError):
            parse_mtime(text)
        with pytest.raises(UsageError):
            build_time({"SOURCE_DATE_EPOCH": text})
