"""What our writer of ramdisks writes, our reader lists; anything else ends in words."""

from __future__ import annotations

import hashlib
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassclave.errors import ParseError
from glassclave.ramdisk.bootstrap import BytesContent
from glassclave.ramdisk.cpio import TRAILER_NAME, CpioEntry, write_archive
from glassclave.ramdisk.listing import ListedEntry, list_archive
from glassclave.streams import BytesSource

NAMES = st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name and name != TRAILER_NAME)
NUMBERS = st.integers(0, 0xFFFFFFFF)
ENTRIES = st.lists(
    st.builds(
        lambda name, data, inode, uid, gid, mtime, device: CpioEntry(
            name=name,
            mode=stat.S_IFREG | 0o644,
            inode=inode,
            uid=uid,
            gid=gid,
            mtime=mtime,
            size=len(data),
            device=device,
            content=BytesContent(data),
        ),
        NAMES, st.binary(max_size=50), NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.tuples(NUMBERS, NUMBERS),
    ),
    max_size=8,
)  # fmt: skip


def listed(data: bytes) -> list[ListedEntry]:
    return list(list_archive(BytesSource(b"before" + data), 6, len(data), name="r"))


@given(ENTRIES)
def test_what_is_written_is_listed(entries: list[CpioEntry]) -> None:
    found = listed(b"".join(write_archive(entries)))
    assert [
        (one.name, one.mode, one.inode, one.uid, one.gid, one.mtime, one.size, one.device) for one in found
    ] == [
        (one.name, one.mode, one.inode, one.uid, one.gid, one.mtime, one.size, one.device) for one in entries
    ]
    digests = [hashlib.sha256(b"".join(one.content.chunks())).digest() for one in entries]
    assert [one.sha256 for one in found] == digests


@given(ENTRIES, st.data())
def test_anything_else_ends_in_words(entries: list[CpioEntry], data: st.DataObject) -> None:
    archive = bytearray(b"".join(write_archive(entries)))
    for _ in range(data.draw(st.integers(0, 3))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(archive)))
    try:
        listed(bytes(archive[:cut]))
    except ParseError as error:
        assert error.code.startswith("ramdisk.cpio.")
        assert error.source == "r"


@pytest.mark.parametrize(
    ("at", "value", "code"),
    [
        (0, b"1", "ramdisk.cpio.magic"),
        (5, b"2", "ramdisk.cpio.magic"),
        (6, b"+", "ramdisk.cpio.number"),
        (6, b"_", "ramdisk.cpio.number"),
        (54, b"f", "ramdisk.cpio.truncated"),
        (94, b"f", "ramdisk.cpio.name"),
        (94, b"00000000", "ramdisk.cpio.name"),
    ],
)
def test_one_fault_is_named(at: int, value: bytes, code: str) -> None:
    archive = bytearray(b"".join(write_archive([CpioEntry(name=b"a", mode=0, inode=1)])))
    archive[at : at + len(value)] = value
    with pytest.raises(ParseError) as caught:
        listed(bytes(archive))
    assert caught.value.code == code
