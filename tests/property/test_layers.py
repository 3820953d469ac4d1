"""Random stacks of layers against a model that was written from the specification alone.

The model keeps a flat dictionary and knows no caches; stacks have symlinked parents, whiteouts in any order,
opaque directories, hard links, and parents that no layer names.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from glassclave.errors import ParseError
from glassclave.image.tree import FileTree, Kind
from tests.unit.image.archives import LETTERS, content, member, merged, tar

# Few names, so that layers meet each other often.
PATHS = ("a", "b", "a/b", "b/a", "a/c", "b/c", "a/b/c")
TARGETS = ("a", "b", "/b", "../a", "..", "b/a", "/a/../b")


@dataclass(frozen=True)
class Change:
    """One entry of a layer."""

    path: str
    kind: str
    value: str = ""
    mode: int = 0o755


changes = st.one_of(
    st.builds(Change, st.sampled_from(PATHS), st.just("d"), mode=st.sampled_from([0o700, 0o1777])),
    st.builds(Change, st.sampled_from(PATHS), st.just("f"), st.text("xyz", max_size=3)),
    st.builds(Change, st.sampled_from(PATHS), st.just("l"), st.sampled_from(TARGETS)),
    st.builds(Change, st.sampled_from(PATHS), st.just("h"), st.sampled_from(PATHS)),
    st.builds(Change, st.sampled_from(PATHS), st.sampled_from(["whiteout", "opaque"])),
)
stacks = st.lists(st.lists(changes, min_size=1, max_size=6), min_size=1, max_size=4)


class ImpossibleError(Exception):
    """The layer cannot be applied."""


class Model:
    """Path (a tuple of names) to what is there: [kind, value, mode, identity]."""

    def __init__(self) -> None:
        self.there: dict[tuple[str, ...], tuple[str, str, int, object]] = {}

    def parent(
        self, path: tuple[str, ...], made: set[tuple[str, ...]] | None = None
    ) -> tuple[str, ...] | None:
        """Where the directory ``path`` really is, existing or not; None where it is no directory."""
        here: tuple[str, ...] = ()
        todo = [(name, path[: n + 1]) for n, name in enumerate(path)]
        for _ in range(400):
            if not todo:
                return self.reached(here, create=made is None)
            name, written = todo.pop(0)
            if name in ("", "."):
                continue
            if name == "..":
                here = here[:-1]
                continue
            found = self.there.get((*here, name))
            if found is None or found[0] == "d":
                here = (*here, name)
            elif found[0] == "l":
                if made is not None and written in made:
                    return None
                if found[1].startswith("/"):
                    here = ()
                todo[:0] = [(part, written) for part in found[1].split("/")]
            else:
                return None
        raise ImpossibleError

    def reached(self, path: tuple[str, ...], *, create: bool) -> tuple[str, ...] | None:
        """``path``, which leads through no symlink, with what is missing of it made."""
        above = [path[:length] for length in range(1, len(path) + 1)]
        if not create:
            return path if path == () or path in self.there else None
        for each in above:
            if each not in self.there:
                self.make(each)
        return path

    def make(self, path: tuple[str, ...]) -> None:
        self.there[path] = ("d", "", 0o755, object())

    def drop(
        self,
        path: tuple[str, ...],
        gone: dict[tuple[str, ...], tuple[str, str, int, object]],
        written: tuple[str, ...],
    ) -> None:
        for other in [other for other in self.there if other[: len(path)] == path]:
            gone[written + other[len(path) :]] = self.there.pop(other)

    def apply(self, layer: list[Change]) -> None:
        made = {tuple(c.path.split("/")) for c in layer if c.kind == "d"}
        gone: dict[tuple[str, ...], tuple[str, str, int, object]] = {}
        hidden = []
        for change in layer:
            path = tuple(change.path.split("/"))
            if change.kind == "whiteout":
                parent = self.parent(path[:-1], made)
                hidden += [] if parent is None else [((*parent, path[-1]), path)]
            elif change.kind == "opaque":
                parent = self.parent(path, made)
                hidden += [] if parent is None else [
                    (other, path + other[-1:]) for other in self.there if other[:-1] == parent
                ]  # fmt: skip
        for real, written in hidden:
            self.drop(real, gone, written)
        for change in layer:
            if change.kind not in ("whiteout", "opaque"):
                self.add(change, tuple(change.path.split("/")), gone)

    def add(
        self, change: Change, path: tuple[str, ...], gone: dict[tuple[str, ...], tuple[str, str, int, object]]
    ) -> None:
        parent = self.parent(path[:-1])
        if parent is None:
            raise ImpossibleError
        place = (*parent, path[-1])
        new = (change.kind, change.value, change.mode if change.kind == "d" else 0, object())
        if change.kind == "h":
            target = tuple(change.value.split("/"))
            above = self.parent(target[:-1], set())
            found = None if above is None else self.there.get((*above, target[-1]))
            found = found or gone.get(target)
            if found is None or found[0] == "d":
                raise ImpossibleError
            new = found
        existing = self.there.get(place)
        if existing is not None and not (existing[0] == new[0] == "d"):
            self.drop(place, {}, place)
        self.there[place] = new


def archive(layer: list[Change], form: int) -> bytes:
    members = []
    for change in layer:
        parent, _, name = change.path.rpartition("/")
        if change.kind == "whiteout":
            members.append(member((parent + "/" if parent else "") + ".wh." + name))
        elif change.kind == "opaque":
            members.append(member(change.path + "/.wh..wh..opq"))
        elif change.kind == "f":
            members.append(member(change.path, "f", change.value.encode()))
        else:
            members.append(member(change.path, change.kind, change.value, mode=change.mode))
    return tar(*members, form=form)


def shape(tree: FileTree) -> dict[tuple[str, ...], tuple[str, str, int]]:
    result = {}
    for path, node in tree:
        value = content(tree, path) if node.kind is Kind.FILE else node.target
        mode = node.mode if node.kind is Kind.DIRECTORY else 0
        result[tuple(path.decode().split("/"))] = (LETTERS[node.kind], value.decode(), mode)
    return result


def links(groups: Mapping[tuple[str, ...], object]) -> set[frozenset[tuple[str, ...]]]:
    """Which paths are one inode."""
    by_identity: dict[int, set[tuple[str, ...]]] = {}
    for path, identity in groups.items():
        by_identity.setdefault(id(identity), set()).add(path)
    return {frozenset(paths) for paths in by_identity.values()}


@settings(max_examples=2000)
@given(stacks, st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT]))
def test_the_merged_tree_is_the_models(stack: list[list[Change]], form: int) -> None:
    model = Model()
    try:
        for layer in stack:
            model.apply(layer)
    except ImpossibleError:
        try:
            merged(*(archive(layer, form) for layer in stack))
        except ParseError as error:
            assert error.code.startswith("image.layer.")
            return
        raise AssertionError("a stack that cannot be applied was merged") from None
    tree = merged(*(archive(layer, form) for layer in stack))
    assert shape(tree) == {path: found[:3] for path, found in model.there.items()}
    ours = {tuple(path.decode().split("/")): node for path, node in tree}
    assert links(ours) == links({path: found[3] for path, found in model.there.items()})


@given(stacks, st.data())
def test_where_whiteouts_stand_makes_no_difference(stack: list[list[Change]], data: st.DataObject) -> None:
    def hides(change: Change) -> bool:
        return change.kind in ("whiteout", "opaque")

    shuffled = []
    for layer in stack:
        additions = [change for change in layer if not hides(change)]
        for change in data.draw(st.permutations([change for change in layer if hides(change)])):
            additions.insert(data.draw(st.integers(0, len(additions))), change)
        shuffled.append(additions)
    form = tarfile.PAX_FORMAT
    try:
        expected = shape(merged(*(archive(layer, form) for layer in stack)))
    except ParseError:
        return
    assert shape(merged(*(archive(layer, form) for layer in shuffled))) == expected


@given(st.binary(max_size=1500), st.integers(0, 3000), st.integers(0, 1))
def test_damage_ends_in_a_typed_error_or_a_tree(noise: bytes, at: int, compressed: int) -> None:
    data = tar(member("d", "d"), member("d/" + "n" * 120, "f", b"x" * 700), member("l", "l", "d"))
    damaged = data[:at] + noise + data[at + len(noise) :]
    if compressed:
        damaged = gzip.compress(damaged)
    try:
        merged(damaged)
    except ParseError as error:
        assert error.code.startswith("image.")
