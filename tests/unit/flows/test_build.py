"""One build, in process: the image, its measurements beside it, and what they say."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from glassclave.bootstrap import Bootstrap, load_shipped
from glassclave.errors import ParseError, RefusedError, UnavailableError, UsageError
from glassclave.flows.build import (
    LEAST_MEMORY_BYTES,
    BuildRequest,
    BuildResult,
    build_image,
)
from glassclave.flows.files import measurements_file
from glassclave.image.config import ImageConfig, ProcessOptions
from glassclave.image.tree import FileTree, Kind, Node
from glassclave.progress import Silent
from glassclave.provenance.claimed import SourceClaim
from glassclave.provenance.predicate import parse_predicate
from glassclave.ramdisk.application import LayoutOptions
from glassclave.ramdisk.bootstrap import BytesContent
from tests.oracle_pcrs import pcrs

CONFIG = ImageConfig(architecture="amd64")
BOOTSTRAP = Bootstrap(
    name="tiny",
    architecture="x86_64",
    kernel=b"kernel",
    cmdline=b"quiet",
    init=b"init",
    kernel_version="6.0",
    os_name="Linux",
)
STALE = bytes.fromhex("a70d0d0a00000000785634120500000063")


def file(data: bytes, mtime: int = 5) -> Node:
    return Node(kind=Kind.FILE, mode=0o644, mtime=mtime, size=len(data), content=BytesContent(data))


TREE = FileTree({b"app": file(b"app"), b"app.pyc": file(STALE)})


def build(
    output: Path,
    tree: FileTree = TREE,
    bootstrap: Bootstrap = BOOTSTRAP,
    **changes: object,
) -> BuildResult:
    request = BuildRequest(output=output, name="app", process=ProcessOptions(cmd=("/app",)))
    return build_image(tree, CONFIG, bootstrap, replace(request, **changes), Silent())  # type: ignore[arg-type]  # any fields


def test_the_measurements_are_those_of_the_file(tmp_path: Path) -> None:
    output = tmp_path / "app.eif"
    result = build(output)
    data = output.read_bytes()
    predicate = parse_predicate((tmp_path / "app.measurements.json").read_bytes(), source="m")
    assert predicate == result.predicate
    assert result.measurements_file == tmp_path / "app.measurements.json"
    measured = predicate.measured
    assert [value.hex() for value in measured.measurements.by_index().values()] == pcrs(str(output))
    assert measured.eif.size == len(data) == 548 + sum(12 + section.size for section in measured.sections)
    assert measured.eif.sha256 == hashlib.sha256(data).digest()
    assert measured.eif.sha384 == hashlib.sha384(data).digest()
    assert [section.type for section in measured.sections] == [
        "kernel",
        "cmdline",
        "metadata",
        "ramdisk",
        "ramdisk",
    ]
    assert measured.sections[0].sha384 == hashlib.sha384(b"kernel").digest()
    assert (measured.architecture, measured.eif_version, measured.flags) == ("x86_64", 4, 0)


def test_the_claims_are_those_of_the_request(tmp_path: Path) -> None:
    claimed = build(tmp_path / "app.eif").predicate.claimed
    assert (claimed.bootstrap.name, claimed.bootstrap.pcr1_owner) == ("tiny", None)
    assert (claimed.recipe.layout, claimed.recipe.mtime) == ("glassclave-1", 315532800)
    assert claimed.recipe.normalizers == ("pyc",)
    assert (claimed.source, claimed.build_log) == (None, None)
    assert claimed.unmeasured.build_time == "1980-01-01T00:00:00+00:00"
    source = SourceClaim(repository="https://github.com/acme/hello", commit="0" * 40, ref="refs/heads/main")
    kept = build(
        tmp_path / "b.eif",
        layout=LayoutOptions(mtime=None, drop_file_capabilities=True),
        source=source,
        name="n",
        version="v",
        build_time=1,
    ).predicate.claimed
    assert (kept.recipe.mtime, kept.recipe.normalizers, kept.recipe.drop_file_capabilities) == (
        None,
        (),
        True,
    )
    assert kept.source == source
    assert (kept.unmeasured.image_name, kept.unmeasured.image_version) == ("n", "v")
    assert kept.unmeasured.build_time == "1970-01-01T00:00:01+00:00"


def test_what_is_made_constant_is_counted(tmp_path: Path) -> None:
    report = build(tmp_path / "app.eif").layout
    assert (report.entries, report.times_changed, report.normalized) == (2, 2, {"pyc": 1})


def test_our_own_kernel_and_init_are_known(tmp_path: Path) -> None:
    result = build(tmp_path / "app.eif", bootstrap=load_shipped("x86_64"))
    assert result.predicate.claimed.bootstrap.pcr1_owner == "Glassclave"


@pytest.mark.parametrize(
    ("image", "beside"),
    [
        ("app.eif", "app.measurements.json"),
        ("app", "app.measurements.json"),
        ("a.eif.eif", "a.eif.measurements.json"),
    ],
)
def test_the_measurements_stand_beside_the_image(image: str, beside: str) -> None:
    assert measurements_file(Path("d") / image) == Path("d") / beside


def test_memory_is_four_times_the_image_and_never_too_little(tmp_path: Path) -> None:
    assert build(tmp_path / "a.eif").memory_bytes == LEAST_MEMORY_BYTES
    large = build(tmp_path / "b.eif", FileTree({b"large": file(bytes(17 << 20))}))
    assert large.memory_bytes == 4 * (tmp_path / "b.eif").stat().st_size > LEAST_MEMORY_BYTES


class Broken:
    """A content that ends too early, as a file does that somebody cut."""

    def chunks(self) -> object:
        yield b"x"


BROKEN = FileTree({b"a": Node(kind=Kind.FILE, mode=0o644, size=9, content=Broken())})  # type: ignore[arg-type]  # on purpose


def test_a_build_that_fails_leaves_the_old_files_as_they_were(tmp_path: Path) -> None:
    build(tmp_path / "app.eif")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ParseError) as caught:
        build(tmp_path / "app.eif", BROKEN)
    assert caught.value.code == "ramdisk.content.size"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_no_measurements_of_another_image_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rename of the image is the last moment at which a crash could mix the two."""
    build(tmp_path / "app.eif")
    seen: list[tuple[str, list[str]]] = []
    rename = os.replace

    def watched(source: Path, target: Path) -> None:
        seen.append((Path(target).name, sorted(path.name for path in tmp_path.iterdir())))
        rename(source, target)

    monkeypatch.setattr(os, "replace", watched)
    build(tmp_path / "app.eif", name="other")
    assert seen == [
        ("app.eif", [".app.eif.partial", "app.eif"]),
        ("app.measurements.json", [".app.measurements.json.partial", "app.eif"]),
    ]


def test_file_capabilities_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    tree = FileTree({b"ping": Node(kind=Kind.FILE, mode=0o755, attributes=("security.capability",))})
    with pytest.raises(RefusedError):
        build(tmp_path / "app.eif", tree)
    assert list(tmp_path.iterdir()) == []


def test_a_bootstrap_for_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        build(tmp_path / "app.eif", bootstrap=replace(BOOTSTRAP, architecture="aarch64"))
    assert caught.value.code == "build.architecture.mismatch"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        build(tmp_path / "no" / "app.eif")
    assert caught.value.code == "file.unwritable"


def test_two_builds_are_equal_whatever_the_output_is_called(tmp_path: Path) -> None:
    build(tmp_path / "a.eif")
    build(tmp_path / "b.eif", FileTree(dict(reversed(list(TREE.nodes.items())))))
    assert (tmp_path / "a.eif").read_bytes() == (tmp_path / "b.eif").read_bytes()
    first, second = (json.loads((tmp_path / f"{name}.measurements.json").read_bytes()) for name in "ab")
    assert first == second
