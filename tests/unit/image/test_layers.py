"""What layers give together, rule by rule (OCI image-spec, layer.md)."""

from __future__ import annotations

import itertools
import json
import lzma
from hashlib import sha256
from pathlib import Path

import pytest

from glassclave.errors import LimitError, ParseError
from glassclave.flows.source import SourceOptions, open_image
from glassclave.image import layers as layers_module
from glassclave.image.tree import Kind
from glassclave.progress import Silent
from tests.unit.image.archives import LETTERS, content, listing, member, merged, tar

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "nitro-cli"
BASE = tar(
    member("usr", "d"),
    member("usr/lib", "d"),
    member("usr/lib/x", "f", b"X"),
    member("lib", "l", "usr/lib"),
    member("a", "f", b"A"),
)


def refused(*layers: bytes) -> ParseError:
    with pytest.raises(ParseError) as caught:
        merged(*layers)
    return caught.value


def test_a_later_layer_adds_and_replaces() -> None:
    tree = merged(BASE, tar(member("a", "f", b"new"), member("b", "f", b"B")))
    assert listing(tree) == {
        "a": "f new", "b": "f B", "lib": "l usr/lib", "usr": "d", "usr/lib": "d", "usr/lib/x": "f X",
    }  # fmt: skip


def test_a_whiteout_hides_a_file_or_a_whole_directory_of_lower_layers() -> None:
    assert "a" not in listing(merged(BASE, tar(member(".wh.a"))))
    assert set(listing(merged(BASE, tar(member(".wh.usr"))))) == {"a", "lib"}


def test_a_whiteout_of_nothing_is_no_error_and_never_a_file() -> None:
    tree = merged(BASE, tar(member(".wh.none"), member("no/where/.wh.x"), member("a/.wh.x")))
    assert listing(tree) == listing(merged(BASE))


def test_whiteouts_hide_lower_layers_only_wherever_they_stand() -> None:
    additions = [member("usr/lib", "d", mode=0o700), member("usr/lib/y", "f", b"Y")]
    hides = [member("usr/.wh.lib")]
    for order in itertools.permutations(additions + hides):
        tree = merged(BASE, tar(*order))
        assert listing(tree)["usr/lib/y"] == "f Y"
        assert "usr/lib/x" not in listing(tree)
        assert tree.nodes[b"usr/lib"].mode == 0o700


@pytest.mark.parametrize("first", [True, False])
def test_an_opaque_directory_keeps_only_what_its_layer_brings(first: bool) -> None:
    opaque, file = member("usr/lib/.wh..wh..opq"), member("usr/lib/y", "f", b"Y")
    tree = merged(BASE, tar(*([opaque, file] if first else [file, opaque])))
    assert {path for path in listing(tree) if path.startswith("usr/lib/")} == {"usr/lib/y"}
    assert tree.nodes[b"usr/lib"].mode == 0o755


def test_the_root_can_be_opaque() -> None:
    assert listing(merged(BASE, tar(member(".wh..wh..opq"), member("n", "f", b"N")))) == {"n": "f N"}


@pytest.mark.parametrize("marker", ["lib/.wh..wh..opq", "lib/.wh.x"])
@pytest.mark.parametrize("first", [True, False])
def test_a_directory_in_place_of_a_symlink_hides_nothing_below_the_old_target(
    marker: str, first: bool
) -> None:
    # Overlay differs mark such a directory opaque: rm lib; mkdir lib.
    new = [member("lib", "d"), member(marker)]
    tree = merged(BASE, tar(*(new if first else new[::-1])))
    assert listing(tree)["usr/lib/x"] == "f X"
    assert listing(tree)["lib"] == "d"


def test_without_such_a_directory_a_whiteout_follows_the_symlink() -> None:
    assert "usr/lib/x" not in listing(merged(BASE, tar(member("lib/.wh.x"))))


def test_no_whiteout_changes_where_another_leads() -> None:
    hides = [member(".wh.lib"), member("lib/.wh.x")]
    for order in (hides, hides[::-1]):
        assert set(listing(merged(BASE, tar(*order)))) == {"a", "usr", "usr/lib"}


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", ".wh.d/x", "u/.wh.d/x"])
def test_whiteouts_of_no_name_and_paths_below_one_are_refused(name: str) -> None:
    assert refused(BASE, tar(member(name))).code == "image.layer.whiteout"


def test_aufs_metadata_is_left_out() -> None:
    assert listing(merged(BASE, tar(member(".wh..wh.plnk", "d"), member(".wh..wh.aufs")))) == listing(
        merged(BASE)
    )


def test_a_directory_over_a_directory_keeps_children_and_takes_new_attributes() -> None:
    tree = merged(BASE, tar(member("usr/lib", "d", mode=0o1777, uid=5, gid=6, mtime=7)))
    node = tree.nodes[b"usr/lib"]
    assert (node.mode, node.uid, node.gid, node.mtime) == (0o1777, 5, 6, 7)
    assert b"usr/lib/x" in tree.nodes


@pytest.mark.parametrize("kind", ["f", "l", "p"])
def test_anything_else_over_a_directory_takes_its_place(kind: str) -> None:
    tree = merged(BASE, tar(member("usr", kind, "target" if kind == "l" else b"")))
    assert set(listing(tree)) == {"a", "lib", "usr"}


def test_a_directory_over_a_symlink_replaces_it() -> None:
    tree = merged(BASE, tar(member("lib", "d"), member("lib/y", "f", b"Y")))
    assert listing(tree)["lib/y"] == "f Y"
    assert "usr/lib/y" not in listing(tree)


def test_parents_are_resolved_through_symlinks_and_the_last_name_is_not() -> None:
    tree = merged(BASE, tar(member("lib/y", "f", b"Y"), member("lib", "l", "elsewhere")))
    assert listing(tree)["usr/lib/y"] == "f Y"
    assert listing(tree)["lib"] == "l elsewhere"


def test_a_path_follows_a_symlink_as_it_is_at_that_point_of_the_layer() -> None:
    tree = merged(
        BASE, tar(member("lib/1", "f", b"1"), member("lib", "l", "opt"), member("lib/2", "f", b"2"))
    )
    assert listing(tree)["usr/lib/1"] == "f 1"
    assert listing(tree)["opt/2"] == "f 2"


@pytest.mark.parametrize("target", ["../../../etc", "/etc", "/../etc", "usr/../../etc", "./etc//"])
def test_symlinks_never_leave_the_tree(target: str) -> None:
    layer = tar(member("usr", "d"), member("s", "l", target), member("s/passwd", "f", b"P"))
    assert listing(merged(layer))["etc/passwd"] == "f P"


def test_symlinks_in_a_circle_are_refused_and_a_chain_of_forty_is_not() -> None:
    assert refused(tar(member("s", "l", "s"), member("s/x"))).code == "image.layer.symlinks"
    chain = [member(f"s{n}", "l", f"s{n + 1}") for n in range(40)]
    tree = merged(tar(*chain, member("s0/x", "f", b"X")))
    assert listing(tree)["s40/x"] == "f X"
    longer = [member(f"s{n}", "l", f"s{n + 1}") for n in range(41)]
    assert refused(tar(*longer, member("s0/x"))).code == "image.layer.symlinks"


def test_missing_parents_are_made_and_are_no_hard_links_of_each_other() -> None:
    tree = merged(tar(member("a/b/c", "f", b"C", uid=7)))
    made = [tree.nodes[b"a"], tree.nodes[b"a/b"]]
    assert [(n.kind, n.mode, n.uid, n.gid) for n in made] == [(Kind.DIRECTORY, 0o755, 0, 0)] * 2
    assert made[0] is not made[1]


def test_a_path_through_a_file_is_refused() -> None:
    assert refused(BASE, tar(member("a/b"))).code == "image.layer.parent"


def test_a_hard_link_is_the_inode_and_its_own_header_counts_for_nothing() -> None:
    layer = tar(member("f", "f", b"F", mode=0o4755, uid=1), member("g", "h", "./f", mode=0o600, uid=2))
    tree = merged(layer)
    assert tree.nodes[b"f"] is tree.nodes[b"g"]
    assert (tree.nodes[b"g"].mode, tree.nodes[b"g"].uid) == (0o4755, 1)


def test_a_hard_link_keeps_the_old_bytes_when_its_target_is_replaced() -> None:
    tree = merged(BASE, tar(member("b", "h", "a")), tar(member("a", "f", b"new")))
    assert (content(tree, b"a"), content(tree, b"b")) == (b"new", b"A")


def test_a_hard_link_names_what_is_there_at_its_point_of_the_layer() -> None:
    tree = merged(BASE, tar(member("a", "f", b"new"), member("b", "h", "a"), member("a", "f", b"newest")))
    assert (content(tree, b"a"), content(tree, b"b")) == (b"newest", b"new")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("hidden", [".wh.usr", "usr/.wh.lib", "usr/lib/.wh.x", "usr/lib/.wh..wh..opq"])
def test_a_hard_link_to_what_its_layer_hides_is_a_move(first: bool, hidden: str) -> None:
    link, hide = member("moved", "h", "usr/lib/x"), member(hidden)
    tree = merged(BASE, tar(*([link, hide] if first else [hide, link])))
    assert content(tree, b"moved") == b"X"
    assert b"usr/lib/x" not in tree.nodes


@pytest.mark.parametrize("target", ["none", "usr", "usr/none/x", ".", "a/x"])
def test_a_hard_link_to_a_directory_or_to_nothing_is_refused(target: str) -> None:
    assert refused(BASE, tar(member("h", "h", target))).code == "image.layer.hardlink"


def test_a_hard_link_that_leaves_the_tree_is_refused() -> None:
    assert refused(BASE, tar(member("h", "h", "../etc/passwd"))).code == "image.path.form"


def test_a_hard_link_to_a_symlink_is_that_symlink() -> None:
    tree = merged(BASE, tar(member("h", "h", "lib")))
    assert listing(tree)["h"] == "l usr/lib"


def test_the_roots_own_entry_and_symlink_modes_count_for_nothing() -> None:
    tree = merged(tar(member("./", "d", mode=0o700), member("s", "l", "t", mode=0o600)))
    assert set(tree.nodes) == {b"s"}
    assert tree.nodes[b"s"].mode == 0o777


def test_all_kinds_with_their_attributes_come_through() -> None:
    tree = merged(
        tar(
            member("c", "c", (1, 300), mode=0o4666),
            member("b", "b", (8, 1)),
            member("p", "p", mode=0o600, uid=4_000_000_000, gid=3),
            member("f", "f", b"x", mtime=-1.5, pax={"SCHILY.xattr.security.capability": "x"}),
        )
    )
    assert {path: LETTERS[node.kind] for path, node in tree} == {b"c": "c", b"b": "b", b"p": "p", b"f": "f"}
    assert (tree.nodes[b"c"].device, tree.nodes[b"c"].mode) == ((1, 300), 0o4666)
    assert (tree.nodes[b"p"].uid, tree.nodes[b"p"].gid) == (4_000_000_000, 3)
    assert (tree.nodes[b"f"].mtime, tree.nodes[b"f"].attributes) == (-2, ("security.capability",))


def test_a_replaced_file_loses_the_old_ones_attributes() -> None:
    lower = tar(member("f", pax={"SCHILY.xattr.user.a": "1"}))
    assert merged(lower, tar(member("f"))).nodes[b"f"].attributes == ()


@pytest.mark.parametrize("name", ["../x", "a/../b", "x/.."])
def test_names_that_climb_are_refused(name: str) -> None:
    assert refused(tar(member(name))).code == "image.path.form"


@pytest.mark.parametrize("name", ["/etc/x", "./etc/x", "etc//x", ".//./etc/./x"])
def test_other_spellings_are_one_name(name: str) -> None:
    assert listing(merged(tar(member(name, "f", b"")))).keys() >= {"etc", "etc/x"}


@pytest.mark.parametrize("kind", ["f", "l", "h", "p"])
@pytest.mark.parametrize("name", ["./", ".", "/"])
def test_the_root_is_a_directory(kind: str, name: str) -> None:
    assert refused(tar(member(name, kind, b"" if kind in "fp" else "x"))).code in (
        "image.path.form",
        "image.tar.type",
    )
    assert set(listing(merged(tar(member(name, "d"), member("f"))))) == {"f"}


def test_names_too_long_for_the_kernel_are_refused() -> None:
    assert set(listing(merged(tar(member("n" * 255))))) == {"n" * 255}
    assert refused(tar(member("n" * 256))).code == "image.path.long"
    assert refused(tar(member("/".join(["n" * 200] * 21)))).code == "image.path.long"
    through = tar(member("s", "l", "n" * 256), member("s/x"))
    assert refused(through).code == "image.path.long"


def test_the_number_of_entries_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers_module, "MAX_ENTRIES", 3)
    assert len(merged(tar(*(member(name) for name in "abc")))) == 3
    error = refused(tar(member("a"), member("b/c/d")))
    assert isinstance(error, LimitError)
    assert error.code == "image.layer.entries"


def test_a_missing_directory_that_a_path_leaves_again_is_not_made() -> None:
    tree = merged(tar(member("s", "l", "b/../a"), member("s/x")))
    assert [path for path, _ in tree] == [b"a", b"a/x", b"s"]
    moved = merged(tar(member("s", "l", "b/../a"), member("s/x")), tar(member("s/.wh.x")))
    assert [path for path, _ in moved] == [b"a", b"s"]


def test_what_is_followed_on_the_way_to_all_entries_is_bounded() -> None:
    # 2.5 KB of gzip took an hour: each entry is 40 symlinks away, each of them with a target of 800 names.
    links = [member(f"s{n}", "l", f"s{n + 1}/" + "d/../" * 814 + ".") for n in range(40)]
    again = [member("z", "l", "s1"), member("s1/x")]  # a replaced symlink: nothing known is true any more
    assert (
        refused(tar(member("d", "d"), member("s40", "d"), *links, *again * 800)).code
        == "image.layer.symlinks"
    )
    assert len(merged(tar(member("d", "d"), member("s40", "d"), *links, *again * 9))) == 44


def test_what_is_looked_up_among_hidden_files_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers_module, "MAX_STEPS", 100_000)
    deep = "/".join("a" * 1990)
    links = [member(f"h{n}", "h", deep) for n in range(7)]
    lower, hides = tar(member(deep)), member(".wh.a")
    assert len(merged(lower, tar(hides, *links[:3]))) == 3
    assert refused(lower, tar(hides, *links)).code == "image.layer.symlinks"


def test_long_paths_behind_a_short_name_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    # Half a million of them took two gigabytes.
    monkeypatch.setattr(layers_module, "MAX_NAME_BYTES", 60_000)
    deep = "/".join(["n" * 250] * 15)
    entries = [member(deep, "d"), member("s", "l", deep)]
    entries += [member(f"s/{n}") for n in range(9)]
    error = refused(tar(*entries))
    assert isinstance(error, LimitError)
    assert error.code == "image.layer.entries"
    assert len(merged(tar(*entries[:4]))) == 18


@pytest.mark.parametrize("name", ["s1", "g1", "g2", "g3"])
def test_real_stacks_give_the_tree_that_umoci_extracts(name: str, tmp_path: Path) -> None:
    archive = tmp_path / "docker.tar"
    archive.write_bytes(lzma.decompress((VECTORS / name / "docker.tar.xz").read_bytes()))
    with open_image(f"docker-archive:{archive}", SourceOptions(), Silent()) as image:
        got = {}
        for path, node in image.tree:
            extra: object = None
            if node.kind is Kind.FILE:
                extra = sha256(content(image.tree, path)).hexdigest()
            elif node.kind is Kind.SYMLINK:
                extra = node.target.decode()
            elif node.kind in (Kind.CHARACTER, Kind.BLOCK):
                extra = list(node.device)
            got[path.decode()] = [LETTERS[node.kind], node.mode, node.uid, node.gid, extra]
    assert got
    expected = VECTORS / name / "tree.json"
    if expected.exists():  # s1 has none
        assert got == json.loads(expected.read_text(encoding="utf-8"))
