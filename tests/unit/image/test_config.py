from __future__ import annotations

import pytest

from glassclave.errors import GlassclaveError
from glassclave.image.config import DEFAULT_PATH, ImageConfig, ProcessOptions, process_of

DOCKER = ImageConfig(
    architecture="amd64",
    entrypoint=("/entry", "-e"),
    cmd=("run", "fast"),
    env=("A=1", "PATH=/opt"),
    working_directory="/srv",
    user="app:www",
)


def test_entrypoint_and_cmd_are_joined_as_docker_does() -> None:
    process = process_of(DOCKER, ProcessOptions())
    assert process.argv == ("/entry", "-e", "run", "fast")
    assert process.env == ("PATH=/opt", "A=1")
    assert (process.working_directory, process.user) == ("/srv", "app:www")


def test_a_new_cmd_keeps_the_entrypoint_a_new_entrypoint_drops_the_cmd() -> None:
    assert process_of(DOCKER, ProcessOptions(cmd=("x",))).argv == ("/entry", "-e", "x")
    assert process_of(DOCKER, ProcessOptions(entrypoint=("/other",))).argv == ("/other",)


def test_added_settings_replace_the_images_in_place() -> None:
    process = process_of(DOCKER, ProcessOptions(env=("A=2", "B=", "C=x=y\nz")))
    assert process.env == ("PATH=/opt", "A=2", "B=", "C=x=y\nz")


def test_an_image_that_says_little_gets_dockers_defaults() -> None:
    process = process_of(ImageConfig(architecture="amd64", cmd=("/x",)), ProcessOptions())
    assert process.env == ("PATH=" + DEFAULT_PATH,)
    assert (process.working_directory, process.user) == ("/", "0")


def test_a_relative_working_directory_starts_at_the_root() -> None:
    config = ImageConfig(architecture="amd64", cmd=("/x",), working_directory="srv/app")
    assert process_of(config, ProcessOptions()).working_directory == "/srv/app"


@pytest.mark.parametrize(
    ("config", "options", "code"),
    [
        (ImageConfig(architecture="amd64"), ProcessOptions(), "build.process.missing"),
        (DOCKER, ProcessOptions(env=("NOVALUE",)), "build.process.env"),
        (DOCKER, ProcessOptions(env=("=x",)), "build.process.env"),
        (DOCKER, ProcessOptions(cmd=("a\0b",)), "build.process.nul"),
        (DOCKER, ProcessOptions(user="a\0b"), "build.process.nul"),
        (DOCKER, ProcessOptions(entrypoint=("",)), "build.process.missing"),
        (DOCKER, ProcessOptions(user="ä" * 128), "build.process.size"),
        (DOCKER, ProcessOptions(working_directory="/" * 4096), "build.process.size"),
        (DOCKER, ProcessOptions(cmd=("x" * 131_072,)), "build.process.size"),
        (DOCKER, ProcessOptions(env=("A=" + "x" * 131_070,)), "build.process.size"),
    ],
)
def test_what_cannot_be_started_is_refused(config: ImageConfig, options: ProcessOptions, code: str) -> None:
    with pytest.raises(GlassclaveError) as caught:
        process_of(config, options)
    assert caught.value.code == code


def test_what_linux_and_init_just_take_is_accepted() -> None:
    options = ProcessOptions(
        cmd=("x" * 131_071, ""),
        env=("A=" + "x" * 131_069,),
        working_directory="/" * 4095,
        user="ä" * 127 + "a",
    )
    assert process_of(DOCKER, options).argv[2:] == options.cmd
