"""Layers decoded: both digests, every codec, damage, bombs, no room."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from glassclave.errors import GlassclaveError, LimitError, UnavailableError
from glassclave.image import decode, spool
from glassclave.image.decode import LayerBlob, Meter, decode_layer, decode_layers
from tests.unit.image.layouts import digest

DATA = os.urandom(3000) + bytes(3 << 20) + b"end"
SKIPPABLE = b"\x5a\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip"


def blob(stored: bytes, unpacked: bytes = DATA, *, name: str = "layer 1 of 1") -> LayerBlob:
    return LayerBlob(
        name=name,
        stored=lambda: memoryview(stored),
        size=len(stored),
        diff_id=digest(unpacked),
        digest=digest(stored),
    )


def meter(limit: int = 1 << 30) -> Meter:
    return Meter(limit, lambda _: None)


def refused(layer: LayerBlob, folder: Path, limit: int = 1 << 30) -> GlassclaveError:
    with pytest.raises(GlassclaveError) as caught:
        decode_layer(layer, folder, meter(limit))
    return caught.value


def zstd_in_two_frames(data: bytes) -> bytes:
    return SKIPPABLE + zstandard.compress(data[:1000]) + zstandard.compress(data[1000:]) + SKIPPABLE


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip of two members": lambda data: gzip.compress(data[:70_000]) + gzip.compress(data[70_000:]),
    "gzip with an empty member": lambda data: gzip.compress(data) + gzip.compress(b""),
    "gzip with padding": lambda data: gzip.compress(data) + bytes(600_000),
    "zstd": zstandard.compress,
    "zstd frames": zstd_in_two_frames,
}


@pytest.mark.parametrize("how", PACKERS)
@pytest.mark.parametrize("data", [DATA, b"", b"x" * (1 << 20)], ids=["mixed", "empty", "one piece"])
def test_every_codec_gives_the_layer_back(how: str, data: bytes, tmp_path: Path) -> None:
    assert bytes(decode_layer(blob(PACKERS[how](data), data), tmp_path, meter())) == data
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["plain", "gzip", "zstd"])
def test_both_digests_are_compared(how: str, tmp_path: Path) -> None:
    stored = PACKERS[how](DATA)
    assert refused(replace(blob(stored), digest=digest(b"other")), tmp_path).code == "image.layer.digest"
    error = refused(replace(blob(stored), diff_id=digest(b"other")), tmp_path)
    assert error.code == "image.layer.diff-id"
    assert digest(b"other") in error.message
    assert digest(DATA) in error.message
    assert refused(replace(blob(stored), digest=None, diff_id=digest(b"other")), tmp_path).code == error.code


def test_a_blob_of_another_size_than_stated_is_refused_before_it_is_read(tmp_path: Path) -> None:
    stored = gzip.compress(DATA)
    for size in (len(stored) - 1, len(stored) + 1):
        assert refused(replace(blob(stored), size=size), tmp_path).code == "image.layer.size"


def test_a_wrong_blob_is_named_before_the_damage_it_holds(tmp_path: Path) -> None:
    stored = bytearray(gzip.compress(DATA))
    stored[2000] ^= 1
    bad = bytes(stored)
    assert (
        refused(replace(blob(bad), digest=digest(gzip.compress(DATA, mtime=0))), tmp_path).code
        == "image.layer.digest"
    )
    assert refused(blob(bad), tmp_path).code in ("image.layer.encoding", "image.layer.diff-id")


@pytest.mark.parametrize("lost", [1, 8, 9, 2000])
def test_gzip_cut_short_is_refused(lost: int, tmp_path: Path) -> None:
    assert refused(blob(gzip.compress(DATA)[:-lost]), tmp_path).code == "image.layer.truncated"


def test_gzip_with_a_wrong_checksum_or_junk_behind_is_refused(tmp_path: Path) -> None:
    good = gzip.compress(DATA)
    for bad in (good[:-8] + bytes(4) + good[-4:], good[:-4] + b"\1\1\1\1", good + b"junk" * 5):
        assert refused(blob(bad), tmp_path).code == "image.layer.encoding"


def test_damaged_zstd_is_refused(tmp_path: Path) -> None:
    good = zstandard.compress(DATA)
    assert refused(blob(good + b"junk" * 5), tmp_path).code == "image.layer.encoding"
    assert refused(blob(good[:-3]), tmp_path).code == "image.layer.diff-id"


def test_a_zstd_window_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    # RFC 8878 §3.1.1.1.2: exponent 21 is a window of 2 GiB. One raw, last, empty block follows.
    frame = b"\x28\xb5\x2f\xfd" + b"\0" + bytes([21 << 3]) + b"\1\0\0"
    small = b"\x28\xb5\x2f\xfd" + b"\0" + bytes([10 << 3]) + b"\1\0\0"
    assert bytes(decode_layer(blob(small, b""), tmp_path, meter())) == b""
    assert refused(blob(frame, b""), tmp_path).code == "image.layer.encoding"


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_other_compressions_are_named(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    error = refused(blob(pack(DATA)), tmp_path)
    assert error.code == "image.layer.encoding"
    assert ("bzip2" if pack is bz2.compress else "xz") in error.message


@pytest.mark.parametrize("how", ["plain", "gzip", "zstd"])
def test_what_layers_decode_to_is_bounded_together(how: str, tmp_path: Path) -> None:
    stored = PACKERS[how](DATA)
    limit = 2 * len(DATA)
    assert len(list(decode_layers([blob(stored)] * 2, tmp_path, meter(limit)))) == 2
    with pytest.raises(LimitError) as caught:
        list(decode_layers([blob(stored)] * 2, tmp_path, meter(limit - 1)))
    assert caught.value.code == "image.layer.limit"


def test_a_layer_that_decodes_to_far_more_than_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = zstandard.compress(bytes(64 << 20))
    assert len(decode_layer(blob(stored, bytes(64 << 20)), tmp_path, meter())) == 64 << 20
    monkeypatch.setattr(decode, "FREE_BYTES", 1 << 20)
    assert refused(blob(stored, bytes(64 << 20)), tmp_path).code == "image.layer.ratio"
    packed = gzip.compress(bytes(64 << 20), 9)
    assert len(decode_layer(blob(packed, bytes(64 << 20)), tmp_path, meter())) == 64 << 20


def test_layers_come_in_their_order_and_the_lowest_wrong_one_is_named(tmp_path: Path) -> None:
    data = [bytes([n]) * (200_000 * (5 - n)) for n in range(5)]
    layers = [blob(gzip.compress(part), part, name=f"layer {n}") for n, part in enumerate(data)]
    assert [bytes(view) for view in decode_layers(layers, tmp_path, meter())] == data
    wrong = [*layers[:2], blob(b"", name="layer 2"), blob(b"", name="layer 3"), layers[4]]
    for _ in range(5):
        with pytest.raises(GlassclaveError) as caught:
            list(decode_layers(wrong, tmp_path, meter()))
        assert (caught.value.code, caught.value.source) == ("image.layer.diff-id", "layer 2")


def test_nobody_decodes_on_when_a_layer_was_refused(tmp_path: Path) -> None:
    big = zstandard.compress(bytes(200 << 20))
    before = threading.active_count()
    layers = [blob(b"wrong"), *[blob(big, bytes(200 << 20))] * 3]
    counted = meter()
    with pytest.raises(GlassclaveError):
        list(decode_layers(layers, tmp_path, counted))
    assert counted.stopped.is_set()
    assert threading.active_count() == before


def test_progress_counts_stored_bytes(tmp_path: Path) -> None:
    stored = gzip.compress(DATA)
    seen: list[int] = []
    list(decode_layers([blob(stored)] * 3, tmp_path, Meter(1 << 30, seen.append)))
    assert seen == sorted(seen)
    assert seen[-1] == 3 * len(stored)


def test_a_spool_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    error = refused(blob(gzip.compress(DATA)), tmp_path / "none")
    assert isinstance(error, UnavailableError)
    assert (error.code, error.source) == ("image.spool.unwritable", str(tmp_path / "none"))
    assert "--spool-dir" in (error.hint or "")


def test_no_room_in_the_spool_folder_is_said(tmp_path: Path) -> None:
    # The kernel lets this process write files of one megabyte at most.
    script = f"""
import gzip, resource, hashlib
from pathlib import Path
from glassclave.errors import UnavailableError
from glassclave.image.decode import LayerBlob, Meter, decode_layer
data = bytes(3 << 20)
stored = gzip.compress(data)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
layer = LayerBlob(name="layer", stored=lambda: memoryview(stored), size=len(stored), digest=None,
                  diff_id="sha256:" + hashlib.sha256(data).hexdigest())
try:
    decode_layer(layer, Path({str(tmp_path)!r}), Meter(1 << 30, lambda _: None))
except UnavailableError as error:
    print(error.code)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "image.spool.full\n"


def test_memory_file_systems_are_known() -> None:
    assert spool.file_system_type(Path("/")) is not None
    assert not spool.is_in_memory(Path("/proc"))
    if spool.file_system_type(Path("/dev/shm")) == "tmpfs":
        assert spool.is_in_memory(Path("/dev/shm/none"))
