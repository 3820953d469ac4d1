"""What docker save writes, old and new; and that its form reaches no byte of what is built."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from glassclave.errors import UsageError
from tests.unit.image.archives import member, tar
from tests.unit.image.layouts import Layout, config_document, digest, docker_tar, plain_tar
from tests.unit.image.test_oci_layout import opened, refused

LAYER = tar(member("f", "f", b"F"))
OTHER = tar(member("g", "f", b"G"))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "saved.tar"


def saved(path: Path, *layers: bytes, **how: Any) -> str:
    path.write_bytes(docker_tar(layers, **how))
    return f"docker-archive:{path}"


def test_the_only_image_needs_no_name(archive: Path) -> None:
    paths, config = opened(saved(archive, LAYER, OTHER))
    assert paths == {b"f", b"g"}
    assert config.layer_digests == (digest(LAYER), digest(OTHER))
    assert opened(saved(archive, LAYER, tags=None))[0] == {b"f"}


@pytest.mark.parametrize("name", ["hello:1", "docker.io/library/hello:1", "library/hello:1"])
def test_an_image_is_chosen_by_any_spelling_of_its_name(archive: Path, name: str) -> None:
    source = saved(archive, LAYER, tags=["hello:1", "localhost:5000/x:2"])
    assert opened(f"{source}:{name}")[0] == {b"f"}
    assert opened(f"{source}:localhost:5000/x:2")[0] == {b"f"}


@pytest.mark.parametrize("name", ["hello:2", "hello", "other/hello:1", "localhost/hello:1"])
def test_a_name_that_is_not_there_is_a_usage_error(archive: Path, name: str) -> None:
    error = refused(f"{saved(archive, LAYER)}:{name}")
    assert isinstance(error, UsageError)
    assert error.code == "image.choice.tag"


def test_of_several_images_one_must_be_named(archive: Path) -> None:
    configs = {
        name: json.dumps(config_document([data])).encode() for name, data in (("a", LAYER), ("b", OTHER))
    }
    manifest = [{"Config": name, "RepoTags": [f"{name}:1"], "Layers": [name + ".tar"]} for name in configs]
    files = {"manifest.json": json.dumps(manifest).encode(), "a.tar": LAYER, "b.tar": OTHER} | configs
    archive.write_bytes(plain_tar(files))
    assert opened(f"docker-archive:{archive}:b:1")[0] == {b"g"}
    error = refused(f"docker-archive:{archive}")
    assert error.code == "image.choice.several"
    assert "a:1, b:1" in error.message


def test_a_layer_may_be_a_link_to_another_images(archive: Path) -> None:
    config = json.dumps(config_document([LAYER])).encode()
    manifest = json.dumps([{"Config": "c.json", "RepoTags": [], "Layers": ["x/layer.tar"]}]).encode()
    files = {"c.json": config, "manifest.json": manifest, "y.tar": LAYER}
    archive.write_bytes(plain_tar(files, {"x/layer.tar": "../y.tar"}))
    assert opened(f"docker-archive:{archive}")[0] == {b"f"}
    archive.write_bytes(plain_tar(files, {"x/layer.tar": "layer.tar"}))
    assert refused(f"docker-archive:{archive}").code == "image.blob.missing"
    archive.write_bytes(plain_tar(files, {"x/layer.tar": "../../../../etc/passwd"}))
    assert refused(f"docker-archive:{archive}").code == "image.blob.missing"


def test_what_newer_engines_save_is_read(archive: Path) -> None:
    config = json.dumps(config_document([LAYER])).encode()
    names = ["blobs/sha256/" + sha256(data).hexdigest() for data in (config, LAYER)]
    manifest = json.dumps([{"Config": names[0], "RepoTags": ["x:1"], "Layers": names[1:]}]).encode()
    files = {"manifest.json": manifest, "index.json": b"{}", "oci-layout": b"{}"}
    archive.write_bytes(plain_tar(files | dict(zip(names, (config, LAYER), strict=True))))
    assert opened(f"docker-archive:{archive}")[0] == {b"f"}


def test_every_layer_is_compared_with_the_configuration(archive: Path) -> None:
    source = saved(archive, LAYER, config=config_document([OTHER]))
    assert refused(source).code == "image.layer.diff-id"
    assert refused(saved(archive, LAYER, config=config_document([]))).code == "image.manifest.layers"


def test_a_configuration_is_compared_with_its_name(archive: Path) -> None:
    assert opened(saved(archive, LAYER, config_name="config.json"))[0] == {b"f"}
    assert refused(saved(archive, LAYER, config_name="0" * 64 + ".json")).code == "image.blob.digest"
    assert refused(saved(archive, LAYER, config_name="blobs/sha256/" + "0" * 64)).code == "image.blob.digest"


def test_a_name_that_two_members_have_is_refused(archive: Path) -> None:
    data = docker_tar([LAYER])
    twice = plain_tar({"manifest.json": b"[]"})[:1024] + data
    archive.write_bytes(twice)
    assert refused(f"docker-archive:{archive}").code == "image.archive.repeated"


@pytest.mark.parametrize("manifest", [[], {}, [{}], [{"Config": "none", "Layers": []}], "x"])
def test_manifests_that_mean_nothing_are_refused(archive: Path, manifest: Any) -> None:
    assert refused(saved(archive, LAYER, manifest=manifest)).code.split(".")[0] in ("image", "field")


def test_an_archive_of_another_kind_is_refused_with_its_right_name(archive: Path) -> None:
    archive.write_bytes(plain_tar({"index.json": b"{}", "oci-layout": b"{}"}))
    error = refused(f"docker-archive:{archive}")
    assert error.code == "image.archive.kind"
    assert "oci-archive" in (error.hint or "")
    assert "docker-archive" in (refused(f"oci-archive:{_saved(archive)}").hint or "")
    assert refused(f"docker-archive:{archive.parent / 'none'}").code == "file.unreadable"


def _saved(path: Path) -> Path:
    path.write_bytes(docker_tar([LAYER]))
    return path


def test_one_image_gives_one_document_whatever_form_it_comes_in(archive: Path, tmp_path: Path) -> None:
    ours = config_document(
        [LAYER],
        author="A",
        created="2024-02-03T04:05:06.120000000Z",
        config={"Cmd": ["a"], "Labels": {"k": "v"}, "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGINT"},
    )
    # What Docker adds and tools leave out, add or spell differently when they convert an image.
    theirs = ours | {
        "created": "2024-02-03T04:05:06.12Z",
        "docker_version": "20.10",
        "container": "c",
        "history": [],
        "config": ours["config"] | {
            "Hostname": "h", "Env": None, "Entrypoint": [], "OnBuild": None, "Volumes": {},
            "Image": "sha256:1", "User": "", "Healthcheck": {"Test": ["NONE"]},
        },
    }  # fmt: skip
    layout = Layout(tmp_path / "out")
    one = opened(layout.index(layout.image([LAYER], config=ours)))[1].document
    assert one == opened(saved(archive, LAYER, config=theirs))[1].document
    assert one is not None
    assert one["Created"] == "2024-02-03T04:05:06.12Z"
    assert one != opened(saved(archive, LAYER, config=ours | {"author": "B"}))[1].document
    text = json.dumps(one)
    assert "hello" not in text
    assert str(tmp_path) not in text
