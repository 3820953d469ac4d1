"""Random stacks of layers: the changes of all layers lead from nothing to what the merged tree holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from glassclave.errors import ParseError
from glassclave.flows.outside import OutsideWatch
from glassclave.image.config import ImageConfig
from glassclave.image.layers import Layer, merge_layers
from glassclave.image.tree import FileTree, Kind
from glassclave.packages import readers
from glassclave.progress import Silent
from glassclave.provenance.outside import OutsideClaim
from tests.unit.image.archives import content, member, tar

STATUSES = [
    b"".join(
        b"Package: %s\nStatus: install ok installed\nVersion: %s\n\n" % (name, version)
        for name, version in some
    )
    for some in (
        [],
        [(b"a", b"1")],
        [(b"a", b"2")],
        [(b"a", b"1"), (b"b", b"1")],
        [(b"a", b"1"), (b"a", b"2")],
    )
]
FILES = {
    "var/lib/dpkg/status": STATUSES,
    "lib/apk/db/installed": [b"", b"P:a\nV:1\n", b"P:a\nV:2\n\nP:b\nV:1\n"],
    "s/a-1.dist-info/METADATA": [b"Name: a\nVersion: 1\n", b"Name: c\nVersion: 3\n"],
    "s/node_modules/a/package.json": [b'{"name": "a", "version": "1"}', b'{"name": "a", "version": "2"}'],
    "node_modules/a/package.json": [b'{"name": "a", "version": "1"}'],
}
HIDDEN = ["var/.wh.lib", "var/lib/dpkg/.wh.status", "s/.wh.a-1.dist-info", "s/a-1.dist-info/.wh.METADATA",
          "s/.wh..wh..opq", ".wh.node_modules", "lib/apk/.wh.db"]  # fmt: skip

put = st.sampled_from(sorted(FILES)).flatmap(
    lambda path: st.sampled_from(FILES[path]).map(lambda data: member(path, "f", data))
)
hide = st.sampled_from(HIDDEN).map(lambda path: member(path, "f"))
link = st.sampled_from([("s", "var"), ("lib", "usr/lib"), ("usr/lib", "../lib")]).map(
    lambda pair: member(pair[0], "l", pair[1])
)
layers = st.lists(put | put | hide | link, max_size=4).map(lambda members: tar(*members))


def watched(stack: list[bytes], base: int) -> tuple[FileTree, OutsideClaim]:
    names = tuple(f"sha256:{number:064}" for number in range(len(stack)))
    watch = OutsideWatch(names[:base], (), Silent())
    heard = watch(ImageConfig(architecture="amd64", layer_digests=names))
    tree = merge_layers((Layer(memoryview(data), "layer") for data in stack), heard)
    return tree, watch.claim()


def packages_of(tree: FileTree) -> set[tuple[str, str, str]]:
    """Read from the end result alone."""
    found = set()
    for path, node in tree.nodes.items():
        for reader in readers():
            inside = reader.directory(path) if node.kind is Kind.DIRECTORY else None
            alone = inside is not None and inside not in tree.nodes
            if alone or (node.kind is Kind.FILE and reader.concerns(path)):
                found |= {(one.type, one.name, one.version) for one in reader.read(path, content(tree, path))}
    return found


@given(st.lists(layers, min_size=1, max_size=4), st.integers(0, 3))
def test_the_changes_of_all_layers_add_up(stack: list[bytes], base: int) -> None:
    base = min(base, len(stack))
    try:
        tree, claim = watched(stack, base)
        below = packages_of(watched(stack[:base], 0)[0]) if base else set()
    except ParseError as error:
        assert error.code.startswith("image.")
        return
    assert (claim.unread.count, claim.base_layers, claim.layers) == (0, base, len(stack))
    there = set(below)
    for one in claim.packages.items:
        assert base < one.layer <= len(stack)
        now, before = (one.type, one.name, one.version), (one.type, one.name, one.before or "")
        if one.change == "removed":
            assert now in there
            there.discard(now)
        else:
            assert now not in there and (one.before is None or before in there)
            there.discard(before)
            there.add(now)
    assert there == packages_of(tree)
