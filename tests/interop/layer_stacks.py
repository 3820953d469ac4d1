"""Stacks of layers for Hypothesis: few names that meet often, in every form of tar, each header by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from glassclave.errors import ParseError
from tests.unit.image.archives import merged

FORMS = ("v7", "ustar", "gnu", "pax")
NAMES = (
    b"a",
    b"b",
    b"c d",
    b"-e",
    b"\xff\xfe",  # no UTF-8
    "é".encode(),
    b"e\xcc\x81",  # the same to the eye
    b"n" * 101,  # longer than the field
    b"\xe9" * 254 + b"z",  # as long as names get
    b"l" * 100,  # fills the field: no NUL behind it
)
TARGETS = (b"a", b"../a", b"/b", b"..", b"b/../a", b"c d", b"\xff\xfe", b"t" * 101, b"gone/" * 40, b"./b/")
MODES = st.one_of(st.sampled_from([0o644, 0o755, 0o4755, 0o2711, 0o1777, 0, 0o7777]), st.integers(0, 0o7777))
OWNERS = st.sampled_from([0, 0, 1, 1000, 65535, 0o7777777, 0o10000000, 0x7FFFFFFF, 0xFFFFFFFE])
TIMES = st.sampled_from([0, 1, 315532800, (1 << 31) - 1, 1 << 31, 1 << 32, -1, -86400])
CONTENTS = st.one_of(st.binary(max_size=3), st.sampled_from([b"x" * 511, b"y" * 512, b"z" * 513]))
KINDS = "ffdddllhhhpcwwo"
_FLAGS = {"f": b"0", "h": b"1", "l": b"2", "c": b"3", "d": b"5", "p": b"6"}


@dataclass(frozen=True)
class Entry:
    """A member. ``kind``: a letter as in other tests, ``w`` a whiteout of ``path``, ``o`` opaque."""

    path: bytes
    kind: str
    data: bytes = b""
    target: bytes = b""
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int = 0


@dataclass(frozen=True)
class DrawnLayer:
    """Members in their order, and the form that they are written in."""

    form: str
    entries: tuple[Entry, ...]

    def tar(self) -> bytes:
        return b"".join(written(entry, self.form) for entry in self.entries) + bytes(1024)


paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(b"/".join)
entries = st.builds(
    Entry,
    path=paths,
    kind=st.sampled_from(KINDS),
    data=CONTENTS,
    target=st.one_of(st.sampled_from(TARGETS), paths),
    mode=MODES,
    uid=OWNERS,
    gid=OWNERS,
    mtime=TIMES,
)


@st.composite
def stacks(draw: st.DrawFn) -> tuple[DrawnLayer, ...]:
    """Layers that can be applied: what we refuse is left out again while they are drawn."""
    layers: list[DrawnLayer] = []
    for _ in range(draw(st.integers(1, 4))):
        layer = DrawnLayer(draw(st.sampled_from(FORMS)), ())
        for entry in draw(st.lists(entries, min_size=1, max_size=10)):
            bare = entry if entry.kind in "fl" else replace(entry, data=b"")
            longer = replace(layer, entries=(*layer.entries, bare))
            try:
                merged(*(one.tar() for one in (*layers, longer)))
            except ParseError:
                continue
            layer = longer
        layers.append(layer)
    return tuple(layers)


def written(entry: Entry, form: str) -> bytes:
    """Header blocks and data of one member."""
    path, flag = entry.path, _FLAGS.get(entry.kind, b"0")
    if entry.kind == "w":
        head, slash, name = path.rpartition(b"/")
        path = head + slash + b".wh." + name
    elif entry.kind == "o":
        path += b"/.wh..wh..opq"
    elif entry.kind == "d":
        path += b"/"
    target = entry.target if entry.kind in "lh" else b""
    data = entry.data if entry.kind == "f" else b""
    if form == "v7" and entry.kind in "cp":
        form = "ustar"  # v7 has none
    if form == "v7" and flag in b"05":
        flag = b"\0"
    fits = len(path) <= 100 and len(target) <= 100
    small = max(entry.uid, entry.gid) <= 0o7777777 and 0 <= entry.mtime < 1 << 33
    if form in ("v7", "ustar") and not (fits and small):
        form = "gnu"  # as writers do that have met such a name
    before = b""
    if form == "gnu":
        before = _gnu_long(b"L", path) + _gnu_long(b"K", target)
    elif form == "pax":
        before = _pax(entry, path, target)
    header = _header(entry, form, flag, path, target, len(data))
    return before + header + data + bytes(-len(data) % 512)


def _gnu_long(flag: bytes, text: bytes) -> bytes:
    if len(text) <= 100:
        return b""
    body = text + b"\0"
    header = _header(Entry(b"", "f"), "gnu", flag, b"././@LongLink", b"", len(body))
    return header + body + bytes(-len(body) % 512)


def _pax(entry: Entry, path: bytes, target: bytes) -> bytes:
    records = {b"mtime": b"%d.25" % entry.mtime if entry.mtime >= 0 else b"%d" % entry.mtime}
    records |= {b"path": path, b"uid": b"%d" % entry.uid, b"gid": b"%d" % entry.gid}
    if target:
        records[b"linkpath"] = target
    body = b"".join(_record(key, value) for key, value in records.items())
    return _header(Entry(b"", "f"), "pax", b"x", b"pax", b"", len(body)) + body + bytes(-len(body) % 512)


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return b"%d" % length + rest


def _number(value: int, size: int, form: str) -> bytes:
    if 0 <= value < 8 ** (size - 1):
        return b"%0*o\0" % (size - 1, value)
    if form == "pax":  # the record says it
        return b"0" * (size - 1) + b"\0"
    first = b"\x80" if value >= 0 else b"\xff"
    return first + (value % (1 << 8 * (size - 1))).to_bytes(size - 1, "big")


def _header(entry: Entry, form: str, flag: bytes, path: bytes, target: bytes, size: int) -> bytes:
    magic = {"v7": bytes(8), "gnu": b"ustar  \0"}.get(form, b"ustar\00000")
    device = (1, 3) if entry.kind == "c" else (0, 0)
    numbers = b"".join(
        _number(value, length, form)
        for value, length in ((entry.mode, 8), (entry.uid, 8), (entry.gid, 8), (size, 12), (entry.mtime, 12))
    )
    devices = bytes(16) if form == "v7" else b"".join(_number(number, 8, form) for number in device)
    block = path[:100].ljust(100, b"\0") + numbers + b" " * 8 + flag + target[:100].ljust(100, b"\0") + magic
    block = (block + bytes(64) + devices).ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
