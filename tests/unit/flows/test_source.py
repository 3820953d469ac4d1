"""SOURCE as a user types it: which form, which file, which tag, and what is said about the spool folder."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from glassclave.errors import GlassclaveError, LimitError, UnavailableError, UsageError
from glassclave.flows.source import SourceOptions, open_image
from glassclave.image import spool
from glassclave.image.spool import file_system_type, is_in_memory
from tests.unit.image.archives import member, tar
from tests.unit.image.layouts import Layout, docker_tar, folder_tar, platform, tag

LAYER = tar(member("bin/app", "f", b"app", mode=0o755))
OTHER = tar(member("bin/other", "f", b"other"))


class Heard:
    """A `Progress` that keeps what was said."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.steps: list[tuple[str, str]] = []
        self.done: list[tuple[int, int | None]] = []

    def step(self, name: str, message: str) -> None:
        self.steps.append((name, message))

    def advance(self, name: str, done: int, total: int | None) -> None:
        self.done.append((done, total))

    def warn(self, code: str, message: str) -> None:
        self.warnings.append(code)


def paths(source: str, heard: Heard | None = None, **options: Any) -> list[bytes]:
    with open_image(source, SourceOptions(**options), heard or Heard()) as image:
        return [path for path, _ in image.tree]


def failure(source: str, **options: Any) -> GlassclaveError:
    with pytest.raises(GlassclaveError) as caught:
        paths(source, **options)
    return caught.value


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    made = Layout(tmp_path / "layout")
    return made.index(made.image([LAYER], **tag("one")), made.image([OTHER], **tag("two")))


@pytest.mark.parametrize("source", ["", "oci", "oci:", "docker:hello", "OCI:x", ":x", "hello:1", "/bin"])
def test_a_source_of_no_known_form_is_a_usage_error(source: str) -> None:
    error = failure(source)
    assert isinstance(error, UsageError)
    assert error.code == "build.source.kind"
    assert "docker-archive:FILE" in (error.hint or "")


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive", "dir"])
def test_a_source_that_is_not_there_is_named(kind: str, tmp_path: Path) -> None:
    error = failure(f"{kind}:{tmp_path / 'nothing'}")
    assert isinstance(error, UnavailableError)
    assert "nothing" in str(error.source)


def test_a_tag_follows_the_path(layout: Path) -> None:
    assert paths(f"oci:{layout}:one") == [b"bin", b"bin/app"]
    assert paths(f"oci:{layout}:two") == [b"bin", b"bin/other"]
    assert failure(f"oci:{layout}").code == "image.choice.several"
    assert failure(f"oci:{layout}:three").code == "image.choice.tag"


def test_a_path_with_colons_is_the_path_if_it_is_there(layout: Path) -> None:
    odd = layout.rename(layout.with_name("a:b:one"))
    assert failure(f"oci:{odd}").code == "image.choice.several"
    assert paths(f"oci:{odd}:two") == [b"bin", b"bin/other"]


def test_an_archive_and_its_tag(layout: Path, tmp_path: Path) -> None:
    archive = tmp_path / "o.tar"
    archive.write_bytes(folder_tar(layout))
    assert paths(f"oci-archive:{archive}:two") == [b"bin", b"bin/other"]


def test_a_docker_tag_keeps_its_own_colon(tmp_path: Path) -> None:
    archive = tmp_path / "d.tar"
    archive.write_bytes(docker_tar([LAYER], tags=["localhost:5000/hello:1"]))
    assert paths(f"docker-archive:{archive}:localhost:5000/hello:1") == [b"bin", b"bin/app"]
    assert failure(f"docker-archive:{archive}:localhost:5000/hello:2").code == "image.choice.tag"


def test_a_single_image_of_another_architecture_is_refused(tmp_path: Path) -> None:
    made = Layout(tmp_path / "layout")
    folder = made.index(made.image([LAYER]))
    assert paths(f"oci:{folder}", architecture="amd64") == [b"bin", b"bin/app"]
    assert failure(f"oci:{folder}", architecture="arm64").code == "image.choice.architecture"


def test_an_index_that_names_another_architecture_holds_nothing_that_fits(tmp_path: Path) -> None:
    made = Layout(tmp_path / "layout")
    folder = made.index(made.image([LAYER], **platform("amd64")))
    assert failure(f"oci:{folder}", architecture="arm64").code == "image.choice.none"


def test_the_architecture_of_a_directory_is_never_the_builders(tmp_path: Path) -> None:
    for options, wanted in ((SourceOptions(), "amd64"), (SourceOptions(architecture="arm64"), "arm64")):
        with open_image(f"dir:{tmp_path}", options, Heard()) as image:
            assert image.config.architecture == wanted


def test_progress_ends_at_all_stored_bytes(layout: Path) -> None:
    heard = Heard()
    paths(f"oci:{layout}:one", heard)
    assert [name for name, _ in heard.steps] == ["layers"]
    assert heard.steps[0][1].startswith("1 layer,")
    assert heard.done[-1][0] == heard.done[-1][1]


@pytest.mark.parametrize(
    ("kind", "codec", "warnings"),
    [
        ("tmpfs", "gzip", ["image.spool.memory"]),
        ("tmpfs", "zstd", ["image.spool.memory"]),
        ("ramfs", "gzip", ["image.spool.memory"]),
        ("tmpfs", "plain", []),  # nothing is decoded, nothing is kept
        ("ext4", "gzip", []),
    ],
)
def test_layers_kept_in_memory_are_warned_of(
    kind: str, codec: str, warnings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    mounts = tmp_path / "mounts"
    point = str(folder).replace(" ", "\\040")
    mounts.write_text(f"/dev/root / ext4 rw 0 0\nnone {point} {kind} rw 0 0\n", encoding="utf-8")
    monkeypatch.setattr(spool, "_MOUNTS", mounts)
    made = Layout(tmp_path / "layout")
    heard = Heard()
    source = made.index(made.image([LAYER], codec=codec))
    assert paths(f"oci:{source}", heard, spool=folder) == [b"bin", b"bin/app"]
    assert heard.warnings == warnings
    assert list(folder.iterdir()) == []


def test_the_mount_that_holds_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    monkeypatch.setattr(spool, "_MOUNTS", mounts)
    assert file_system_type(tmp_path) is None  # no such table on this system: nothing is claimed
    mounts.write_text("r / ext4 rw 0 0\nt /va tmpfs rw 0 0\nx /va/b xfs rw 0 0\n", encoding="utf-8")
    found = {name: is_in_memory(Path(name)) for name in ("/va", "/va/c", "/va/b", "/va/b/c", "/vault")}
    assert found == {"/va": True, "/va/c": True, "/va/b": False, "/va/b/c": False, "/vault": False}
    with mounts.open("a", encoding="utf-8") as file:
        file.write("o /va ext4 rw 0 0\n")  # mounted over the first
    assert not is_in_memory(Path("/va/c"))


def test_the_systems_folder_is_taken_where_none_is_named(
    layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert failure(f"oci:{layout}:one").code == "image.spool.unwritable"
    assert paths(f"oci:{layout}:one", spool=tmp_path) == [b"bin", b"bin/app"]


def test_the_limit_is_the_callers(layout: Path, tmp_path: Path) -> None:
    assert paths(f"oci:{layout}:one", unpacked_limit=len(LAYER)) == [b"bin", b"bin/app"]
    assert isinstance(failure(f"oci:{layout}:one", unpacked_limit=len(LAYER) - 1), LimitError)
