"""The example: its shipped layout belongs to its sources, and is what the documents say."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import pytest

from glassclave.flows.source import SourceOptions, open_image
from glassclave.progress import Silent

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "hello"
SHIPPED = ROOT / "sandbox/src/glassclave_sandbox/demo/hello"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_layout", EXAMPLE / "make_layout.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_layout_belongs_to_the_sources(maker: ModuleType) -> None:
    """`make example ARGS=--update` after a change of any of them."""
    index = json.loads((SHIPPED / "index.json").read_bytes())
    digest = index["manifests"][0]["digest"]
    assert (EXAMPLE / "hello.lock.json").read_bytes() == maker.lock_of(digest)


def test_the_compiler_is_the_one_of_init() -> None:
    ours = (ROOT / "requirements" / "bootstrap.txt").read_bytes()
    assert (EXAMPLE / "requirements.txt").read_bytes() == ours


def test_the_layout_can_be_found_beside_the_sources() -> None:
    assert os.readlink(EXAMPLE / "layout") == os.path.relpath(SHIPPED, EXAMPLE)


def test_the_image_holds_one_static_program(maker: ModuleType) -> None:
    with open_image(f"oci:{SHIPPED}:{maker.TAG}", SourceOptions(), Silent()) as image:
        entries = [(name, node.mode & 0o7777) for name, node in image.tree]
    assert entries == [(b"hello", 0o755)]


def test_the_dockerfile_says_the_same(maker: ModuleType) -> None:
    """What it sets in the image is what the layout has."""
    said = [line.partition(" ")[::2] for line in (EXAMPLE / "Dockerfile").read_text().splitlines()]
    last = said[max(index for index, (word, _) in enumerate(said) if word == "FROM") :]
    assert dict(last)["FROM"] == "scratch"
    assert {
        "Env": [dict(last)["ENV"]],
        "Entrypoint": json.loads(dict(last)["ENTRYPOINT"]),
        "WorkingDir": dict(last)["WORKDIR"],
    } == maker.CONFIG
