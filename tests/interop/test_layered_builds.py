"""Builds from layers, seen from outside: surroundings reach no byte, and a kill leaves nothing behind."""

from __future__ import annotations

import filecmp
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from glassclave.eif.inspection import inspect_image
from glassclave.streams import open_source
from tests.images.layout import COMPRESSIONS, Entry, directory, hard_link, opaque, whiteout, write_layout

SOURCE = Path(__file__).resolve().parents[2] / "src"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}
CONFIG = {"Cmd": ["/bin/app", "é"], "Env": ["B=2", "A=1"], "Labels": {"z": "1", "a": "2"}}
LARGE_BYTES = 48 << 20


def layers(large: int = 0) -> list[Mapping[str, Entry]]:
    """Three layers with every means; ``large``: bytes of a file that takes a while to decode."""
    noise = random.Random(1)
    return [
        {
            "bin": directory(),
            "bin/app": Entry(b"#!/bin/sh\n", 0o755),
            "srv": directory(0o1777),
            "srv/ä": Entry(b"below"),
            "srv/old": directory(),
            "srv/old/file": Entry(b"below"),
        },
        {"srv/Z": Entry(noise.randbytes(large)), "srv/a": Entry(b"a"), "srv/b": hard_link("srv/a")},
        {**opaque("srv/old"), "srv/old/new": Entry(b"above", uid=5), **whiteout("srv/ä")},
    ]


def command(layout: Path, output: Path, spool: Path | None = None) -> list[str]:
    words = [sys.executable, "-m", "glassclave", "build", f"oci:{layout}", "-o", str(output)]
    return words if spool is None else [*words, "--spool-dir", str(spool)]


def build(layout: Path, output: Path, environment: Mapping[str, str] | None = None, **how: Any) -> Path:
    finished = subprocess.run(
        command(layout, output),
        env=ENVIRONMENT | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        **how,
    )
    assert finished.returncode == 0, finished.stderr
    return output


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_layout(tmp_path_factory.mktemp("source") / "layout", layers(), CONFIG)


@pytest.fixture(scope="module")
def reference(layout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(layout, tmp_path_factory.mktemp("reference") / "app.eif")


@pytest.mark.parametrize(
    ("environment", "how"),
    [
        ({"TZ": "Asia/Tokyo"}, {"umask": 0o077}),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {}),
        ({"PYTHONHASHSEED": "1"}, {}),
        ({"PYTHONHASHSEED": "2", "HOME": "/nowhere", "USER": "somebody", "TMPDIR": "/dev/shm"}, {"cwd": "/"}),
    ],
    ids=["umask and time zone", "locale", "hash seed", "home and spool"],
)
def test_surroundings_reach_no_byte(
    layout: Path, reference: Path, tmp_path: Path, environment: dict[str, str], how: dict[str, Any]
) -> None:
    assert filecmp.cmp(build(layout, tmp_path / "app.eif", environment, **how), reference, shallow=False)


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_how_layers_are_stored_reaches_no_byte(reference: Path, tmp_path: Path, compression: str) -> None:
    other = write_layout(tmp_path / "layout", layers(), CONFIG, compression=compression)
    assert filecmp.cmp(build(other, tmp_path / "app.eif"), reference, shallow=False)


def test_one_byte_of_a_layer_matters(reference: Path, tmp_path: Path) -> None:
    changed = [dict(layer) for layer in layers()]
    changed[1]["srv/a"] = Entry(b"b")
    other = write_layout(tmp_path / "layout", changed, CONFIG)
    assert not filecmp.cmp(build(other, tmp_path / "app.eif"), reference, shallow=False)


@pytest.mark.parametrize("times", [6, pytest.param(40, marks=pytest.mark.acceptance)])
def test_a_killed_build_leaves_no_half_image_and_no_decoded_layer(tmp_path: Path, times: int) -> None:
    large = write_layout(tmp_path / "layout", layers(LARGE_BYTES), CONFIG)
    started = time.monotonic()
    whole = build(large, tmp_path / "whole.eif")
    seconds = time.monotonic() - started
    spool, folder = tmp_path / "spool", tmp_path / "out"
    spool.mkdir()
    folder.mkdir()
    output = folder / "app.eif"
    chance = random.Random()
    for _ in range(times):
        moment = seconds * chance.uniform(0.1, 1.1)
        run = subprocess.Popen(
            command(large, output, spool),
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(moment)
        run.kill()
        run.wait()
        said = f"killed after {moment:.3f} s"
        assert os.listdir(spool) == [], said
        if output.exists():
            assert filecmp.cmp(output, whole, shallow=False), said
            with open_source(output) as source:
                assert not inspect_image(source, name=said).findings, said
            output.unlink()
    assert filecmp.cmp(build(large, output), whole, shallow=False)
    assert {path.name for path in folder.iterdir()} == {"app.eif", "app.measurements.json"}
