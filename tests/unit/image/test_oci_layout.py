"""OCI layouts: which image is meant, every digest, what is refused and in which words."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from glassclave.errors import GlassclaveError, UsageError
from glassclave.flows.source import SourceOptions, open_image
from glassclave.image.config import ImageConfig
from glassclave.progress import Silent
from tests.unit.image.archives import member, tar
from tests.unit.image.layouts import (
    DOCKER,
    OCI,
    Layout,
    config_document,
    folder_tar,
    platform,
    tag,
)

LAYER = tar(member("f", "f", b"F"))
OTHER = tar(member("g", "f", b"G"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "out")


def opened(source: str | Path, architecture: str | None = None) -> tuple[set[bytes], ImageConfig]:
    """Paths and configuration."""
    word = source if isinstance(source, str) else f"oci:{source}"
    with open_image(word, SourceOptions(architecture=architecture), Silent()) as image:
        return set(image.tree.nodes), image.config


def refused(source: str | Path, architecture: str | None = None) -> GlassclaveError:
    with pytest.raises(GlassclaveError) as caught:
        opened(source, architecture)
    return caught.value


@pytest.mark.parametrize("codec", ["plain", "gzip", "zstd"])
def test_one_image_needs_no_tag(layout: Layout, codec: str) -> None:
    paths, config = opened(layout.index(layout.image([LAYER, OTHER], codec=codec)))
    assert paths == {b"f", b"g"}
    assert (config.cmd, config.env, config.architecture) == (("/bin/app",), ("PATH=/bin",), "amd64")


def test_a_tag_chooses_and_without_one_the_tags_are_listed(layout: Layout) -> None:
    folder = layout.index(layout.image([LAYER], **tag("one")), layout.image([OTHER], **tag("two")))
    assert opened(f"oci:{folder}:one")[0] == {b"f"}
    assert opened(f"oci:{folder}:two")[0] == {b"g"}
    for source in (f"oci:{folder}", f"oci:{folder}:three"):
        error = refused(source)
        assert isinstance(error, UsageError)
        assert "one, two" in error.message


def test_one_image_with_two_tags_is_one_image(layout: Layout) -> None:
    folder = layout.index(layout.image([LAYER], **tag("one")), layout.image([LAYER], **tag("two")))
    assert opened(folder)[0] == {b"f"}


def test_a_layout_with_a_colon_in_its_name(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "a:b")
    folder = layout.index(layout.image([LAYER], **tag("t")))
    assert opened(f"oci:{folder}")[0] == opened(f"oci:{folder}:t")[0] == {b"f"}


def nested(layout: Layout, *images: dict[str, Any]) -> Path:
    media_type = OCI + "index.v1+json"
    index = {"schemaVersion": 2, "mediaType": media_type, "manifests": list(images)}
    return layout.index(layout.document(index, media_type))


def arm(layout: Layout) -> dict[str, Any]:
    config = config_document([OTHER], architecture="arm64")
    return layout.image([OTHER], config=config, **platform("arm64"))


def test_of_several_platforms_one_is_chosen_by_architecture(layout: Layout) -> None:
    attestation = layout.image([tar()], **platform("unknown", "unknown"))
    folder = nested(layout, layout.image([LAYER], **platform("amd64")), arm(layout), attestation)
    assert opened(folder, "amd64")[0] == {b"f"}
    assert opened(folder, "arm64")[1].architecture == "arm64"
    error = refused(folder)
    assert isinstance(error, UsageError)
    assert "amd64, arm64" in error.message
    assert "--arch" in (error.hint or "")


def test_what_stands_beside_the_only_image_is_not_asked_about(layout: Layout) -> None:
    attestation = layout.image([tar()], **platform("unknown", "unknown"))
    windows = layout.image([tar()], **platform("amd64", "windows"))
    assert opened(nested(layout, attestation, windows, layout.image([LAYER], **platform("amd64"))))[0] == {
        b"f"
    }


def test_an_architecture_that_is_not_there_is_a_usage_error(layout: Layout) -> None:
    folder = layout.index(layout.image([LAYER]))
    assert opened(folder, "amd64")[0] == {b"f"}
    assert refused(folder, "arm64").code == "image.choice.architecture"
    assert isinstance(refused(nested(layout, arm(layout)), "amd64"), UsageError)


def test_a_platform_that_the_configuration_denies_is_refused(layout: Layout) -> None:
    folder = layout.index(layout.image([LAYER], **platform("arm64")))
    assert refused(folder, "arm64").code == "image.choice.architecture"


def test_indexes_nested_without_end_are_refused(layout: Layout) -> None:
    media_type = OCI + "index.v1+json"
    inner = layout.image([LAYER])
    for depth in range(8):
        inner = layout.document({"schemaVersion": 2, "manifests": [inner], "n": depth}, media_type)
    assert refused(layout.index(inner)).code == "image.layout.depth"


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
@pytest.mark.parametrize("change", ["flipped", "longer", "missing"])
def test_every_blob_is_compared_with_its_descriptor(layout: Layout, part: str, change: str) -> None:
    image = layout.image([LAYER], config=config_document([LAYER], author="somebody"))
    folder = layout.index(image)
    manifest = json.loads(layout.path(image["digest"]).read_bytes())
    found = {"manifest": image, "config": manifest["config"], "layer": manifest["layers"][0]}[part]
    path = layout.path(found["digest"])
    data = path.read_bytes()
    if change == "missing":
        path.unlink()
        assert refused(folder).code == "image.blob.missing"
        return
    path.write_bytes(data + b" " if change == "longer" else data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    codes = {"flipped": "image.layer.digest", "longer": "image.layer.size"}
    assert refused(folder).code == (codes[change] if part == "layer" else "image.blob.digest")


def test_a_layer_that_is_not_the_configurations_is_refused(layout: Layout) -> None:
    folder = layout.index(layout.image([LAYER], config=config_document([OTHER])))
    assert refused(folder).code == "image.layer.diff-id"


def test_the_number_of_layers_must_agree(layout: Layout) -> None:
    folder = layout.index(layout.image([LAYER], config=config_document([LAYER, OTHER])))
    assert refused(folder).code == "image.manifest.layers"


@pytest.mark.parametrize(
    "digest", ["md5:00", "sha256:" + "0" * 63, "sha256:../../../../etc/passwd", "sha512:" + "0" * 128]
)
def test_digests_that_are_no_sha256_are_refused(layout: Layout, digest: str) -> None:
    image = layout.image([LAYER])
    assert refused(layout.index(image | {"digest": digest})).code == "image.digest.form"
    config = config_document([LAYER], rootfs={"type": "layers", "diff_ids": [digest]})
    assert refused(layout.index(layout.image([LAYER], config=config))).code == "image.digest.form"


@pytest.mark.parametrize(
    ("layer_type", "code"),
    [
        (OCI + "layer.nondistributable.v1.tar+gzip", "image.layer.foreign"),
        (DOCKER + "image.rootfs.foreign.diff.tar.gzip", "image.layer.foreign"),
        (OCI + "layer.v1.tar+gzip+encrypted", "image.layer.encrypted"),
        ("application/json", "image.layer.type"),
    ],
)
def test_layers_that_cannot_be_read_are_refused_in_words(layout: Layout, layer_type: str, code: str) -> None:
    assert refused(layout.index(layout.image([LAYER], layer_type=layer_type))).code == code


def test_dockers_media_types_are_read(layout: Layout) -> None:
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER + "distribution.manifest.v2+json",
        "config": layout.document(config_document([LAYER]), DOCKER + "container.image.v1+json"),
        "layers": [layout.blob(gzip.compress(LAYER), DOCKER + "image.rootfs.diff.tar.gzip")],
    }
    image = layout.document(manifest, str(manifest["mediaType"]))
    assert opened(layout.index(image))[0] == {b"f"}


def test_an_artifact_is_no_image(layout: Layout) -> None:
    folder = layout.index(layout.image([LAYER], config_type="application/vnd.oci.empty.v1+json"))
    assert refused(folder).code == "image.config.type"


def test_a_document_that_is_index_and_manifest_at_once_is_refused(layout: Layout) -> None:
    image = layout.image([LAYER])
    manifest = json.loads(layout.path(image["digest"]).read_bytes())
    both = layout.document(manifest | {"manifests": []}, manifest["mediaType"])
    assert refused(layout.index(both)).code == "image.manifest.form"
    assert refused(layout.index(image, layers=[])).code == "image.index.form"
    del manifest["mediaType"]
    assert opened(layout.index(layout.document(manifest, image["mediaType"])))[0] == {b"f"}
    other = layout.document(manifest | {"mediaType": OCI + "index.v1+json"}, image["mediaType"])
    assert refused(layout.index(other)).code == "image.manifest.type"


def test_a_folder_that_is_no_layout_is_refused(layout: Layout, tmp_path: Path) -> None:
    folder = layout.index(layout.image([LAYER]))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}', encoding="utf-8")
    assert refused(folder).code == "image.layout.version"
    (folder / "oci-layout").unlink()
    assert refused(folder).code == "image.layout.missing"
    assert refused(tmp_path / "nothing").code == "image.layout.missing"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"os": "windows"}, "image.config.platform"),
        ({"architecture": "riscv64"}, "image.config.platform"),
        ({"rootfs": {"type": "snapshot", "diff_ids": []}}, "image.config.rootfs"),
        ({"created": "yesterday"}, "image.config.created"),
        ({"config": {"Cmd": "text"}}, "field.type"),
        ({"config": {"Env": [1]}}, "field.type"),
        ({"config": []}, "field.type"),
    ],
)
def test_configurations_that_cannot_be_used_are_refused(
    layout: Layout, changes: dict[str, Any], code: str
) -> None:
    folder = layout.index(layout.image([LAYER], config=config_document([LAYER], **changes)))
    assert refused(folder).code == code


def test_a_configuration_may_leave_out_what_is_optional(layout: Layout) -> None:
    config = config_document([LAYER], config=None)
    assert opened(layout.index(layout.image([LAYER], config=config)))[1].cmd == ()
    nulls = config_document([LAYER], config={"Cmd": None, "Entrypoint": None, "Labels": None})
    assert opened(layout.index(layout.image([LAYER], config=nulls)))[1].entrypoint == ()


def test_an_image_without_layers_is_an_empty_tree(layout: Layout) -> None:
    assert opened(layout.index(layout.image([])))[0] == set()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_an_archive_of_a_layout_is_the_same(layout: Layout, tmp_path: Path, pack: Any) -> None:
    folder = layout.index(layout.image([LAYER], **tag("t")))
    archive = tmp_path / "out.tar"
    archive.write_bytes(pack(folder_tar(folder)))
    assert opened(f"oci-archive:{archive}:t") == opened(f"oci:{folder}:t")


def test_a_cut_archive_is_refused(layout: Layout, tmp_path: Path) -> None:
    data = folder_tar(layout.index(layout.image([LAYER])))
    archive = tmp_path / "out.tar"
    archive.write_bytes(gzip.compress(data)[:-9])
    assert refused(f"oci-archive:{archive}").code == "image.archive.truncated"
    archive.write_bytes(data[:1000])
    assert refused(f"oci-archive:{archive}").code.startswith("image.")
