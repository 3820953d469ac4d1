"""Layers that decode to far more than they are: refused in time, and in little memory."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from tests.unit.image.archives import member, tar
from tests.unit.image.layouts import OCI, Layout, config_document, digest

MEMORY_BYTES = 128 << 20
"""Of the whole process, the interpreter included: the kernel gives it no more (RLIMIT_DATA)."""
SCRIPT = """
import resource, sys
from pathlib import Path
from glassclave.errors import GlassclaveError
from glassclave.flows.source import SourceOptions, open_image
from glassclave.progress import Silent
folder, spool, limit, memory = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
options = SourceOptions(spool=Path(spool), unpacked_limit=int(limit))
try:
    with open_image("oci:" + folder, options, Silent()) as image:
        print(sum(len(piece) for node in image.tree.nodes.values() for piece in node.content.chunks()))
except GlassclaveError as error:
    print(error.code)
"""
ZEROS = bytes(64 << 20)


def outcome(folder: Path, spool: Path, *, limit: int) -> str:
    command = [sys.executable, "-c", SCRIPT, str(folder), str(spool), str(limit), str(MEMORY_BYTES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(spool.iterdir()) == []
    return done.stdout.strip()


def bomb(folder: Path, stored: bytes, codec: str, diff_id: str = digest(b"")) -> Path:
    """A layout of one layer, whose decoded bytes need not be what the configuration says."""
    layout = Layout(folder)
    config = config_document([], rootfs={"type": "layers", "diff_ids": [diff_id]})
    manifest = {
        "schemaVersion": 2,
        "config": layout.document(config, OCI + "config.v1+json"),
        "layers": [layout.blob(stored, OCI + "layer.v1.tar+" + codec)],
    }
    return layout.index(layout.document(manifest, OCI + "manifest.v1+json"))


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_two_gigabytes_of_zeros_stop_at_the_limit(tmp_path: Path, spool: Path, codec: str) -> None:
    part = gzip.compress(ZEROS) if codec == "gzip" else zstandard.compress(ZEROS)
    layout = bomb(tmp_path / "out", part * 32, codec)
    assert outcome(layout, spool, limit=200 << 20) == "image.layer.limit"


def test_zeros_below_the_limit_are_not_what_the_configuration_says(tmp_path: Path, spool: Path) -> None:
    layout = bomb(tmp_path / "out", gzip.compress(ZEROS) * 4, "gzip")
    assert outcome(layout, spool, limit=1 << 30) == "image.layer.diff-id"


def test_a_ratio_that_no_layer_has_is_refused_below_the_limit(tmp_path: Path, spool: Path) -> None:
    layout = bomb(tmp_path / "out", zstandard.compress(ZEROS) * 8, "zstd")
    assert outcome(layout, spool, limit=1 << 40) == "image.layer.ratio"


def test_a_large_layer_is_read_in_the_same_memory(tmp_path: Path, spool: Path) -> None:
    data = tar(*(member(f"f{n}", "f", ZEROS) for n in range(4)))
    layout = bomb(tmp_path / "out", gzip.compress(data, 1), "gzip", digest(data))
    assert outcome(layout, spool, limit=1 << 30) == str(4 * len(ZEROS))
