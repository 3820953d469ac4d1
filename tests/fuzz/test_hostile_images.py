"""Hostile container images through the command line: archives, compressions, layers, documents."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.fuzz.command_line import PEAK_BYTES, Case, check
from tests.unit.image.archives import member, tar
from tests.unit.image.layouts import OCI, Layout, config_document, digest, docker_tar, plain_tar
from tests.unit.image.test_memory import bomb

ZEROS = bytes(64 << 20)
GZIP = OCI + "layer.v1.tar+gzip"
LARGE = ["--max-unpacked", str(200 << 20)]
DEEP = "/".join(["n" * 250] * 15)
FAR = "/".join(["n" * 200] * 25)
NOTHING = digest(b"").removeprefix("sha256:")
Writer = Callable[[Path], object]


def build(name: str, write: Writer, code: str, place: str = "source", **more: Any) -> Case:
    """``write`` makes a layout in the folder that it is given."""

    def make(folder: Path) -> Sequence[str | Path]:
        write(folder / "image")
        return ["build", f"oci:{folder / 'image'}", "-o", "out/app.eif", *more.get("words", ())]

    return Case(f"layout, {name}", make, code, place, peak=more.get("peak", PEAK_BYTES))


def layers(*stack: bytes, codec: str = "plain") -> Writer:
    """A whole image of these layers."""

    def write(folder: Path) -> None:
        layout = Layout(folder)
        layout.index(layout.image(stack, codec=codec))

    return write


def stored(blob: bytes, kind: str = "gzip", diff_id: str = NOTHING) -> Writer:
    """A layer that is stored as ``blob``, whatever it decodes to."""
    return lambda folder: bomb(folder, blob, kind, f"sha256:{diff_id}")


def index(text: bytes | object) -> Writer:
    """A layout whose index is these bytes, or this value."""

    def write(folder: Path) -> None:
        layout = Layout(folder)
        layout.index(layout.image([tar(member("a"))]))
        data = text if isinstance(text, bytes) else json.dumps(text).encode()
        (folder / "index.json").write_bytes(data)

    return write


def nested(folder: Path) -> None:
    """Indexes in indexes."""
    layout = Layout(folder)
    entry = layout.image([tar(member("a"))])
    for _ in range(6):
        entry = layout.document({"schemaVersion": 2, "manifests": [entry]}, OCI + "index.v1+json")
    layout.index(entry)


def one_layer(folder: Path, stored: bytes, media_type: str, plain: bytes, times: int) -> None:
    """The same layer again and again."""
    layout = Layout(folder)
    config = config_document([], rootfs={"type": "layers", "diff_ids": [digest(plain)] * times})
    manifest = {
        "schemaVersion": 2,
        "config": layout.document(config, OCI + "config.v1+json"),
        "layers": [layout.blob(stored, media_type)] * times,
    }
    layout.index(layout.document(manifest, OCI + "manifest.v1+json"))


def many_layers(folder: Path) -> None:
    """Ten thousand times the same layer."""
    data = tar(member("a"))
    one_layer(folder, data, OCI + "layer.v1.tar", data, 10_000)


def one_layer_often(folder: Path) -> None:
    """4,000 times one layer that decodes to 8 MiB."""
    data = tar(member("a", "f", bytes(8 << 20)))
    one_layer(folder, gzip.compress(data), GZIP, data, 4000)


def pipe_as_blob(folder: Path) -> None:
    layout = Layout(folder)
    entry = layout.image([tar(member("a"))])
    layout.index(entry)
    layout.path(entry["digest"]).unlink()
    os.mkfifo(layout.path(entry["digest"]))


def links_away(folder: Path) -> None:
    """A layer that is somewhere else, of another content."""
    layout = Layout(folder)
    data = tar(member("a"))
    layout.index(layout.image([data], codec="plain"))
    layout.path(digest(data)).unlink()
    layout.path(digest(data)).symlink_to("/etc/passwd")


def labelled(folder: Path) -> None:
    layout = Layout(folder)
    config = config_document([], config={"Labels": {"k" * (1 << 20): 1}})
    layout.index(layout.image([], config=config))


def circle() -> bytes:
    links = [member(f"s{n}", "l", f"s{n + 1}/" + "d/../" * 814 + ".") for n in range(40)]
    again = [member("z", "l", "s1"), member("s1/x")]
    return tar(member("d", "d"), member("s40", "d"), *links, *again * 2000)


def many_entries(count: int, name: str) -> bytes:
    """A tar with the same header ``count`` times: names may repeat."""
    one = tar(member(name))[:512] if len(name) <= 100 else tar(member(name))[: -(20 << 9)]
    return one * count + bytes(1024)


def long_paths() -> bytes:
    head = tar(member(DEEP, "d"), member("s", "l", DEEP)).rstrip(b"\0")
    head += bytes(-len(head) % 512)
    return head + b"".join(tar(member(f"s/{n:06}"))[:512] for n in range(40_000)) + bytes(1024)


ZSTD_WINDOW = b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00"  # a window of 2 GiB
EMPTY_MEMBERS = gzip.compress(b"", mtime=0) * 100_000
CASES = (
    build("a bomb of gzip", stored(gzip.compress(ZEROS) * 32), "image.layer.limit", words=LARGE),
    build("a bomb of zstd", stored(zstandard.compress(ZEROS) * 32, "zstd"), "image.layer.limit", words=LARGE),
    build("a ratio that none has", stored(zstandard.compress(ZEROS) * 8, "zstd"), "image.layer.ratio"),
    build("100,000 empty members of gzip", stored(EMPTY_MEMBERS, diff_id="ab" * 32), "image.layer.diff-id"),
    build("gzip cut short", stored(gzip.compress(tar(member("a")))[:-9]), "image.layer.truncated"),
    build("gzip with noise", stored(b"\x1f\x8b\x08\x00" + b"\xff" * 500), "image.layer.encoding"),
    build("zstd with a window of 2 GiB", stored(ZSTD_WINDOW, "zstd"), "image.layer.encoding"),
    build("zstd cut short", stored(zstandard.compress(ZEROS)[:-9], "zstd"), "image.layer.diff-id"),
    build("xz", stored(b"\xfd7zXZ\0" + bytes(50)), "image.layer.encoding"),
    build("another content", stored(gzip.compress(b"x")), "image.layer.diff-id"),
    build("10,000 layers", many_layers, "field.size", "field"),
    build("one layer 4,000 times", one_layer_often, "image.layer.limit", words=LARGE),
    build("a pipe as blob", pipe_as_blob, "image.blob.missing"),
    build("a blob that leads elsewhere", links_away, "image.layer.size"),
    build("an index nested 100,000 deep", index(b"[" * 100_000), "json.depth"),
    build("an index of 5 MiB", index(b" " * (5 << 20)), "image.document.size"),
    build("an index of 2,000,000 values", index(b"[" + b"1," * 2_000_000 + b"1]"), "field.type", "field"),
    build("an index that is cut short", index(b'{"schemaVersion": 2, "mani'), "json.syntax", "offset"),
    build("a key twice", index(b'{"manifests": [], "manifests": []}'), "json.duplicate-key", "field"),
    build("a label with a name of 1 MiB", labelled, "field.type", "field"),
    build("20,000 images", index({"manifests": [{}] * 20_000}), "field.size", "field"),
    build("a digest that climbs", index({"manifests": [{
        "mediaType": OCI + "manifest.v1+json", "digest": "sha256:../../etc/passwd", "size": 1}]}),
        "image.digest.form", "field"),
    build("indexes in indexes", nested, "image.layout.depth"),
    build("tar, no tar", layers(b"x" * 600), "image.tar.form", "offset"),
    build("tar, cut short", layers(tar(member("a", "f", bytes(600)))[:900]), "image.tar.truncated", "offset"),
    build("tar, a pax header of 2 MiB", layers(tar(member("a", pax={"x": "y" * (2 << 20)}))),
          "image.tar.extension", "offset"),
    build("tar, a path of 5,000 bytes", layers(tar(member(FAR))), "image.path.long", "field"),
    build("tar, climbs", layers(tar(member("../../etc/passwd"))), "image.path.form", "field"),
    build("links in circles", layers(tar(member("a", "l", "b"), member("b", "l", "a"), member("a/x"))),
          "image.layer.symlinks", "field"),
    build("links that lead far", layers(circle(), codec="gzip"), "image.layer.symlinks", "field"),
    build("a link to nothing", layers(tar(member("a", "h", "b"))), "image.layer.hardlink", "field"),
    build("long paths behind a short name", layers(long_paths(), codec="gzip"), "image.layer.entries"),
    build("inside a whiteout", layers(tar(member(".wh.a/b"))), "image.layer.whiteout", "field"),
)  # fmt: skip


def archive(name: str, data: bytes, code: str, place: str = "source", kind: str = "docker-archive") -> Case:
    def make(folder: Path) -> Sequence[str | Path]:
        (folder / "it").write_bytes(data)
        return ["build", f"{kind}:{folder / 'it'}", "-o", "out/app.eif", *LARGE]

    return Case(f"{kind}, {name}", make, code, place)


GOOD = docker_tar([tar(member("a"))])
TWICE = GOOD.rstrip(b"\0") + bytes(-len(GOOD.rstrip(b"\0")) % 512) + GOOD
LOOP = plain_tar({}, {"manifest.json": "other", "other": "manifest.json"})
ARCHIVES = (
    archive("nothing", b"", "image.archive.kind"),
    archive("noise", random.Random(1).randbytes(4096), "image.tar.form", "offset"),
    archive("everything twice", TWICE, "image.archive.repeated"),
    archive("links in circles", LOOP, "image.blob.missing"),
    archive("a bomb of gzip", gzip.compress(ZEROS) * 32, "image.layer.limit"),
    archive("200,000 members", many_entries(200_000, "a"), "image.archive.members"),
    archive("a list nested deep", plain_tar({"manifest.json": b"[" * 9000}), "json.depth"),
    archive("an image of numbers", plain_tar({"manifest.json": b"[1]"}), "field.type", "field"),
    archive("no such layer", docker_tar([tar(member("a"))], manifest=[{"Config": "c", "Layers": ["x"]}],
            extra={"c": json.dumps(config_document([b""])).encode()}), "image.blob.missing"),
    archive("no marker", plain_tar({"index.json": b"{}"}), "image.layout.missing", kind="oci-archive"),
    archive("another version", plain_tar({"index.json": b"{}", "oci-layout": b'{"imageLayoutVersion": "9"}'}),
            "image.layout.version", "field", kind="oci-archive"),
)  # fmt: skip


@pytest.mark.parametrize("case", [*CASES, *ARCHIVES], ids=lambda case: case.name)
@pytest.mark.timeout(90)
def test_hostile_images_end_in_words(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.acceptance
@pytest.mark.timeout(180)
def test_half_a_million_entries_end_in_words(tmp_path: Path) -> None:
    # 256 MiB of headers, mapped, and what is kept of each of them.
    write = layers(many_entries(500_001, "a"), codec="zstd")
    check(build("500,001 entries", write, "image.layer.entries", "field", peak=512 << 20), tmp_path)
