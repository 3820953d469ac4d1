"""The builders' exact words, with a runner that writes them down instead of running anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from glassclave.clients.builders import choose_builder
from glassclave.clients.builders.buildah import open_files
from glassclave.clients.builders.run import run_program
from glassclave.errors import UnavailableError
from glassclave.image.container import ContainerBuild, ContainerBuilder, OnLine
from glassclave.image.dockerfile import BaseImage

DIGEST = "sha256:" + "5a" * 32
REQUEST = ContainerBuild(
    context=Path("/src"),
    dockerfile=Path("/src/D"),
    build_args={"B": "2", "A": "1 $X"},
    secrets=("id=token,src=/s",),
    target="final",
    architecture="arm64",
)
ASKED = [
    "--build-arg", "A=1 $X", "--build-arg", "B=2", "--secret", "id=token,src=/s", "--target", "final",
    "--platform", "linux/arm64",
]  # fmt: skip


@dataclass
class Recorder:
    """`Runner`: ``answers`` by the second word of the command, ``None``: fails."""

    answers: dict[str, str | None]
    commands: list[list[str]] = field(default_factory=list)

    def __call__(self, command: Sequence[str], on_line: OnLine | None = None) -> str:
        self.commands.append(list(command))
        answer = self.answers.get(command[1], "")
        if answer is None:
            raise UnavailableError("builder.failed", "no")
        return answer


def programs(folder: Path, *names: str) -> dict[str, str]:
    """An environment whose PATH has these programs."""
    for name in names:
        (folder / name).write_text("#!/bin/sh\nexit 9\n", encoding="ascii")
        (folder / name).chmod(0o755)
    return {"PATH": str(folder)}


ANSWERS: dict[str, str | None] = {
    "--version": "buildah version 1.28.2 (image-spec 1.1.0-rc2)\n",
    "version": "28.2.2\n",
    "buildx": "github.com/docker/buildx v0.24.0 d0e5e86\n",
}


def builder(folder: Path, name: str, **answers: str | None) -> tuple[ContainerBuilder, Recorder]:
    run = Recorder(ANSWERS | answers)
    return choose_builder(name, programs(folder, "docker", "buildah"), run), run


def generic(command: Sequence[str]) -> list[str]:
    """Without the chosen name of the image."""
    return ["IMAGE" if "glassclave-build-" in word else word for word in command]


def test_buildah(tmp_path: Path) -> None:
    chosen, run = builder(tmp_path, "buildah")
    assert (chosen.identity.name, chosen.identity.version) == ("buildah", "1.28.2")
    run.commands.clear()
    assert chosen.build(REQUEST, Path("/out"), print) == "oci:/out/layout:build"
    program = str(tmp_path / "buildah")
    assert [generic(command) for command in run.commands] == [
        [
            program, "bud", "--format", "oci", "--no-cache", "--layers=false", "--timestamp", "315532800",
            "--ulimit", f"nofile={open_files()}:{open_files()}",
            *ASKED, "-t", "IMAGE", "-f", "/src/D", "/src",
        ],
        [program, "push", "IMAGE", "oci:/out/layout:build"],
        [program, "rmi", "IMAGE"],
    ]  # fmt: skip


def test_docker(tmp_path: Path) -> None:
    chosen, run = builder(tmp_path, "docker")
    assert (chosen.identity.name, chosen.identity.version) == ("docker", "28.2.2")
    run.commands.clear()
    assert chosen.build(REQUEST, Path("/out"), print) == "docker-archive:/out/image.tar"
    program = str(tmp_path / "docker")
    assert [generic(command) for command in run.commands] == [
        [program, "build", "--no-cache", *ASKED, "--file", "/src/D", "--tag", "IMAGE", "/src"],
        [program, "save", "--output", "/out/image.tar", "IMAGE"],
        [program, "image", "rm", "IMAGE"],
    ]


def test_buildx(tmp_path: Path) -> None:
    chosen, run = builder(tmp_path, "buildx")
    assert (chosen.identity.name, chosen.identity.version) == ("buildx", "v0.24.0")
    run.commands.clear()
    assert chosen.build(REQUEST, Path("/out"), print) == "oci-archive:/out/image.tar"
    assert run.commands == [
        [
            str(tmp_path / "docker"), "buildx", "build", "--provenance=false", "--sbom=false",
            "--build-arg", "SOURCE_DATE_EPOCH=315532800",
            "--output", "type=oci,dest=/out/image.tar,rewrite-timestamp=true",
            "--no-cache", *ASKED, "--file", "/src/D", "/src",
        ]
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "verb"), [("buildah", "push"), ("docker", "save")])
def test_an_image_that_cannot_be_exported_is_removed_too(tmp_path: Path, name: str, verb: str) -> None:
    chosen, run = builder(tmp_path, name, **{verb: None})
    with pytest.raises(UnavailableError):
        chosen.build(REQUEST, Path("/out"), print)
    assert run.commands[-1][1] in ("rmi", "image")


def test_digests_of_base_images(tmp_path: Path) -> None:
    base = BaseImage("debian:12")
    buildah, _ = builder(tmp_path, "buildah", inspect=json.dumps({"FromImageDigest": DIGEST}))
    docker, _ = builder(tmp_path, "docker", image=json.dumps([f"debian@{DIGEST}"]))
    assert buildah.digest_of(base) == docker.digest_of(base) == DIGEST
    for said in (None, "", "[]", "null", '{"FromImageDigest": "x"}', '["debian"]'):
        assert builder(tmp_path, "buildah", inspect=said)[0].digest_of(base) is None
        assert builder(tmp_path, "docker", image=said)[0].digest_of(base) is None


def test_layers_of_base_images(tmp_path: Path) -> None:
    base = BaseImage("debian:12")
    layers = [DIGEST, DIGEST.replace("5a", "6b")]
    told = json.dumps({"OCIv1": {"rootfs": {"diff_ids": layers}}})
    buildah, _ = builder(tmp_path, "buildah", inspect=told)
    docker, run = builder(tmp_path, "docker", image=json.dumps(layers))
    buildx, _ = builder(tmp_path, "buildx", image=json.dumps(layers))
    assert buildah.layers_of(base) == docker.layers_of(base) == buildx.layers_of(base) == tuple(layers)
    assert run.commands[-1][1:] == ["image", "inspect", "--format", "{{json .RootFS.Layers}}", "debian:12"]
    for said in (
        None,
        "",
        "[]",
        "null",
        '{"OCIv1": {}}',
        told.replace("sha256", "sha1"),
        told.replace("[", "[1, "),
    ):
        assert builder(tmp_path, "buildah", inspect=said)[0].layers_of(base) is None
    for said in (None, "", "null", "{}", '"x"', "[1]", '["sha256:x"]'):
        assert builder(tmp_path, "docker", image=said)[0].layers_of(base) is None
        assert builder(tmp_path, "buildx", image=said)[0].layers_of(base) is None


@pytest.mark.parametrize(
    ("there", "answers", "wanted", "chosen"),
    [
        (("docker", "buildah"), {}, None, "docker"),
        (("docker", "buildah"), {"version": None}, None, "buildah"),
        (("docker", "buildah"), {"version": ""}, None, "buildah"),
        (("docker",), {"version": None}, None, "buildx"),
        (("docker",), {"version": None, "buildx": None}, None, None),
        (("docker",), {}, "buildah", None),
        (("buildah",), {"--version": "podman"}, None, None),
        ((), {}, None, None),
    ],
)
def test_the_builder_that_answers_is_chosen(
    tmp_path: Path,
    there: tuple[str, ...],
    answers: dict[str, str | None],
    wanted: str | None,
    chosen: str | None,
) -> None:
    run = Recorder(ANSWERS | answers)
    if chosen is not None:
        assert choose_builder(wanted, programs(tmp_path, *there), run).identity.name == chosen
        return
    with pytest.raises(UnavailableError) as caught:
        choose_builder(wanted, programs(tmp_path, *there), run)
    assert caught.value.code == "builder.missing"
    assert "apt-get install buildah" in str(caught.value.hint)


def test_programs_are_run() -> None:
    lines: list[str] = []
    script = "import sys; print('out'); print('err', file=sys.stderr); print('x' * 9000)"
    assert run_program([sys.executable, "-c", script], lines.append) == ""
    assert (sorted(lines[:2]), sum(map(len, lines[2:]))) == (["err", "out"], 9000)
    assert run_program([sys.executable, "-c", "print(1)"]) == "1\n"


@pytest.mark.parametrize("on_line", [None, lambda line: None])
def test_a_program_that_fails_says_why(on_line: OnLine | None) -> None:
    script = "import sys; print('because\\x1b[2J', file=sys.stderr); sys.exit(4)"
    with pytest.raises(UnavailableError) as caught:
        run_program([sys.executable, "-c", script], on_line)
    assert caught.value.code == "builder.failed"
    assert "status 4" in caught.value.message
    assert caught.value.hint == "because\\u{1b}[2J"
    with pytest.raises(UnavailableError) as caught:
        run_program(["/nonexistent/builder", "x"], on_line)
    assert caught.value.code == "builder.missing"
