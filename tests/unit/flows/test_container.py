"""Folders with a Dockerfile, with a builder in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from glassclave.errors import GlassclaveError, UnavailableError
from glassclave.flows.container import BuiltContainer, built_container, is_folder
from glassclave.image.container import BuilderIdentity, ContainerBuild, OnLine
from glassclave.image.dockerfile import BaseImage
from glassclave.progress import Silent

DIGEST = "sha256:" + "5a" * 32
IDENTITY = BuilderIdentity(name="memory", version="1")
DOCKERFILE = f"ARG V=1\nFROM base:$V AS one\nFROM pinned@{DIGEST}\nADD https://me:secret@example.org/x /x\n"


@dataclass
class MemoryBuilder:
    """`ContainerBuilder` that writes down what it was asked for."""

    identity: BuilderIdentity = IDENTITY
    requests: list[ContainerBuild] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def build(self, request: ContainerBuild, folder: Path, on_line: OnLine) -> str:
        self.requests.append(request)
        self.folders.append(folder)
        on_line("STEP 1")
        (folder / "image").write_bytes(b"")
        return f"oci:{folder}/image"

    def digest_of(self, base: BaseImage) -> str | None:
        return DIGEST.replace("5a", "11") if base.name == "base:2" else None

    def layers_of(self, base: BaseImage) -> tuple[str, ...] | None:
        return None


class Warnings(Silent):
    """Remembers warnings."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def warn(self, code: str, message: str) -> None:
        self.said.append((code, message))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "Dockerfile").write_text(DOCKERFILE, encoding="ascii")
    return tmp_path / "context"


def build(
    request: ContainerBuild,
    builder: MemoryBuilder,
    progress: Warnings | None = None,
    spool: Path | None = None,
) -> BuiltContainer:
    with built_container(
        request, builder, spool=spool, on_line=lambda line: None, progress=progress or Warnings()
    ) as built:
        assert builder.folders[-1].is_dir()
    assert not builder.folders[-1].exists()
    return built


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(GlassclaveError) as caught:
        action()
    return caught.value.code


def test_what_was_taken_from_outside_is_claimed(folder: Path) -> None:
    builder, progress = MemoryBuilder(), Warnings()
    request = ContainerBuild(
        context=folder, build_args={"V": "2", "A": "b"}, secrets=("id=token,src=/run/token", "src=/x")
    )
    claim = build(request, builder, progress).claim
    assert (claim.builder_name, claim.builder_version, claim.dockerfile) == ("memory", "1", "Dockerfile")
    assert claim.dockerfile_sha256 == hashlib.sha256(DOCKERFILE.encode()).digest()
    assert claim.build_args == (("A", "b"), ("V", "2"))
    assert claim.secrets == ("token", "")
    assert claim.bases == (("base:2", DIGEST.replace("5a", "11")), (f"pinned@{DIGEST}", DIGEST))
    assert claim.added == ("https://example.org/x",)
    assert [code for code, _ in progress.said] == ["dockerfile.floating"]
    assert "base:2" in progress.said[0][1]
    assert "pinned@" not in progress.said[0][1]


def test_what_is_pinned_needs_no_warning(folder: Path) -> None:
    (folder / "Dockerfile").write_text(f"FROM pinned@{DIGEST}\n", encoding="ascii")
    progress = Warnings()
    build(ContainerBuild(context=folder), MemoryBuilder(), progress)
    assert progress.said == []


def test_the_builder_gets_whole_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    builder = MemoryBuilder()
    build(ContainerBuild(context=Path("context")), builder)
    assert builder.requests[0].context == folder
    assert builder.requests[0].file == folder / "Dockerfile"


def test_where_the_checkout_lies_is_not_told(folder: Path) -> None:
    for path, told in ((folder / "sub" / "D", "sub/D"), (folder.parent / "secret" / "D", "D")):
        path.parent.mkdir()
        path.write_text("FROM scratch\n", encoding="ascii")
        claim = build(ContainerBuild(context=folder, dockerfile=path), MemoryBuilder()).claim
        assert claim.dockerfile == told


def test_what_cannot_be_built_never_reaches_the_builder(folder: Path) -> None:
    builder = MemoryBuilder()
    request = ContainerBuild(context=folder)
    missing = replace(request, dockerfile=folder / "none")
    assert code_of(lambda: build(missing, builder)) == "dockerfile.missing"
    (folder / "Dockerfile").write_text("RUN x\n", encoding="ascii")
    assert code_of(lambda: build(request, builder)) == "dockerfile.from"
    assert builder.requests == []


def test_the_image_lies_in_the_spool_and_goes_with_a_failure(folder: Path, tmp_path: Path) -> None:
    class Failing(MemoryBuilder):
        def build(self, request: ContainerBuild, folder: Path, on_line: OnLine) -> str:
            super().build(request, folder, on_line)
            raise UnavailableError("builder.failed", "no")

    spool = tmp_path / "spool"
    spool.mkdir()
    builder = Failing()
    assert code_of(lambda: build(ContainerBuild(context=folder), builder, spool=spool)) == "builder.failed"
    assert builder.folders[0].parent == spool
    assert list(spool.iterdir()) == []


def test_folders_are_no_images(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert is_folder("context")
    assert is_folder(".")
    for source in ("oci:context", "dir:context", "context/Dockerfile", "nowhere", "oci-archive:x"):
        assert not is_folder(source)
