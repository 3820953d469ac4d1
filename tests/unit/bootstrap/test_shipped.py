import hashlib
import shutil
import struct
from pathlib import Path

import pytest

from glassclave.bootstrap import load_directory, load_shipped, shipped_lock
from glassclave.bootstrap.shipped import load_locked
from glassclave.errors import GlassclaveError, RefusedError

DATA = Path(__file__).resolve().parents[3] / "src/glassclave/bootstrap/data/x86_64"
FILES = ("bzImage", "cmdline", "init", "kernel.config")

REQUIRED = (Path(__file__).parent / "required_options.txt").read_text(encoding="utf-8").split()
ABSENT = (
    "MODULES",
    "SWAP",
    "KALLSYMS",
    "BPF_SYSCALL",
    "IO_URING",
    "BLOCK",
    "PCI",
    "ACPI",
    "DEVMEM",
    "MAGIC_SYSRQ",
    "KEXEC",
    "NETFILTER",
    "VT",
)


def copy_of_shipped(folder: Path) -> Path:
    return Path(shutil.copytree(DATA, folder / "x86_64"))


@pytest.mark.parametrize("name", FILES)
def test_each_shipped_file_has_the_hash_of_the_lock(name: str) -> None:
    data, locked = (DATA / name).read_bytes(), shipped_lock("x86_64").files[name]
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (locked.sha256, locked.size)


@pytest.mark.parametrize("name", FILES)
def test_one_changed_bit_is_refused(tmp_path: Path, name: str) -> None:
    folder = copy_of_shipped(tmp_path)
    assert load_locked(folder, "x86_64") == load_shipped("x86_64")
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(RefusedError) as caught:
        load_locked(folder, "x86_64")
    assert (caught.value.code, caught.value.source) == ("bootstrap.file.digest", name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = copy_of_shipped(tmp_path)
    (folder / "init").unlink()
    with pytest.raises(GlassclaveError) as caught:
        load_locked(folder, "x86_64")
    assert (caught.value.code, caught.value.source) == ("bootstrap.file.missing", "init")


def test_the_kernel_has_what_enclaves_need() -> None:
    lines = (DATA / "kernel.config").read_text(encoding="utf-8").splitlines()
    assert [name for name in REQUIRED if f"CONFIG_{name}=y" not in lines] == []
    assert [name for name in ABSENT if any(line.startswith(f"CONFIG_{name}=") for line in lines)] == []


def test_no_compiler_of_the_builder_is_in_the_configuration() -> None:
    text = (DATA / "kernel.config").read_text(encoding="utf-8")
    assert "CONFIG_RUSTC_VERSION=0\n" in text
    assert "CONFIG_PAHOLE_VERSION=0\n" in text


def test_the_kernel_is_one_that_x86_loaders_take() -> None:
    kernel = load_shipped("x86_64").kernel
    assert kernel[0x202:0x206] == b"HdrS"  # Linux x86 boot protocol, header at 0x1f1
    assert kernel[0x1FE:0x200] == b"\x55\xaa"
    offset = struct.unpack_from("<H", kernel, 0x20E)[0] + 0x200
    version = shipped_lock("x86_64").kernel_version.encode()
    assert kernel[offset:].startswith(version + b" (glassclave@glassclave) ")
    assert len(kernel) < 4 << 20


def test_init_is_static_and_names_no_build_machine() -> None:
    init = load_shipped("x86_64").init
    assert init[:7] == b"\x7fELF\x02\x01\x01"
    (headers,), (size, count) = struct.unpack_from("<Q", init, 0x20), struct.unpack_from("<HH", init, 0x36)
    kinds = [struct.unpack_from("<I", init, headers + index * size)[0] for index in range(count)]
    assert 3 not in kinds  # PT_INTERP: a dynamic loader
    for trace in (b"/home/", b"/".join((b"", b"root", b"")), b"/work", b".zig", b"zig-cache"):
        assert trace not in init


def test_the_command_line_is_one_line() -> None:
    cmdline = load_shipped("x86_64").cmdline
    assert cmdline == b"reboot=k panic=30 console=ttyS0 random.trust_cpu=on"


def test_shipped_files_are_a_bootstrap_directory_too() -> None:
    given, shipped = load_directory(DATA), load_shipped("x86_64")
    assert (given.kernel, given.cmdline, given.init) == (shipped.kernel, shipped.cmdline, shipped.init)
    assert (given.os_name, given.kernel_version) == (shipped.os_name, shipped.kernel_version)
