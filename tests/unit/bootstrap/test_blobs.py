import os
from pathlib import Path

import pytest

from glassclave.bootstrap import load_directory
from glassclave.errors import GlassclaveError

CMDLINE = b"reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=on"
CONFIG = b"#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 4.14.256-209.484 Kernel Config\n"


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    """AWS's layout: the command line with the newline that nitro-cli trims."""
    for name, data in {"bzImage": b"kernel", "cmdline": CMDLINE + b"\n", "init": b"init"}.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def code_of(path: Path) -> str:
    with pytest.raises(GlassclaveError) as caught:
        load_directory(path)
    assert caught.value.source is not None
    return caught.value.code


def test_aws_s_layout_is_read(blobs: Path) -> None:
    (blobs / "nsm.ko").write_bytes(b"module")
    (blobs / "bzImage.config").write_bytes(CONFIG)
    bootstrap = load_directory(blobs)
    assert (bootstrap.kernel, bootstrap.cmdline, bootstrap.init) == (b"kernel", CMDLINE, b"init")
    assert (bootstrap.nsm_module, bootstrap.architecture, bootstrap.name) == (b"module", "x86_64", "custom")
    assert (bootstrap.os_name, bootstrap.kernel_version) == ("Linux", "4.14.256")


def test_module_and_configuration_may_be_missing(blobs: Path) -> None:
    bootstrap = load_directory(blobs)
    assert bootstrap.nsm_module is None
    assert (bootstrap.os_name, bootstrap.kernel_version) == ("unknown", "unknown")


def test_an_image_is_an_arm_kernel(blobs: Path) -> None:
    (blobs / "bzImage").rename(blobs / "Image")
    assert load_directory(blobs).architecture == "aarch64"


def test_two_kernels_or_none_are_refused(blobs: Path) -> None:
    (blobs / "Image").write_bytes(b"kernel")
    assert code_of(blobs) == "bootstrap.directory.kernel"
    (blobs / "Image").unlink()
    (blobs / "bzImage").unlink()
    assert code_of(blobs) == "bootstrap.directory.kernel"


@pytest.mark.parametrize("name", ["cmdline", "init"])
def test_a_missing_or_empty_part_is_refused(blobs: Path, name: str) -> None:
    (blobs / name).write_bytes(b"")
    assert code_of(blobs) == "bootstrap.file.empty"
    (blobs / name).unlink()
    assert code_of(blobs) == "bootstrap.file.missing"


@pytest.mark.parametrize("text", [b"a\nb", b"a\0b"])
def test_a_command_line_of_two_lines_is_refused(blobs: Path, text: bytes) -> None:
    (blobs / "cmdline").write_bytes(text)
    assert code_of(blobs) == "bootstrap.cmdline"


def test_a_long_command_line_is_refused(blobs: Path) -> None:
    (blobs / "cmdline").write_bytes(b"x" * 4097)
    assert code_of(blobs) == "bootstrap.file.size"


def test_a_fifo_does_not_hold_us(blobs: Path) -> None:
    (blobs / "init").unlink()
    os.mkfifo(blobs / "init")
    assert code_of(blobs) == "bootstrap.file.kind"
