"""What the layers of an image show, as `open_image` and the statement have it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from glassclave.flows import outside
from glassclave.flows.outside import OutsideWatch
from glassclave.flows.source import SourceOptions, open_image
from glassclave.image.commands import Command
from glassclave.provenance.container import ContainerClaim, container_record
from glassclave.provenance.outside import OutsideClaim
from glassclave.provenance.predicate import MAX_SIZE, parse_predicate, predicate_json
from tests.images.layout import Entry, Layer, hard_link, opaque, symlink, whiteout, write_layout
from tests.unit.flows.test_container import Warnings
from tests.unit.packages.cases import cases_of, data_of
from tests.unit.provenance.predicates import SIGNED

DPKG, APK = "var/lib/dpkg/status", "lib/apk/db/installed"
RPM = "var/lib/rpm/rpmdb.sqlite"
COMMIT = "5a" * 20


def dpkg(**versions: str) -> Entry:
    """dpkg's file with these packages."""
    records = [
        f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n"
        for name, version in versions.items()
    ]
    return Entry("\n".join(records).encode())


def apk(name: str, version: str) -> Entry:
    return Entry(f"P:{name}\nV:{version}\n".encode())


def pip(name: str, version: str) -> Layer:
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    return {f"lib/{name}-{version}.dist-info/METADATA": Entry(metadata)}


def npm(name: str, version: str, folder: str = "app") -> Layer:
    data = json.dumps({"name": name, "version": version}).encode()
    return {f"{folder}/node_modules/{name}/package.json": Entry(data)}


def repository(remote: str = "https://example.org/x", folder: str = "srv/.git") -> Layer:
    return {
        f"{folder}/HEAD": Entry(COMMIT.encode()),
        f"{folder}/config": Entry(f'[remote "origin"]\n\turl = {remote}\n'.encode()),
    }


def rpm() -> Entry:
    return Entry(data_of((cases_of("rpm") or {})["positive"][0]))


def diff_ids(layout: Path) -> tuple[str, ...]:
    with open_image(f"oci:{layout}", SourceOptions(), Warnings()) as image:
        return image.config.layer_digests


def seen(
    folder: Path,
    layers: Sequence[Layer],
    *,
    base: int | None = 1,
    commands: Sequence[Command] = (),
    progress: Warnings | None = None,
) -> OutsideClaim:
    """What is seen of an image of these layers, the first ``base`` of which are its base's."""
    layout = write_layout(folder / f"l{len(list(folder.iterdir()))}", layers, {"Cmd": ["/x"]})
    known = None if base is None else diff_ids(layout)[:base]
    watch = OutsideWatch(known, commands, progress or Warnings())
    with open_image(f"oci:{layout}", SourceOptions(), Warnings(), watch):
        return watch.claim()


def lines(claim: OutsideClaim) -> list[str]:
    return [
        f"{one.layer} {one.change} {one.type} {one.name} {one.before or ''}>{one.version}"
        for one in claim.packages.items
    ]


def test_each_layer_is_compared_with_those_below(tmp_path: Path) -> None:
    claim = seen(
        tmp_path,
        [
            {DPKG: dpkg(a="1", b="1", c="1")},
            {DPKG: dpkg(a="1", b="2", d="1")},
            {**pip("six", "1.0"), **npm("left-pad", "1.3.0"), APK: apk("musl", "1.2"), RPM: rpm()},
            {DPKG: dpkg(a="1", b="2")},
        ],
    )
    assert (claim.layers, claim.base_layers, claim.packages.complete) == (4, 1, True)
    assert lines(claim) == [
        "2 changed dpkg b 1>2",
        "2 removed dpkg c >1",
        "2 added dpkg d >1",
        "3 added apk musl >1.2",
        "3 added npm left-pad >1.3.0",
        "3 added pip six >1.0",
        "3 added rpm hello-one >7:1.2-3.noarch",
        "3 added rpm two >1.2-3.noarch",
        "4 removed dpkg d >1",
    ]


@pytest.mark.parametrize(
    ("base", "known", "packages"),
    [
        (0, 0, ["1 added dpkg a >1", "2 added dpkg b >1"]),
        (1, 1, ["2 added dpkg b >1"]),
        (2, 2, []),
        (None, None, ["1 added dpkg a >1", "2 added dpkg b >1"]),
    ],
)
def test_whose_layers_they_are(
    tmp_path: Path, base: int | None, known: int | None, packages: list[str]
) -> None:
    claim = seen(tmp_path, [{DPKG: dpkg(a="1")}, {DPKG: dpkg(a="1", b="1")}], base=base)
    assert (claim.base_layers, lines(claim)) == (known, packages)


def test_another_bases_layers_are_not_believed(tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "l", [{DPKG: dpkg(a="1")}, {"x": Entry(b"x")}], {"Cmd": ["/x"]})
    first, second = diff_ids(layout)
    for base in ((second,), (first, second, first), ("sha256:" + "5a" * 32,)):
        watch = OutsideWatch(base, (), Warnings())
        with open_image(f"oci:{layout}", SourceOptions(), Warnings(), watch):
            claim = watch.claim()
        assert (claim.base_layers, lines(claim)) == (None, ["1 added dpkg a >1"])


@pytest.mark.parametrize(
    ("layer", "packages"),
    [
        (whiteout("lib/six-1.0.dist-info/METADATA"), []),  # the directory's name says it still
        (whiteout("lib/six-1.0.dist-info"), ["2 removed pip six >1.0"]),
        (opaque("lib"), ["2 removed pip six >1.0"]),
        (pip("six", "1.0"), []),
        (
            {"lib/six-1.0.dist-info/METADATA": Entry(b"Name: six\nVersion: 1.1\n")},
            ["2 changed pip six 1.0>1.1"],
        ),
        ({"copy-1.dist-info/METADATA": hard_link("lib/six-1.0.dist-info/METADATA")}, []),
        ({"lib/other-2.dist-info": Entry(kind=b"5", mode=0o755)}, ["2 added pip other >2"]),
    ],
)
def test_what_layers_hide_is_gone(tmp_path: Path, layer: Layer, packages: list[str]) -> None:
    assert lines(seen(tmp_path, [pip("six", "1.0"), layer])) == packages


def test_two_versions_of_one_package_are_two(tmp_path: Path) -> None:
    nested = npm("a", "2", "app/node_modules/b")
    claim = seen(tmp_path, [npm("a", "1"), {**nested, **npm("a", "1", "other")}])
    assert lines(claim) == ["2 added npm a >2"]


@pytest.mark.parametrize(
    ("entry", "path", "code"),
    [
        (Entry(b"Package a\n"), DPKG, "packages.form"),
        (symlink("/etc/passwd"), DPKG, "packages.link"),
        (Entry(b"x"), "var/lib/rpm/Packages", "packages.rpm.form"),
        (Entry(b"x"), RPM + "-wal", "packages.rpm.log"),
        (Entry(b"{"), "app/node_modules/a/package.json", "packages.form"),
        (Entry(b"{}" + b" " * (1 << 20)), "app/node_modules/a/package.json", "packages.limit"),
    ],
)
def test_what_cannot_be_read_is_named_and_stops_nothing(
    tmp_path: Path, entry: Entry, path: str, code: str
) -> None:
    progress = Warnings()
    claim = seen(tmp_path, [{DPKG: dpkg(a="1")}, {path: entry, **pip("six", "1.0")}], progress=progress)
    assert [(one.layer, one.path, one.code) for one in claim.unread.items] == [(2, f"/{path}", code)]
    # Nobody says that the packages which were there before are gone.
    assert lines(claim) == ["2 added pip six >1.0"]
    assert [said for said, _ in progress.said] == ["packages.unread"]
    assert path in progress.said[0][1]


def test_a_file_of_just_the_size_that_is_read(tmp_path: Path) -> None:
    path, data = "app/node_modules/a/package.json", b'{"name": "a", "version": "1"}'
    full = data + b" " * ((1 << 20) - len(data))
    assert lines(seen(tmp_path, [{}, {path: Entry(full)}])) == ["2 added npm a >1"]
    claim = seen(tmp_path, [{}, {path: Entry(full + b" ")}])
    assert [one.reason for one in claim.unread.items] == ["has 1,048,577 bytes, at most 1,048,576 are read"]


def test_versions_of_one_name_are_sorted(tmp_path: Path) -> None:
    claim = seen(tmp_path, [npm("a", "2"), {**npm("a", "3"), **npm("a", "1", "b")}])
    assert lines(claim) == ["2 added npm a >1", "2 removed npm a >2", "2 added npm a >3"]


def test_what_cannot_be_read_is_told_once_and_of_the_base_never(tmp_path: Path) -> None:
    bad, progress = {DPKG: Entry(b"Package a\n")}, Warnings()
    claim = seen(tmp_path, [bad, {"x": Entry(b"x")}], progress=progress)
    assert (claim.unread.count, progress.said) == (0, [])
    assert seen(tmp_path, [{}, bad, {"x": Entry(b"x")}]).unread.count == 1
    assert seen(tmp_path, [bad, bad]).unread.count == 1  # written again by this build


def test_repositories_that_the_build_left(tmp_path: Path) -> None:
    mine = repository("https://me:token@example.org/x", "a/.git")
    claim = seen(tmp_path, [repository(), mine, repository("https://other"), {"x": Entry()}])
    assert [(one.layer, one.path, one.commit, one.remotes) for one in claim.repositories.items] == [
        (2, "/a/.git", COMMIT, ("https://example.org/x",)),
        (3, "/srv/.git", COMMIT, ("https://other",)),
    ]
    broken = {**repository(), "srv/.git/HEAD": Entry(b"?")}
    claim = seen(tmp_path, [{}, broken, {"x": Entry()}])
    assert [(one.layer, one.path, one.code) for one in claim.unread.items] == [
        (2, "/srv/.git", "repository.head")
    ]
    linked = {**repository(), "srv/.git/HEAD": symlink("/etc/passwd")}
    assert [one.code for one in seen(tmp_path, [{}, linked]).unread.items] == ["repository.head"]


def test_commands_are_kept_in_their_order(tmp_path: Path) -> None:
    claim = seen(tmp_path, [{}], commands=[Command(9, "curl b"), Command(2, "curl a")])
    assert [(one.line, one.text) for one in claim.commands.items] == [(9, "curl b"), (2, "curl a")]


def test_too_much_to_read_is_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [{DPKG: dpkg(a="1")}, {DPKG: dpkg(a="2")}]
    size = len(dpkg(a="1").data)
    monkeypatch.setattr(outside, "_MAX_READ", 2 * size)
    assert seen(tmp_path, layers).unread.count == 0
    monkeypatch.setattr(outside, "_MAX_READ", 2 * size - 1)
    assert [one.code for one in seen(tmp_path, layers).unread.items] == ["packages.limit"]
    monkeypatch.undo()
    monkeypatch.setattr(outside, "_MAX_PER_FILE", 1)
    assert seen(tmp_path, layers).unread.count == 0
    monkeypatch.setattr(outside, "_MAX_PER_FILE", 0)
    assert [one.code for one in seen(tmp_path, layers).unread.items] == ["packages.limit"]


def test_very_many_paths_are_looked_at_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [{}, {DPKG: dpkg(a="1")}, {DPKG: dpkg(a="1", b="1")}, {DPKG: dpkg(b="1")}]
    monkeypatch.setattr(outside, "_MAX_WALKED", 4)
    assert lines(seen(tmp_path, layers)) == [
        "2 added dpkg a >1",
        "3 added dpkg b >1",
        "4 removed dpkg a >1",
    ]
    monkeypatch.setattr(outside, "_MAX_WALKED", 3)
    assert lines(seen(tmp_path, layers)) == ["2 added dpkg a >1", "4 removed dpkg a >1", "4 added dpkg b >1"]


def test_a_long_list_is_cut_and_counted(tmp_path: Path) -> None:
    many = {f"name-{number:05}": "1.0-" + "é" * 200 for number in range(3000)}
    whole = seen(tmp_path, [{}, {DPKG: dpkg(**many)}])
    assert (whole.packages.count, whole.packages.complete) == (3000, False)
    assert [one.name for one in whole.packages.items] == sorted(many)[: len(whole.packages.items)]
    digest = hashlib.sha256()
    for name, version in sorted(many.items()):
        digest.update(
            b'{"layer":2,"change":"added","type":"dpkg","name":"%s","version":"%s","before":null}\n'
            % (name.encode(), json.dumps(version)[1:-1].encode())
        )
    assert whole.packages.sha256 == digest.digest()
    # It fits into a measurements file, whatever stands beside it, and is read again.
    assert SIGNED.claimed.container is not None
    container = replace(SIGNED.claimed.container, outside=whole)
    predicate = replace(SIGNED, claimed=replace(SIGNED.claimed, container=container))
    data = predicate_json(predicate)
    assert outside.PACKAGES_ROOM - 5000 < len(data) < MAX_SIZE // 2
    assert parse_predicate(data, source="p") == predicate


def test_the_same_image_gives_the_same_words(tmp_path: Path) -> None:
    layers: list[Layer] = [{}, {**pip("b", "1"), **pip("a", "1"), **repository()}]
    turned: list[Layer] = [{}, dict(reversed(list(layers[1].items())))]
    first, second = (record(seen(tmp_path, some)) for some in (layers, turned))
    assert first == second


def record(claim: OutsideClaim) -> dict[str, object]:
    container = SIGNED.claimed.container
    assert isinstance(container, ContainerClaim)
    return container_record(replace(container, outside=claim))
