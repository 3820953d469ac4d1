"""Disks that are full, read-only, or do not hold what they should: a typed error, and no half of a file."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.faults.promises import broken_promises
from tests.faults.world import ROOT, Done, World
from tests.images.layout import Entry, write_layout

pytestmark = pytest.mark.interop

LAYOUT = ROOT / "examples" / "hello" / "layout"
_SCRIPT = """
mount -t tmpfs -o "$1" none "$2" || exit 99
listing=$3; place=$2; shift 3
"$@"; status=$?
find "$place" -mindepth 1 -printf '%P %s\\n' > "$listing"
exit $status
"""


@cache
def mounts_here() -> bool:
    """Whether this user can mount in a namespace of its own."""
    command = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"]
    return shutil.which("unshare") is not None and not subprocess.run(command, capture_output=True).returncode


@dataclass(frozen=True)
class Disk:
    """A small file system: mounted for one command line at ``place``."""

    place: Path
    options: str
    listing: Path

    def run(self, words: list[str], environment: dict[str, str] | None = None) -> tuple[Done, list[str]]:
        """What the command line says, and the names and sizes of what lies there afterwards."""
        if not mounts_here():
            pytest.skip("a file system of its own is needed (root, unshare)")
        inner = [sys.executable, "-m", "glassclave", *words]
        outer = ["unshare", "--mount", "sh", "-c", _SCRIPT, "sh", self.options, str(self.place)]
        started = time.monotonic()
        done = subprocess.run(
            [*outer, str(self.listing), *inner],
            env=environment or dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        told = Done(done.returncode, done.stdout, done.stderr, time.monotonic() - started)
        return told, self.listing.read_text().splitlines()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    place = tmp_path / "disk"
    place.mkdir()
    return Disk(place, "size=1m", tmp_path / "listing")


def typed(done: Done, code: str) -> None:
    assert "Traceback" not in done.stdout + done.stderr
    assert (done.status, done.code) == (3, code), done.stdout + done.stderr


def test_no_room_for_an_image(world: World, disk: Disk) -> None:
    source = f"dir:{world.folder / 'root'}"
    words = ["build", source, "-o", str(disk.place / "a.eif"), "--cmd", "/program", "--json"]
    done, left = disk.run(words)
    typed(done, "file.unwritable")
    assert left == []


def test_no_room_for_decoded_layers(disk: Disk, tmp_path: Path) -> None:
    small = Disk(disk.place, "size=64k", disk.listing)
    output = tmp_path / "out" / "a.eif"
    output.parent.mkdir()
    content = random.Random(1).randbytes(1 << 20)
    layout = write_layout(tmp_path / "layout", [{"data": Entry(content, mode=0o755)}], {"Cmd": ["/data"]})
    words = ["build", f"oci:{layout}", "-o", str(output), "--spool-dir", str(disk.place), "--json"]
    done, left = small.run(words)
    typed(done, "image.spool.full")
    assert "--spool-dir" in done.stdout
    assert (left, list(output.parent.iterdir())) == ([], [])


@pytest.mark.parametrize("what", ["save", "html", "temporary"])
def test_no_room_for_what_verify_writes(world: World, disk: Disk, what: str) -> None:
    small = Disk(disk.place, "size=4k" if what == "html" else "size=1m", disk.listing)
    with world.round() as one:
        assert one.publish().status == 0
        words = ["verify", one.reference, "--json", "--repo", "acme/enclave"]
        words += ["--trust-config", str(one.folder / "trust.json")]
        words += {
            "save": ["--save", str(disk.place / "kept")],
            "html": ["--html", str(disk.place / "page.html")],
            "temporary": [],
        }[what]
        temporary = {"TMPDIR": str(disk.place)} if what == "temporary" else {}
        done, left = small.run(words, one.environment(**temporary))
        assert broken_promises(one, done, seconds=60) == []
    typed(done, "file.unwritable")
    assert left in ([], ["kept 40"])


def test_no_room_to_read_back_moves_no_tag(world: World, disk: Disk) -> None:
    with world.round() as one:
        words = ["publish", str(world.image), one.reference, "--json"]
        words += ["--trust-config", str(one.folder / "trust.json")]
        done, left = disk.run(words, one.environment(TMPDIR=str(disk.place)))
        assert broken_promises(one, done, seconds=60) == []
        assert one.tag() == world.old
        assert one.publish().status == 0
    typed(done, "file.unwritable")
    assert left == []


def test_no_room_for_a_log(disk: Disk, tmp_path: Path) -> None:
    small = Disk(disk.place, "size=8k", disk.listing)
    text = tmp_path / "step.log"
    words = random.Random(7)
    text.write_text("".join(f"step {words.getrandbits(256):x}\n" for _ in range(2000)))
    variables = {
        "GITHUB_REPOSITORY": "acme/enclave",
        "GITHUB_RUN_ID": "777",
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_SHA": "5" * 40,
        "GITHUB_JOB": "build",
    }
    done, left = small.run(
        ["log", "collect", "-o", str(disk.place / "kept"), "--file", f"Build={text}", "--json"],
        {**os.environ, **variables},
    )
    typed(done, "file.unwritable")
    assert left == ["kept 40"]


@pytest.mark.parametrize("verb", ["build", "save"])
def test_a_disk_that_cannot_be_written(world: World, disk: Disk, verb: str) -> None:
    read_only = Disk(disk.place, "ro,size=64m", disk.listing)
    source = f"dir:{world.folder / 'root'}"
    if verb == "build":
        words = ["build", source, "-o", str(disk.place / "a.eif"), "--cmd", "/program", "--json"]
        done, left = read_only.run(words)
    else:
        with world.round() as one:
            assert one.publish().status == 0
            words = ["verify", one.reference, "--json", "--repo", "acme/enclave"]
            words += ["--trust-config", str(one.folder / "trust.json"), "--save", str(disk.place / "kept")]
            done, left = read_only.run(words, one.environment())
    typed(done, "file.unwritable")
    assert left == []


def largest_blob(layout: Path) -> Path:
    return max((layout / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("fault", ["missing", "folder", "forbidden", "short", "other"])
def test_a_layer_that_cannot_be_had(tmp_path: Path, fault: str) -> None:
    layout = tmp_path / "layout"
    shutil.copytree(LAYOUT, layout)
    blob, prefix = largest_blob(layout), list[str]()
    data = blob.read_bytes()
    blob.unlink()
    if fault == "folder":
        blob.mkdir()
    elif fault == "forbidden":
        blob.write_bytes(data)
        blob.chmod(0)
        if os.geteuid() == 0:
            powers = "-dac_override,-dac_read_search"
            prefix = ["setpriv", "--bounding-set", powers, "--inh-caps", powers]
    elif fault != "missing":
        blob.write_bytes(data[:-9] if fault == "short" else data[:-1] + bytes([data[-1] ^ 1]))
    output = tmp_path / "out" / "a.eif"
    output.parent.mkdir()
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "glassclave", "build", f"oci:{layout}", "-o", output, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    error = json.loads(done.stdout)["error"]
    assert done.returncode in (1, 3)
    assert error["code"].split(".")[0] in ("file", "image", "oci", "layer", "stream"), error
    assert list(output.parent.iterdir()) == []
