"""The program from outside: one source gives one file, whoever builds, wherever, whatever happens."""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from glassclave.eif.inspection import inspect_image
from glassclave.errors import ParseError
from glassclave.streams import open_source
from tests.oracle_pcrs import pcrs

COMMAND = [sys.executable, "-m", "glassclave", "build"]
PACKAGE = Path(__file__).resolve().parents[2] / "src"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1"}
NOBODY = 65534
STALE = bytes.fromhex("a70d0d0a00000000785634120500000063")
KEPT = {"app.eif", "app.measurements.json"}
FILES = {
    "bin/app": b"#!/bin/sh\n",
    "srv/a.pyc": STALE,
    "srv/B": b"",
    "srv/ä": b"1",
    "etc/z": b"2",
    "etc/a": b"3",
}


def make_root(folder: Path, *, backwards: bool = False) -> Path:
    """One tree; ``backwards`` makes it in another order and at other times."""
    for name in reversed(FILES) if backwards else FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FILES[name])
        path.chmod(0o755 if name == "bin/app" else 0o644)
        os.utime(path, (1, 1) if backwards else (1_700_000_000, 1_700_000_000))
    for directory in [folder, *filter(Path.is_dir, folder.rglob("*"))]:
        directory.chmod(0o755)
    (folder / "etc" / "link").symlink_to("../bin/app")
    os.link(folder / "etc" / "a", folder / "srv" / "linked")
    return folder


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that other users may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="glassclave-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="module")
def root(place: Path) -> Path:
    return make_root(place / "root")


def build(root: Path, output: Path, **how: Any) -> Path:
    """The image that one run writes; it must succeed."""
    finished = attempt(root, output, **how)
    assert finished.returncode == 0, finished.stderr
    return output


def attempt(
    root: Path,
    output: Path,
    *,
    environment: dict[str, str] | None = None,
    prefix: Sequence[str] = (),
    **how: Any,
) -> subprocess.CompletedProcess[str]:
    command = [*prefix, *COMMAND, f"dir:{root}", "-o", str(output), "--cmd", "/bin/app é"]
    return subprocess.run(
        command,
        env=ENVIRONMENT | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        **how,
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def reference(root: Path, place: Path) -> dict[str, bytes]:
    """What the plainest run writes."""
    folder = place / "reference"
    folder.mkdir()
    build(root, folder / "app.eif")
    assert set(files_of(folder)) == KEPT
    return files_of(folder)


@pytest.mark.parametrize(
    ("environment", "how"),
    [
        ({}, {}),
        ({}, {"umask": 0o077}),
        ({"TZ": "Asia/Tokyo"}, {}),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {}),
        ({"PYTHONHASHSEED": "1"}, {}),
        ({"PYTHONHASHSEED": "2"}, {}),
        ({"HOME": "/nowhere", "USER": "somebody", "HOSTNAME": "elsewhere", "TMPDIR": "/dev/shm"}, {}),
        ({}, {"cwd": "/"}),
    ],
    ids=["again", "umask", "time zone", "locale", "hash seed 1", "hash seed 2", "home", "folder"],
)
def test_nothing_around_the_build_reaches_a_byte(
    root: Path, tmp_path: Path, reference: dict[str, bytes], environment: dict[str, str], how: dict[str, Any]
) -> None:
    build(root, tmp_path / "app.eif", environment=environment, **how)
    assert files_of(tmp_path) == reference


def test_order_and_times_of_the_source_do_not_matter(
    place: Path, tmp_path: Path, reference: dict[str, bytes]
) -> None:
    build(make_root(place / "backwards", backwards=True), tmp_path / "app.eif")
    assert files_of(tmp_path) == reference


def test_the_name_of_the_output_does_not_matter(
    root: Path, tmp_path: Path, reference: dict[str, bytes]
) -> None:
    assert build(root, tmp_path / "other").read_bytes() == reference["app.eif"]


def test_one_byte_of_the_source_matters(place: Path, tmp_path: Path, reference: dict[str, bytes]) -> None:
    other = make_root(place / "other")
    (other / "etc" / "z").write_bytes(b"4")
    assert build(other, tmp_path / "app.eif").read_bytes() != reference["app.eif"]


@pytest.fixture
def nobody() -> list[str]:
    """A prefix that makes a command another user's, who may read this checkout and write nothing of ours."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("becoming another user needs root and setpriv")
    prefix = [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    prefix += [f"--{kind}-caps=-all,+dac_read_search" for kind in ("inh", "ambient")]
    tried = subprocess.run([*prefix, *COMMAND, "--help"], env=ENVIRONMENT, capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"another user cannot run this interpreter: {tried.stderr.strip()[-200:]}")
    return prefix


def folder_of_nobody(place: Path, mode: int) -> Path:
    folder = Path(tempfile.mkdtemp(dir=place))
    os.chown(folder, NOBODY, NOBODY)
    folder.chmod(mode)
    return folder


def test_another_user_builds_the_same(
    root: Path, place: Path, nobody: list[str], reference: dict[str, bytes]
) -> None:
    folder = folder_of_nobody(place, 0o755)
    output = build(root, folder / "app.eif", prefix=nobody)
    assert output.stat().st_uid == NOBODY
    assert files_of(folder) == reference


def test_a_folder_that_may_not_be_written_is_named(root: Path, place: Path, nobody: list[str]) -> None:
    folder = folder_of_nobody(place, 0o555)
    finished = attempt(root, folder / "app.eif", prefix=nobody)
    assert finished.returncode == 3
    assert "file.unwritable" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert files_of(folder) == {}


def test_source_date_epoch_changes_unmeasured_bytes_only(
    root: Path, tmp_path: Path, reference: dict[str, bytes]
) -> None:
    dated = build(root, tmp_path / "app.eif", environment={"SOURCE_DATE_EPOCH": "1"})
    assert dated.read_bytes() != reference["app.eif"]
    said, before = (json.loads(files["app.measurements.json"]) for files in (files_of(tmp_path), reference))
    assert said["measured"]["pcrs"] == before["measured"]["pcrs"]
    different = [
        new["type"]
        for new, old in zip(said["measured"]["sections"], before["measured"]["sections"], strict=True)
        if new != old
    ]
    assert different == ["metadata"]
    assert said["claimed"]["unmeasured"]["buildTime"] == "1970-01-01T00:00:01+00:00"


def test_registers_are_those_of_a_reader_that_is_not_ours(place: Path, reference: dict[str, bytes]) -> None:
    said = json.loads(reference["app.measurements.json"])["measured"]["pcrs"]
    assert list(said.values()) == pcrs(str(place / "reference" / "app.eif"))


@pytest.mark.interop
@pytest.mark.acceptance
def test_registers_are_those_of_aws_on_the_same_sections(
    eif_build: Path, tmp_path: Path, reference: dict[str, bytes]
) -> None:
    said = json.loads(reference["app.measurements.json"])["measured"]
    at, parts = 548, []
    for section in said["sections"]:
        parts.append(reference["app.eif"][at + 12 : at + 12 + section["size"]])
        assert hashlib.sha384(parts[-1]).hexdigest() == section["sha384"]
        at += 12 + section["size"]
    names = ["kernel", "cmdline", "metadata", "first", "second"]
    for name, part in zip(names, parts, strict=True):
        (tmp_path / name).write_bytes(part)
    command = [str(eif_build), "--kernel", "kernel", "--cmdline", parts[1].decode(), "--ramdisk", "first"]
    command += ["--ramdisk", "second", "--output", "aws.eif"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    answer = json.loads(finished.stdout[finished.stdout.index("{") :])
    assert {name: answer[name] for name in said["pcrs"]} == said["pcrs"]


def kill_builds(root: Path, output: Path, times: int, seconds: float) -> None:
    """Kill that many runs of about ``seconds`` anywhere in their course; look at what is left each time."""
    old = output.read_bytes() if output.exists() else None
    chance = random.Random()
    for _ in range(times):
        moment = seconds * chance.uniform(0.1, 1.1)
        command = [*COMMAND, f"dir:{root}", "-o", str(output), "--cmd", "/bin/app"]
        run = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        run.kill()
        run.wait()
        check_state(output, old, f"killed after {moment:.3f} s")


def check_state(output: Path, old: bytes | None, when: str) -> None:
    """The old image or the whole new one; beside it its own measurements or none."""
    found = output.read_bytes() if output.exists() else None
    if found != old:
        assert found is not None, when
        with open_source(output) as source:
            assert not inspect_image(source, name=when).findings, when
    measurements = output.with_name("app.measurements.json")
    if measurements.exists():
        said = json.loads(measurements.read_bytes())["measured"]["eif"]
        assert found is not None and said["sha256"] == hashlib.sha256(found).hexdigest(), when


def test_the_look_at_what_is_left_sees_half_an_image_and_foreign_measurements(
    root: Path, tmp_path: Path
) -> None:
    output = build(root, tmp_path / "app.eif")
    check_state(output, None, "whole")
    build(root, tmp_path / "b.eif", environment={"SOURCE_DATE_EPOCH": "1"})
    (tmp_path / "b.measurements.json").replace(tmp_path / "app.measurements.json")
    with pytest.raises(AssertionError):
        check_state(output, None, "foreign")
    (tmp_path / "app.measurements.json").unlink()
    os.truncate(output, output.stat().st_size - 1)
    with pytest.raises((AssertionError, ParseError)):
        check_state(output, None, "half")


@pytest.mark.parametrize("times", [5, pytest.param(20, marks=pytest.mark.acceptance)])
@pytest.mark.parametrize("old", [False, True], ids=["none before", "one before"])
def test_a_killed_build_leaves_the_old_file_or_none(
    root: Path, place: Path, tmp_path: Path, times: int, old: bool
) -> None:
    large = make_root(tmp_path / "large")
    with (large / "bin" / "data").open("wb") as file:
        file.truncate(96 << 20)
    folder = tmp_path / "out"
    folder.mkdir()
    if old:
        build(root, folder / "app.eif")
    started = time.monotonic()
    whole = build(large, tmp_path / "whole.eif")
    kill_builds(large, folder / "app.eif", times, time.monotonic() - started)
    assert filecmp.cmp(build(large, folder / "app.eif"), whole, shallow=False)
    assert {path.name for path in folder.iterdir()} == KEPT


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system in memory; skipped where none may be mounted."""
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(
        [mount, "-t", "tmpfs", "-o", options, "none", folder], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("options", ["size=1m", "ro"])
def test_a_full_or_read_only_disk_is_named_and_nothing_left(root: Path, tmp_path: Path, options: str) -> None:
    with small_disk(tmp_path / "disk", options) as disk:
        finished = attempt(root, disk / "app.eif")
        assert finished.returncode == 3
        assert "file.unwritable" in finished.stderr
        assert "Traceback" not in finished.stderr
        assert files_of(disk) == {}
