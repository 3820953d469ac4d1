"""What makes two EIFs of one program differ (EIF reference §7.1): a row a source, and what it does here."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from glassclave.bootstrap import Bootstrap
from glassclave.eif.format import SectionType
from glassclave.eif.reader import read_image
from glassclave.eif.signature import appraise_image, image_signer
from glassclave.eif.signing import sign_image
from glassclave.errors import UsageError
from glassclave.flows.build import BuildRequest, build_image
from glassclave.image.config import ImageConfig, ProcessOptions
from glassclave.image.tree import FileTree, Kind, Node
from glassclave.progress import Silent
from glassclave.ramdisk.bootstrap import BytesContent
from glassclave.ramdisk.listing import list_archive
from glassclave.streams import BytesSource, open_source
from tests.unit.eif.signing import certificate_of, key_on
from tests.unit.flows.test_build import BOOTSTRAP, CONFIG


def file(data: bytes, *, mtime: int = 5, uid: int = 0) -> Node:
    return Node(kind=Kind.FILE, mode=0o644, mtime=mtime, uid=uid, size=len(data), content=BytesContent(data))


@dataclass(frozen=True)
class Source:
    """What a build starts from."""

    files: dict[bytes, Node]
    config: ImageConfig = CONFIG
    bootstrap: Bootstrap = BOOTSTRAP
    build_time: int = 315532800


def plain() -> Source:
    return Source({b"app": file(b"app"), b"data": file(b"data")})


def build(folder: Path, source: Source) -> bytes:
    output = folder / "app.eif"
    request = BuildRequest(
        output=output, name="app", process=ProcessOptions(cmd=("/app",)), build_time=source.build_time
    )
    build_image(FileTree(source.files), source.config, source.bootstrap, request, Silent())
    return output.read_bytes()


def registers(data: bytes) -> dict[int, bytes]:
    return appraise_image(read_image(BytesSource(data), name="x")).measurements.by_index()


def with_kernel(kernel: bytes) -> Source:
    return replace(plain(), bootstrap=replace(BOOTSTRAP, kernel=kernel))


ROWS: dict[str, tuple[Callable[[], Source], bool, set[int]]] = {
    # Of our builds: does the file differ, and in which registers?
    "build-time": (lambda: replace(plain(), build_time=1_700_000_000), True, set()),
    "docker-info": (lambda: replace(plain(), config=replace(CONFIG, document={"Id": "1"})), True, set()),
    "file-times": (lambda: Source({b"app": file(b"app", mtime=9), b"data": file(b"data")}), False, set()),
    "file-order": (lambda: Source(dict(reversed(plain().files.items()))), False, set()),
    "file-owner": (lambda: Source({b"app": file(b"app", uid=7), b"data": file(b"data")}), True, {0, 2}),
    "file-content": (lambda: Source({b"app": file(b"apq"), b"data": file(b"data")}), True, {0, 2}),
    "blob-set": (lambda: replace(plain(), bootstrap=replace(BOOTSTRAP, init=b"other")), True, {0, 1}),
    "kernel-stamp": (lambda: with_kernel(b"kernel of another day"), True, {0, 1}),
    "kernel-version-in-metadata": (
        lambda: replace(plain(), bootstrap=replace(BOOTSTRAP, kernel_version="6.1")),
        True,
        set(),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_source_of_difference(tmp_path: Path, name: str) -> None:
    make, differs, changed = ROWS[name]
    first, second = build(tmp_path, plain()), build(tmp_path, make())
    assert (first != second) == differs
    before, after = registers(first), registers(second)
    assert {index for index in before if before[index] != after[index]} == changed


def test_source_of_difference_random_number_of_the_signature(tmp_path: Path) -> None:
    key = key_on()
    pem = certificate_of(key)
    images = []
    for _ in range(2):
        out = io.BytesIO()
        image = read_image(BytesSource(build(tmp_path, plain())), name="x")
        sign_image(image, out, image_signer(pem, key))
        images.append(out.getvalue())
    assert images[0] == images[1]
    assert registers(images[0]).keys() == {0, 1, 2, 8}


def test_source_of_difference_what_docker_export_adds(tmp_path: Path) -> None:
    """No hosts, resolv.conf, mtab, .dockerenv or dev entries that a Docker version would add or not."""
    build(tmp_path, plain())
    with open_source(tmp_path / "app.eif") as source:
        section = read_image(source, name="x").of_type(SectionType.RAMDISK)[1]
        entries = list(list_archive(source, section.data_offset, section.size, name="x"))
    assert [one.name for one in entries] == [b"process", b"rootfs", b"rootfs/app", b"rootfs/data"]


def test_source_of_difference_compression(tmp_path: Path) -> None:
    """Ramdisks are plain archives: no compressor's version is in any register."""
    image = read_image(BytesSource(build(tmp_path, plain())), name="x")
    ramdisks = image.of_type(SectionType.RAMDISK)
    assert len(ramdisks) == 2
    assert {image.data(one, limit=1 << 20)[:6] for one in ramdisks} == {b"070701"}


def test_source_of_difference_machine_that_builds(tmp_path: Path) -> None:
    """nitro-cli takes the blobs of the machine it runs on and the flag of the image; here they must agree."""
    with pytest.raises(UsageError) as caught:
        build(tmp_path, replace(plain(), config=replace(CONFIG, architecture="arm64")))
    assert caught.value.code == "build.architecture.mismatch"
    arm = replace(
        plain(),
        config=replace(CONFIG, architecture="arm64"),
        bootstrap=replace(BOOTSTRAP, architecture="aarch64"),
    )
    assert registers(build(tmp_path, arm)) == registers(build(tmp_path, plain()))
