from __future__ import annotations

import pytest

from glassclave.errors import ParseError, RefusedError
from glassclave.image.config import Process
from glassclave.image.tree import FileTree, Kind, Node
from glassclave.ramdisk.application import LayoutOptions, LayoutReport, application_ramdisk, check_attributes
from glassclave.ramdisk.bootstrap import BytesContent
from glassclave.ramdisk.process import encode_process

PROCESS = Process(argv=("/bin/app", "-x"), env=("A=1\n2",), working_directory="/srv", user="7:8")


def headers(data: bytes) -> list[tuple[bytes, list[int], bytes]]:
    """An independent reader: name, the thirteen fields, data of every entry."""
    found: list[tuple[bytes, list[int], bytes]] = []
    at = 0
    while True:
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 109 + fields[11]]
        at += (110 + fields[11] + 3) & ~3
        if name == b"TRAILER!!!":
            return found
        found.append((name, fields, data[at : at + fields[6]]))
        at += (fields[6] + 3) & ~3


def build(tree: FileTree, options: LayoutOptions | None = None) -> tuple[bytes, LayoutReport]:
    report = LayoutReport()
    data = b"".join(
        bytes(piece) for piece in application_ramdisk(tree, PROCESS, options or LayoutOptions(), report)
    )
    return data, report


def file(data: bytes, mtime: int = 0) -> Node:
    return Node(kind=Kind.FILE, mode=0o644, size=len(data), content=BytesContent(data), mtime=mtime)


def test_the_process_file_is_what_the_specification_says() -> None:
    assert encode_process(PROCESS) == b"glassclave-process-1\na/bin/app\0a-x\0eA=1\n2\0d/srv\0u7:8\0"


def test_a_process_too_large_for_init_is_refused() -> None:
    with pytest.raises(ParseError) as caught:
        encode_process(Process(argv=("x" * (1 << 20),)))
    assert caught.value.code == "build.process.size"


def test_entries_are_sorted_and_inodes_sequential() -> None:
    tree = FileTree({b"z": file(b"1"), b"a": Node(kind=Kind.DIRECTORY, mode=0o755), b"a/x": file(b"22")})
    data, report = build(tree)
    assert [name for name, _, _ in headers(data)] == [
        b"process",
        b"rootfs",
        b"rootfs/a",
        b"rootfs/a/x",
        b"rootfs/z",
    ]
    assert [fields[0] for _, fields, _ in headers(data)] == [1, 2, 3, 4, 5]
    assert report.entries == 3


def test_every_time_is_the_constant() -> None:
    tree = FileTree({b"a": file(b"", mtime=5), b"b": file(b"", mtime=315532800)})
    data, report = build(tree)
    assert {fields[5] for _, fields, _ in headers(data)} == {315532800}
    assert report.times_changed == 1
    kept, _ = build(tree, LayoutOptions(mtime=None))
    assert [fields[5] for _, fields, _ in headers(kept)][2:] == [5, 315532800]


def test_hard_links_share_an_inode_and_the_data_stands_once() -> None:
    shared = file(b"data")
    data, _ = build(FileTree({b"a": shared, b"b": file(b"x"), b"c": shared}))
    by_name = {name: (fields, body) for name, fields, body in headers(data)}
    first, second = by_name[b"rootfs/a"], by_name[b"rootfs/c"]
    assert first[0][0] == second[0][0]
    assert (first[0][4], second[0][4]) == (2, 2)
    assert (first[1], second[1]) == (b"data", b"")
    assert by_name[b"rootfs/b"][0][4] == 1


def test_a_hard_linked_symlink_keeps_its_target_under_both_names() -> None:
    link = Node(kind=Kind.SYMLINK, mode=0o777, target=b"to")
    found = headers(build(FileTree({b"a": link, b"b": link}))[0])[2:]
    assert [body for _, _, body in found] == [b"to", b"to"]
    assert [fields[4] for _, fields, _ in found] == [1, 1]
    assert found[0][1][0] != found[1][1][0]


def test_devices_owners_and_modes_are_kept() -> None:
    tree = FileTree({b"dev": Node(kind=Kind.CHARACTER, mode=0o2666, uid=3, gid=4, device=(1, 300))})
    fields = headers(build(tree)[0])[2][1]
    assert (fields[1], fields[2], fields[3]) == (0o022666, 3, 4)
    assert (fields[9], fields[10]) == (1, 300)


def test_file_capabilities_are_not_lost_in_silence() -> None:
    tree = FileTree({b"ping": Node(kind=Kind.FILE, mode=0o755, attributes=("security.capability",))})
    with pytest.raises(RefusedError) as caught:
        check_attributes(tree, LayoutOptions())
    assert caught.value.code == "build.file-capabilities"
    assert caught.value.field == "ping"
    check_attributes(tree, LayoutOptions(drop_file_capabilities=True))
