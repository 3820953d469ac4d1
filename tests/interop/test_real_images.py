"""Real images, built: one file however layers are stored; PCRs and files as foreign readers say."""

from __future__ import annotations

import filecmp
import hashlib
import json
import secrets
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.images.archive import Member, read_root
from tests.images.debian import LINKED, OWNED, REMOVED, REPLACED, RealImages, real_images
from tests.images.layout import COMPRESSIONS, Entry, extend_layout, recompress, write_layout
from tests.images.service.listing import MACHINES
from tests.images.static import CONFIG, expected, static_layers
from tests.oracle_pcrs import pcrs

pytestmark = pytest.mark.interop

LAYOUT_TIME = 315_532_800
Sources = Callable[[Path], dict[str, str]]


@pytest.fixture
def nonce() -> str:
    """Nobody can know it before the test runs."""
    return secrets.token_hex(16)


def build(source: str, output: Path, *options: str) -> dict[str, Any]:
    """What `build --json` says about the image it wrote."""
    command = [sys.executable, "-m", "glassclave", "build", source, "-o", str(output), "--json", *options]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    said: dict[str, Any] = json.loads(finished.stdout)
    return said


@pytest.fixture
def sources(skopeo: Path, tmp_path: Path) -> Sources:
    """Every way in which `build` takes one image that is given as a layout with gzip layers."""

    def make(layout: Path) -> dict[str, str]:
        found = {"again, with a tag": f"oci:{layout}:t"}
        for compression in COMPRESSIONS[1:]:
            found[compression] = f"oci:{recompress(layout, tmp_path / compression, compression)}"
        for kind, name in (("docker-archive", "d.tar:name:t"), ("oci-archive", "o.tar:t")):
            target = f"{kind}:{tmp_path / name}"
            subprocess.run([skopeo, "copy", "--quiet", f"oci:{layout}:t", target], check=True)
            found[kind] = f"{kind}:{tmp_path / name.partition(':')[0]}"
        return found

    return make


def check_all_equal(layout: Path, folder: Path, sources: Sources) -> Path:
    """The image of the layout; every other form of the layout gives the same file."""
    image = folder / "image.eif"
    said = build(f"oci:{layout}", image)
    assert list(said["measurements"].values()) == pcrs(str(image))
    for form, source in sources(layout).items():
        other = folder / "other.eif"
        build(source, other)
        assert filecmp.cmp(other, image, shallow=False), form
        other.unlink()
    return image


def facts(member: Member) -> tuple[int, int, int, int, bytes | str]:
    """As `tests.images.static.expected` has them."""
    if stat.S_ISLNK(member.mode):
        content: bytes | str = member.data.decode()
    elif stat.S_ISCHR(member.mode):
        content = "{}:{}".format(*member.device)
    else:
        content = member.data
    links = 0 if stat.S_ISDIR(member.mode) else member.links
    return member.mode, member.uid, member.gid, links, content


def test_static_image_in_every_form(tmp_path: Path, nonce: str, sources: Sources) -> None:
    layout = write_layout(tmp_path / "layout", static_layers(nonce), CONFIG)
    image = check_all_equal(layout, tmp_path, sources)
    root = read_root(image)
    assert {name: facts(member) for name, member in root.items()} == expected(nonce)
    assert {member.mtime for member in root.values()} == {LAYOUT_TIME}
    assert root["srv/kept"].inode == root["srv/twin"].inode != root["nonce"].inode


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_static_image_without_any_peer(tmp_path: Path, nonce: str, compression: str) -> None:
    """The layout's writer of these tests and `build` agree, on a machine with nothing but Python."""
    layout = write_layout(tmp_path / "layout", static_layers(nonce), CONFIG, compression=compression)
    build(f"oci:{layout}", tmp_path / "image.eif")
    root = read_root(tmp_path / "image.eif")
    assert {name: facts(member) for name, member in root.items()} == expected(nonce)


def test_another_nonce_is_another_application(tmp_path: Path, nonce: str) -> None:
    said = []
    for number, text in enumerate((nonce, secrets.token_hex(16))):
        layout = write_layout(tmp_path / str(number), static_layers(text), CONFIG)
        said.append(build(f"oci:{layout}", tmp_path / f"{number}.eif")["measurements"])
    one, other = said
    assert one["PCR1"] == other["PCR1"]
    assert one["PCR0"] != other["PCR0"] and one["PCR2"] != other["PCR2"]


def test_a_layer_without_its_whiteout_shows_the_file_below(tmp_path: Path, nonce: str) -> None:
    layers = static_layers(nonce)
    layers[2] = {name: entry for name, entry in layers[2].items() if name != "srv/.wh.gone"}
    layout = write_layout(tmp_path / "layout", layers, CONFIG)
    build(f"oci:{layout}", tmp_path / "image.eif")
    assert set(read_root(tmp_path / "image.eif")) - set(expected(nonce)) == {"srv/gone", "srv/gone/file"}


@pytest.fixture(scope="module")
def real() -> RealImages:
    return real_images()


def check_files(image: Path, listing: dict[str, Any], nonce: str) -> None:
    """Every file of the image is as the host saw it in the root that umoci made the layers of."""
    root = read_root(image)
    assert root.pop("nonce").data == nonce.encode()
    seen = {}
    for name, member in root.items():
        if name.partition("/")[0] in MACHINES:
            continue
        size: int = len(member.data)
        content = ""
        if stat.S_ISLNK(member.mode):
            content = member.data.decode()
        elif stat.S_ISREG(member.mode) and not name.endswith(".pyc"):
            content = hashlib.md5(member.data, usedforsecurity=False).hexdigest()
        links = member.links
        if stat.S_ISDIR(member.mode):
            links = size = 0
        seen[name] = [member.mode, member.uid, member.gid, links, size, content]
    assert seen == listing
    assert {member.mtime for member in root.values()} == {LAYOUT_TIME}
    compiled = [member.data for name, member in root.items() if name.endswith(".pyc")]
    assert len(compiled) > 100
    assert {data[8:12] for data in compiled} == {LAYOUT_TIME.to_bytes(4, "little")}


@pytest.mark.acceptance  # making the root takes three quarters of a minute
def test_debian_root(tmp_path: Path, nonce: str, real: RealImages) -> None:
    layer = {"nonce": Entry(nonce.encode())}
    layout = extend_layout(real.layout, "debian", tmp_path / "layout", layer)
    image = tmp_path / "image.eif"
    said = build(f"oci:{layout}", image)
    assert list(said["measurements"].values()) == pcrs(str(image))
    listing = real.listing("debian")
    check_files(image, listing, nonce)
    assert [name for name in ("usr/bin/su", "usr/bin/passwd") if not listing[name][0] & stat.S_ISUID] == []


@pytest.mark.acceptance
def test_web_service_in_every_form(tmp_path: Path, nonce: str, real: RealImages, sources: Sources) -> None:
    layer = {"nonce": Entry(nonce.encode())}
    layout = extend_layout(real.layout, "service", tmp_path / "layout", layer)
    image = check_all_equal(layout, tmp_path, sources)
    listing = real.listing("service")
    check_files(image, listing, nonce)
    # What the listing must hold for the comparison to say anything.
    assert [name for name in REMOVED if name in listing or name not in real.listing("debian")] == []
    assert [name for name in listing if name.startswith(REPLACED + "/")] == [f"{REPLACED}/new"]
    assert {listing[name][3] for name in LINKED} == {3}
    for name, (uid, gid, mode) in OWNED.items():
        assert [stat.S_IMODE(listing[name][0]), *listing[name][1:3]] == [mode, uid, gid]
