"""The tool behind `make bootstrap`, without the minutes of a kernel build."""

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """``bootstrap/build.py`` as a module."""
    spec = importlib.util.spec_from_file_location("bootstrap_build", ROOT / "bootstrap/build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def lock(build: ModuleType) -> dict[str, Any]:
    """The shipped lock."""
    document: dict[str, Any] = json.loads(build.LOCK.read_text(encoding="utf-8"))
    return document


def test_the_recipe_in_the_tree_is_the_one_that_made_the_shipped_files(
    build: ModuleType, lock: dict[str, Any]
) -> None:
    assert build.recipe() == lock["recipe"]
    assert lock["flags"]["init"] == list(build.INIT_FLAGS)
    assert lock["flags"]["kernel"]["make"] == list(build.KERNEL_MAKE)
    assert lock["flags"]["kernel"]["environment"] == build.KERNEL_SETTINGS
    assert {path.name for path in (ROOT / "bootstrap/init").iterdir()} == set(build.INIT_SOURCES)


def test_a_changed_recipe_is_named(build: ModuleType, lock: dict[str, Any]) -> None:
    build.check_recipe(lock)
    changed = lock | {"recipe": lock["recipe"] | {"init/main.c": "0" * 64}}
    with pytest.raises(build.CannotError, match=r"bootstrap/init/main\.c changed"):
        build.check_recipe(changed)


def test_another_source_is_refused_by_its_hash(
    build: ModuleType, lock: dict[str, Any], tmp_path: Path
) -> None:
    source = tmp_path / "linux-source-6.12.tar.xz"
    source.write_bytes(b"something else")
    with pytest.raises(build.CannotError) as caught:
        build.open_source(source, tmp_path, lock)
    for wanted in (build.sha256(source), lock["source"]["sha256"], lock["source"]["tarball_sha256"]):
        assert wanted in str(caught.value)


def test_the_unpacked_tree_is_found_beside_the_package_that_was_fetched(
    build: ModuleType, lock: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / lock["source"]["file"]).write_bytes(b"lies where it was downloaded to")
    tree = tmp_path / "linux-source-6.12"
    tree.mkdir()
    source = tmp_path / "given" / lock["source"]["tarball"]
    source.parent.mkdir()
    subprocess.run(["tar", "-C", tmp_path, "-cJf", source, tree.name], check=True)
    wanted = lock | {"source": lock["source"] | {"tarball_sha256": build.sha256(source)}}
    found, _ = build.open_source(source, tmp_path, wanted)
    assert found.is_dir()
    assert found.name == tree.name


def test_a_version_that_is_gone_is_named_with_its_hash(
    build: ModuleType, lock: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "apt-get"  # an archive that knows no such version
    archive.write_text("#!/bin/sh\ncase $* in *download*) exit 100;; esac\n", encoding="utf-8")
    archive.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(build.CannotError) as caught:
        build.fetch_source(tmp_path, lock)
    for wanted in (lock["source"]["version"], lock["source"]["sha256"], "--source FILE"):
        assert wanted in str(caught.value)


def test_a_version_that_is_gone_ends_with_status_3_and_its_hash(
    build: ModuleType,
    lock: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    archive = tmp_path / "apt-get"
    archive.write_text("#!/bin/sh\ncase $* in *download*) exit 100;; esac\n", encoding="utf-8")
    archive.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert build.main(["--keep-source", str(tmp_path / "assets")]) == 3
    said = capsys.readouterr().err
    for wanted in (lock["source"]["version"], lock["source"]["sha256"], lock["source"]["file"]):
        assert wanted in said
    assert list((tmp_path / "assets").iterdir()) == []


@pytest.mark.parametrize("key", ["sha256", "tarball_sha256"])
def test_the_source_is_kept_under_its_own_name_and_no_other_is(
    build: ModuleType, lock: dict[str, Any], tmp_path: Path, key: str
) -> None:
    source = tmp_path / "given"
    source.write_bytes(b"the source")
    with pytest.raises(build.CannotError, match=r"the lock wants"):
        build.keep_source(source, tmp_path / "assets", lock)
    assert list((tmp_path / "assets").iterdir()) == []
    wanted = lock | {"source": lock["source"] | {key: build.sha256(source)}}
    kept = build.keep_source(source, tmp_path / "assets", wanted)
    assert kept.name == lock["source"]["file" if key == "sha256" else "tarball"]
    assert kept.read_bytes() == b"the source"
    assert list((tmp_path / "assets").iterdir()) == [kept]


def test_results_are_compared_byte_for_byte(
    build: ModuleType, lock: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in lock["results"]:
        (tmp_path / name).write_bytes((build.DATA / name).read_bytes())
    assert build.compare(tmp_path, lock) == 0
    assert "DIFFERENT" not in capsys.readouterr().out
    (tmp_path / "init").write_bytes((build.DATA / "init").read_bytes() + b"\0")
    assert build.compare(tmp_path, lock) == 1
    assert "init: 4" in capsys.readouterr().out


@pytest.mark.parametrize(("part", "name"), [("kernel", "gcc"), ("kernel", "ld"), ("init", "ziglang")])
def test_another_compiler_is_named(build: ModuleType, lock: dict[str, Any], part: str, name: str) -> None:
    build.check_compilers(lock, lock["compilers"])
    other = json.loads(json.dumps(lock["compilers"]))
    other[part][name] = "99.1-2"
    with pytest.raises(build.CannotError, match=r"this machine has .*99\.1-2"):
        build.check_compilers(lock, other)
