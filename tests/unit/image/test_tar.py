"""The tar reader: dialects it reads, and what it refuses, each by the smallest change."""

from __future__ import annotations

import io
import tarfile

import pytest

from glassclave.errors import LimitError, ParseError
from glassclave.image.tar import BLOCK, MAX_EXTENSION, TarEntry, read_entries
from tests.unit.image.archives import member, tar

FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def entries(data: bytes) -> list[TarEntry]:
    return list(read_entries(memoryview(data), source="test.tar"))


def refused(data: bytes) -> ParseError:
    with pytest.raises(ParseError) as caught:
        entries(data)
    assert caught.value.source == "test.tar"
    return caught.value


def with_checksum(block: bytes) -> bytes:
    total = sum(block) - sum(block[148:156]) + 8 * 32
    return block[:148] + b"%06o\0 " % total + block[156:]


def changed(data: bytes, offset: int, new: bytes, *, header: int = 0) -> bytes:
    """``data`` with bytes of a header replaced and its checksum made right again."""
    block = data[header : header + BLOCK]
    block = with_checksum(block[:offset] + new + block[offset + len(new) :])
    return data[:header] + block + data[header + BLOCK :]


def extension(letter: bytes, body: bytes) -> bytes:
    """An extension header with its body."""
    block = bytearray(tar(member("x"), form=tarfile.USTAR_FORMAT)[:BLOCK])
    block[124:136] = b"%011o\0" % len(body)
    block[156:157] = letter
    return with_checksum(bytes(block)) + body + bytes(-len(body) % BLOCK)


def record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


ONE = tar(member("f", "f", b"data"), form=tarfile.USTAR_FORMAT)
END = bytes(2 * BLOCK)


@pytest.mark.parametrize("form", FORMS)
def test_every_dialect_gives_the_same_entries(form: str) -> None:
    data = tar(
        member("d/", "d", mode=0o2755),
        member("d/f", "f", b"data", mode=0o4755, uid=1000, gid=1001, mtime=1_700_000_000),
        member("d/l", "l", "../x"),
        member("h", "h", "d/f"),
        member("c", "c", (5, 1)),
        form=FORMS[form],
    )
    directory, file, link, hard, device = entries(data)
    assert (directory.type, directory.mode) == (b"5", 0o2755)
    assert data[file.offset : file.offset + file.size] == b"data"
    assert (file.mode, file.uid, file.gid, file.mtime) == (0o4755, 1000, 1001, 1_700_000_000)
    assert (link.type, link.link, hard.type, hard.link) == (b"2", b"../x", b"1", b"d/f")
    assert (device.type, device.device) == (b"3", (5, 1))


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_long_and_foreign_names_and_targets(form: str) -> None:
    name, target = "é/" * 90 + "ü", "ö" * 120
    (entry,) = entries(tar(member(name, "l", target), form=FORMS[form]))
    assert (entry.name, entry.link) == (name.encode(), target.encode())


def test_a_ustar_prefix_is_part_of_the_name_and_gnu_has_none() -> None:
    name = "p" * 100 + "/" + "n" * 80
    data = tar(member(name), form=tarfile.USTAR_FORMAT)
    assert entries(data)[0].name == name.encode()
    gnu = tar(member("n"), form=tarfile.GNU_FORMAT)
    assert entries(changed(gnu, 345, b"12345670123"))[0].name == b"n"


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_numbers_beyond_octal(form: str) -> None:
    (entry,) = entries(tar(member("f", uid=4_000_000_000, gid=3_000_000, mtime=-5), form=FORMS[form]))
    assert (entry.uid, entry.gid, entry.mtime) == (4_000_000_000, 3_000_000, -5)


def test_v7_marks_a_directory_by_its_slash() -> None:
    empty = tar(member("d"), form=tarfile.USTAR_FORMAT)
    v7 = changed(empty, 156, bytes(1 + 100 + 8))  # type, link, magic, version
    assert entries(v7)[0].type == b"0"
    assert entries(changed(v7, 0, b"d/"))[0].type == b"5"


def test_pax_wins_over_the_header_and_its_last_record_counts() -> None:
    body = (
        record(b"path", b"no") + record(b"path", b"name") + record(b"size", b"2") + record(b"mtime", b"9.99")
    )
    (entry,) = entries(extension(b"x", body) + ONE)
    assert (entry.name, entry.size, entry.mtime) == (b"name", 2, 9)


def test_pax_holds_for_one_entry_only_and_an_empty_value_takes_it_back() -> None:
    first, second = entries(extension(b"x", record(b"path", b"a")) + ONE[: 2 * BLOCK] + ONE)
    assert (first.name, second.name) == (b"a", b"f")
    taken_back = record(b"path", b"a") + record(b"path", b"")
    assert entries(extension(b"x", taken_back) + ONE)[0].name == b"f"


def test_names_of_extended_attributes_are_kept() -> None:
    body = record(b"SCHILY.xattr.user.b", b"1") + record(b"SCHILY.xattr.security.capability", b"\0\n=")
    assert entries(extension(b"x", body) + ONE)[0].attributes == ("security.capability", "user.b")


def test_a_global_header_is_ignored_unless_it_would_change_entries() -> None:
    assert entries(extension(b"g", record(b"comment", b"c")) + ONE)[0].name == b"f"
    for key in (b"path", b"size", b"uid", b"mtime", b"SCHILY.xattr.user.a", b"GNU.sparse.major"):
        assert refused(extension(b"g", record(key, b"1")) + ONE).code == "image.tar.pax-global"


def test_an_archive_may_end_without_zero_blocks_or_padding() -> None:
    assert len(entries(ONE[: 2 * BLOCK])) == 1
    assert len(entries(ONE[: BLOCK + 4])) == 1  # as umoci writes it
    assert entries(b"") == entries(END) == []


def test_what_follows_two_zero_blocks_is_no_entry_and_one_in_the_middle_is_damage() -> None:
    assert len(entries(ONE[: 2 * BLOCK] + END + ONE)) == 1
    error = refused(ONE[: 2 * BLOCK] + bytes(BLOCK) + ONE)
    assert (error.code, error.offset) == ("image.tar.end", 2 * BLOCK)


@pytest.mark.parametrize("length", [1, BLOCK - 1])
def test_a_header_cut_short_is_refused(length: int) -> None:
    assert refused(ONE[:length]).code == "image.tar.truncated"


def test_data_cut_short_is_refused() -> None:
    assert refused(ONE[: BLOCK + 3]).code == "image.tar.truncated"
    long_name = extension(b"L", b"n" * 600)
    assert refused(long_name[: BLOCK + 599]).code == "image.tar.truncated"


@pytest.mark.parametrize("offset", [0, 100, 124, 148, 156, 345, 511])
def test_a_flipped_bit_in_a_header_breaks_its_checksum(offset: int) -> None:
    data = bytearray(ONE)
    data[offset] ^= 1
    assert refused(bytes(data)).code in ("image.tar.checksum", "image.tar.number")


@pytest.mark.parametrize(
    ("offset", "new", "code"),
    [
        (100, b"00006x4\0", "number"),  # mode
        (108, b"\xff" * 8, "number"),  # uid -1
        (108, b"\x80\0\0\1\0\0\0\0", "number"),  # uid 2^32
        (108, b"\xc0" + bytes(7), "number"),
        (124, b"\xff" * 12, "size"),
        (124, b"-0000000001\0", "number"),
        (124, b"0_000000001\0", "number"),
        (124, b"0o000000001\0", "number"),
        (156, b"S", "sparse"),
        (156, b"M", "type"),
        (156, b"V", "type"),
        (156, b"\x80", "type"),
    ],
)  # fmt: skip
def test_fields_that_mean_nothing_are_refused(offset: int, new: bytes, code: str) -> None:
    assert refused(changed(ONE, offset, new)).code == f"image.tar.{code}"


def test_a_device_number_that_linux_does_not_have_is_refused() -> None:
    data = tar(member("c", "c", (1, 3)), form=tarfile.USTAR_FORMAT)
    assert refused(changed(data, 329, b"0010000\0")).code == "image.tar.number"


@pytest.mark.parametrize(
    "body",
    [
        b"5 a=b\n", b"7 a=b\n", b"x a=b\n", b"6 abc\n", b"6 =bc\n", b"6 a=bc", b"99999999999999 a=b\n",
        b"0 a=b\n", b"a",
    ],
)  # fmt: skip
def test_malformed_pax_records_are_refused(body: bytes) -> None:
    assert entries(extension(b"x", b"6 a=b\n") + ONE)
    assert refused(extension(b"x", body) + ONE).code == "image.tar.pax"


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        (b"size", b"-1", "size"),
        (b"size", b"1.5", "number"),
        (b"size", b"0x1", "number"),
        (b"size", b"9" * 30, "number"),
        (b"size", b"10241", "truncated"),
        (b"uid", b"4294967296", "number"),
        (b"uid", b"-1", "number"),
        (b"mtime", b"now", "number"),
        (b"path", b"a\0b", "nul"),
        (b"linkpath", b"a\0b", "nul"),
        (b"GNU.sparse.major", b"1", "sparse"),
    ],
)
def test_pax_values_that_mean_nothing_are_refused(key: bytes, value: bytes, code: str) -> None:
    assert refused(extension(b"x", record(key, value)) + ONE).code == f"image.tar.{code}"


def test_the_pax_size_rules_where_the_next_header_is() -> None:
    # A reader that takes the header's size here sees other entries than we do (CVE-2025-62518).
    inner = tar(member("hidden"), form=tarfile.USTAR_FORMAT)[:BLOCK]
    outer = changed(tar(member("f"), form=tarfile.USTAR_FORMAT), 124, b"%011o\0" % 0)[:BLOCK]
    data = extension(b"x", record(b"size", b"512")) + outer + inner + END
    assert [entry.name for entry in entries(data)] == [b"f"]


@pytest.mark.parametrize("letters", [b"xx", b"LL", b"KK"])
def test_two_extensions_of_one_kind_are_refused(letters: bytes) -> None:
    parts = [extension(bytes([letter]), record(b"path", b"a")) for letter in letters]
    assert entries(parts[0] + ONE)
    assert refused(b"".join(parts) + ONE).code == "image.tar.extension"


@pytest.mark.parametrize(("letter", "key"), [(b"L", b"path"), (b"K", b"linkpath")])
def test_a_gnu_and_a_pax_name_for_one_entry_are_refused(letter: bytes, key: bytes) -> None:
    pax, gnu = extension(b"x", record(key, b"a")), extension(letter, b"b\0")
    assert refused(pax + gnu + ONE).code == refused(gnu + pax + ONE).code == "image.tar.extension"


def test_an_extension_without_an_entry_is_refused() -> None:
    assert refused(extension(b"x", record(b"path", b"a")) + END).code == "image.tar.extension"


def test_an_extension_larger_than_any_real_one_is_refused_before_it_is_read() -> None:
    block = changed(extension(b"x", b""), 124, b"%011o\0" % (MAX_EXTENSION + 1))
    error = refused(block)
    assert isinstance(error, LimitError)
    assert error.code == "image.tar.extension"


def test_python_reads_what_we_read() -> None:
    data = tar(*(member(f"dir/{n}", "f", b"x" * n) for n in range(1500)[::100]))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        theirs = [(info.name.encode(), info.offset_data, info.size) for info in archive]
    assert [(entry.name, entry.offset, entry.size) for entry in entries(data)] == theirs


def ustar(name: bytes = b"f", **fields: bytes) -> bytes:
    """A header with fields replaced, its data, and the end."""
    places = {"name": 0, "mode": 100, "size": 124, "kind": 156, "magic": 257, "prefix": 345, "trailer": 508}
    data = changed(tar(member("f", "f", b"data"), form=tarfile.USTAR_FORMAT), 0, name + b"\0")
    for field, value in fields.items():
        data = changed(data, places[field], value)
    return data


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (ustar(b"d/"), "image.tar.type"),
        (ustar(b"d/", kind=b"\0"), "image.tar.size"),
        (ustar(size=b"\x000000000004"), "image.tar.number"),
        (ustar(mode=b"\x00004755"), "image.tar.number"),
        (ustar(kind=b"7"), "image.tar.type"),
        (ustar(magic=b"ustar\x0000", prefix=b"p", trailer=b"tar\0"), "image.tar.prefix"),
        (ustar(magic=b"ustar  \0", prefix=b"etc/deep"), "image.tar.prefix"),
        (extension(b"L", b"") + ONE, "image.tar.extension"),
        (extension(b"L", b"\0x") + ONE, "image.tar.extension"),
        (extension(b"K", b"\0") + ONE, "image.tar.extension"),
    ],
)
def test_what_two_readers_take_differently_is_refused(data: bytes, code: str) -> None:
    """Each is one tree to Go's reader (containerd, umoci) and another to GNU's or Python's."""
    assert refused(data).code == code


def test_what_only_looks_so_is_read() -> None:
    assert [one.type for one in entries(ustar(b"d/", kind=b"\0", size=b"00000000000\0")[:BLOCK] + END)] == [
        b"5"
    ]
    (times,) = entries(ustar(magic=b"ustar  \0", prefix=b"14524770331\x0014524770331\0"))
    assert times.name == b"f"
    (prefixed,) = entries(ustar(magic=b"ustar\x0000", prefix=b"etc"))
    assert prefixed.name == b"etc/f"
