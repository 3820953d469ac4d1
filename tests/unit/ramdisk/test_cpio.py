from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from glassclave.errors import ParseError
from glassclave.ramdisk.bootstrap import BytesContent, bootstrap_ramdisk
from glassclave.ramdisk.cpio import CpioEntry, write_archive


def archive(*entries: CpioEntry) -> bytes:
    return b"".join(write_archive(entries))


def test_one_file_byte_for_byte() -> None:
    data = archive(
        CpioEntry(
            name=b"ab", mode=0o100644, inode=1, uid=5, gid=6, mtime=7, size=3, content=BytesContent(b"xyz")
        )
    )
    head = b"070701" + b"%08x" * 13 % (1, 0o100644, 5, 6, 1, 7, 3, 0, 0, 0, 0, 3, 0)
    trailer = b"070701" + b"%08x" * 13 % (0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 11, 0) + b"TRAILER!!!\0"
    expected = head + b"ab\0" + b"\0\0\0" + b"xyz\0" + trailer
    assert data[: len(expected)] == expected
    assert len(data) == 512
    assert set(data[len(expected) :]) == {0}


def test_gnu_cpio_reads_it_back(tmp_path: Path) -> None:
    if shutil.which("cpio") is None:
        pytest.skip("GNU cpio is not installed")
    content = BytesContent(b"shared")
    data = archive(
        CpioEntry(name=b"d", mode=0o040755, inode=1, links=2),
        CpioEntry(name=b"d/one", mode=0o104755, inode=2, links=2, size=6, mtime=315532800, content=content),
        CpioEntry(name=b"d/two", mode=0o104755, inode=2, links=2, mtime=315532800),
        CpioEntry(name=b"link", mode=0o120777, inode=3, size=5, content=BytesContent(b"d/one")),
    )
    subprocess.run(
        ["cpio", "-idm", "--no-absolute-filenames", "--quiet"], input=data, cwd=tmp_path, check=True
    )
    one, two = (tmp_path / "d" / name for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes() == b"shared"
    assert one.stat().st_ino == two.stat().st_ino
    assert (tmp_path / "link").readlink() == Path("d/one")
    assert int(one.stat().st_mtime) == 315532800


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (CpioEntry(name=b"TRAILER!!!", mode=0o100644, inode=1), "ramdisk.name"),
        (CpioEntry(name=b"x", mode=0o100644, inode=1, uid=1 << 32), "ramdisk.field.range"),
        (CpioEntry(name=b"x", mode=0o100644, inode=1, mtime=-1), "ramdisk.field.range"),
        (CpioEntry(name=b"x", mode=0o100644, inode=1, size=1 << 32), "ramdisk.field.range"),
        (
            CpioEntry(name=b"x", mode=0o100644, inode=1, size=2, content=BytesContent(b"abc")),
            "ramdisk.content.size",
        ),
        (
            CpioEntry(name=b"x", mode=0o100644, inode=1, size=4, content=BytesContent(b"abc")),
            "ramdisk.content.size",
        ),
    ],
)
def test_what_the_format_cannot_hold_is_refused(entry: CpioEntry, code: str) -> None:
    with pytest.raises(ParseError) as caught:
        archive(entry)
    assert caught.value.code == code


def test_bootstrap_ramdisk_is_the_same_bytes_every_time() -> None:
    assert b"".join(bootstrap_ramdisk(b"init")) == b"".join(bootstrap_ramdisk(b"init"))
    with_module = b"".join(bootstrap_ramdisk(b"init", b"module"))
    names = [name for name in (b"dev\0", b"init\0", b"nsm.ko\0", b"TRAILER!!!\0") if name in with_module]
    assert names == [*sorted(names[:3]), b"TRAILER!!!\0"]
