from __future__ import annotations

import json
from pathlib import Path

import pytest

from glassclave.bootstrap import load_shipped, lookup_pcr1
from glassclave.cli import main
from glassclave.flows.bootstrap import measure_bootstrap


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_the_shipped_bootstrap_is_in_the_table_of_known_ones() -> None:
    known = lookup_pcr1(measure_bootstrap(load_shipped("x86_64")).hex())
    assert known is not None
    assert known.owner == "Glassclave"


def test_list_names_ours_and_awss(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bootstrap", "list", "--json") == 0
    owners = {row["owner"] for row in json.loads(capsys.readouterr().out)}
    assert {"Glassclave", "AWS"} <= owners


def test_verify_measures_the_shipped_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bootstrap", "verify") == 0
    assert "known, Glassclave" in capsys.readouterr().out


def test_one_changed_byte_is_no_longer_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = load_shipped("x86_64")
    (tmp_path / "bzImage").write_bytes(shipped.kernel)
    (tmp_path / "cmdline").write_bytes(shipped.cmdline)
    (tmp_path / "init").write_bytes(shipped.init)
    assert run("bootstrap", "verify", str(tmp_path)) == 0
    (tmp_path / "init").write_bytes(shipped.init[:-1] + bytes([shipped.init[-1] ^ 1]))
    assert run("bootstrap", "verify", str(tmp_path)) == 1
    assert "not known" in capsys.readouterr().out
