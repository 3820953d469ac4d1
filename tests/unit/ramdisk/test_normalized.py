"""Normalizers on contents that stream by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from glassclave.image.config import Process
from glassclave.image.tree import FileTree, Kind, Node
from glassclave.normalizers import rules
from glassclave.ramdisk.application import LayoutOptions, LayoutReport, application_ramdisk, applied_rules
from glassclave.ramdisk.normalized import normalized

RULES = rules("glassclave-1")
STALE = bytes.fromhex("a70d0d0a00000000785634120500000063") + b"body" * 9
FRESH = STALE[:8] + (7).to_bytes(4, "little") + STALE[12:]


@dataclass(frozen=True)
class Pieces:
    """A content in pieces, that says how far it was read."""

    pieces: tuple[bytes | memoryview, ...]

    def chunks(self) -> Iterator[bytes | memoryview]:
        return iter(self.pieces)


def read(path: bytes, *pieces: bytes | memoryview) -> tuple[bytes, dict[str, int]]:
    changed: dict[str, int] = {}
    content = normalized(path, Pieces(pieces), RULES, mtime=7, changed=changed)
    return b"".join(bytes(piece) for piece in content.chunks()), changed


@pytest.mark.parametrize("cut", [1, 4, 8, 15, 16, 17, len(STALE)])
def test_the_head_may_come_in_any_pieces(cut: int) -> None:
    assert read(b"a.pyc", STALE[:cut], memoryview(STALE)[cut:]) == (FRESH, {"pyc": 1})


def test_byte_by_byte() -> None:
    assert read(b"a.pyc", *(STALE[at : at + 1] for at in range(len(STALE)))) == (FRESH, {"pyc": 1})


def test_what_is_canonical_already_is_not_counted() -> None:
    assert read(b"a.pyc", FRESH) == (FRESH, {})


@pytest.mark.parametrize("data", [b"", b"\0", STALE[:15]])
def test_a_file_without_a_whole_header_is_left_alone(data: bytes) -> None:
    assert read(b"a.pyc", data) == (data, {})


def test_other_names_are_not_even_wrapped() -> None:
    content = Pieces((STALE,))
    assert normalized(b"a.py", content, RULES, mtime=7, changed={}) is content


def ramdisk(options: LayoutOptions, report: LayoutReport) -> bytes:
    tree = FileTree(
        {b"a.pyc": Node(kind=Kind.FILE, mode=0o644, mtime=9, size=len(STALE), content=Pieces((STALE,)))}
    )
    pieces = application_ramdisk(tree, Process(argv=("a",)), options, report)
    return b"".join(bytes(piece) for piece in pieces)


def test_the_header_gets_the_time_of_the_layout() -> None:
    report = LayoutReport()
    assert FRESH in ramdisk(LayoutOptions(mtime=7), report)
    assert report.normalized == {"pyc": 1}
    assert [rule.id for rule in applied_rules(LayoutOptions(mtime=7))] == ["pyc"]


def test_with_kept_times_nothing_is_rewritten() -> None:
    report = LayoutReport()
    assert STALE in ramdisk(LayoutOptions(mtime=None), report)
    assert report.normalized == {}
    assert applied_rules(LayoutOptions(mtime=None)) == ()
