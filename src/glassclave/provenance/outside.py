"""What a container image was seen to take from outside of its folder: packages, repositories, commands.

Everything here is as far as it can be seen and no farther: a program that a RUN step fetched and that no
package database knows leaves no trace (``docs/outside.md``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from glassclave.errors import ParseError
from glassclave.fields import Fields
from glassclave.provenance.strict import hex_text, nullable_text
from glassclave.sources import is_commit

KINDS = ("added", "changed", "removed")
MAX_LISTED = 8192
"""Items of one list that are read."""

_SHA256_SIZE = 32
_MAX_NUMBER = 0xFFFFFFFF
_MAX_REMOTES = 64
_INDENT = 12
"""Columns that an item of a list has before it in the measurements file."""


class Item(Protocol):
    """Something that a list holds."""

    def record(self) -> dict[str, object]:
        """As a JSON value."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """What a layer (counted from 1, lowest first) did to a package.

    ``type``: of its database (``dpkg``); ``version``: that is there now, of one ``removed`` that was there;
    ``before``: the version that was there, of one ``changed``.
    """

    layer: int
    change: str
    type: str
    name: str
    version: str
    before: str | None = None

    def record(self) -> dict[str, object]:
        """See `Item`."""
        return {
            "layer": self.layer,
            "change": self.change,
            "type": self.type,
            "name": self.name,
            "version": self.version,
            "before": self.before,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryClaim:
    """A git repository that a layer left in the image: its folder, what is checked out, where it is from.

    ``commit``: 40 or 64 hex digits, ``None``: none yet; ``ref``: ``None``: no branch. ``remotes``: without
    credentials.
    """

    layer: int
    path: str
    commit: str | None
    ref: str | None
    remotes: tuple[str, ...]

    def record(self) -> dict[str, object]:
        """See `Item`."""
        return {
            "layer": self.layer,
            "path": self.path,
            "commit": self.commit,
            "ref": self.ref,
            "remotes": list(self.remotes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandClaim:
    """A command of a RUN step that may fetch: line of the Dockerfile, counted from 1, and text."""

    line: int
    text: str

    def record(self) -> dict[str, object]:
        """See `Item`."""
        return {"line": self.line, "text": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadClaim:
    """A file that would say more and was not read: in which layer, where, and why (a reason code, words)."""

    layer: int
    path: str
    code: str
    reason: str

    def record(self) -> dict[str, object]:
        """See `Item`."""
        return {"layer": self.layer, "path": self.path, "code": self.code, "reason": self.reason}


_ItemT = TypeVar("_ItemT", bound=Item)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Generic[_ItemT]):
    """A list, or as much of it as there is room for: ``count`` and ``sha256`` are those of the whole one.

    ``sha256``: of each item's compact ASCII JSON and a newline, in order.
    """

    count: int
    sha256: bytes
    items: tuple[_ItemT, ...]

    @property
    def complete(self) -> bool:
        """Whether every item is there."""
        return len(self.items) == self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideClaim:
    """What was seen in an image of ``layers`` layers, the lowest ``base_layers`` of which are its base's.

    ``base_layers`` is ``None`` where the builder does not tell: then all layers are looked at, and the base's
    packages are listed too.
    """

    layers: int
    base_layers: int | None
    packages: Listed[PackageChange]
    repositories: Listed[RepositoryClaim]
    commands: Listed[CommandClaim]
    unread: Listed[UnreadClaim]


def listed(items: Iterable[_ItemT], *, room: int) -> Listed[_ItemT]:
    """The first of ``items`` that fit into ``room`` bytes of a measurements file."""
    kept: list[_ItemT] = []
    digest = hashlib.sha256()
    count = 0
    for item in items:
        count += 1
        digest.update(_line(item))
        if len(kept) == count - 1 < MAX_LISTED and (size := _size(item)) <= room:
            kept.append(item)
            room -= size
    return Listed(count=count, sha256=digest.digest(), items=tuple(kept))


def _line(item: Item) -> bytes:
    return json.dumps(item.record(), ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


def _size(item: Item) -> int:
    text = json.dumps(item.record(), indent=2, ensure_ascii=True)
    return len(text) + (_INDENT + 1) * (text.count("\n") + 1)


def outside_record(outside: OutsideClaim) -> dict[str, object]:
    """As a JSON value."""
    return {
        "layers": outside.layers,
        "baseLayers": outside.base_layers,
        "packages": _listed_record(outside.packages),
        "repositories": _listed_record(outside.repositories),
        "commands": _listed_record(outside.commands),
        "unread": _listed_record(outside.unread),
    }


def _listed_record(listed: Listed[_ItemT]) -> dict[str, object]:
    return {
        "complete": listed.complete,
        "count": listed.count,
        "sha256": listed.sha256.hex(),
        "list": [item.record() for item in listed.items],
    }


def parse_outside(fields: Fields) -> OutsideClaim:
    """Strictly read. `ParseError` ``field.*``, ``hex.*``, ``claims.commit``, ``claims.outside``."""
    fields.only("layers", "baseLayers", "packages", "repositories", "commands", "unread")
    layers = fields.integer("layers", most=_MAX_NUMBER)
    known = fields.value("baseLayers") is not None
    return OutsideClaim(
        layers=layers,
        base_layers=fields.integer("baseLayers", most=layers) if known else None,
        packages=_parse_listed(fields.child("packages"), _parse_package),
        repositories=_parse_listed(fields.child("repositories"), _parse_repository),
        commands=_parse_listed(fields.child("commands"), _parse_command),
        unread=_parse_listed(fields.child("unread"), _parse_unread),
    )


def _parse_listed(fields: Fields, parse: Callable[[Fields], _ItemT]) -> Listed[_ItemT]:
    fields.only("complete", "count", "sha256", "list")
    items = tuple(parse(item) for item in fields.objects("list", limit=MAX_LISTED))
    found = Listed(
        count=fields.integer("count", least=len(items)),
        sha256=hex_text(fields, "sha256", _SHA256_SIZE),
        items=items,
    )
    if fields.boolean("complete") != found.complete:
        raise ParseError("claims.outside", "says otherwise than count and list", field=fields.at("complete"))
    if found.complete and hashlib.sha256(b"".join(map(_line, items))).digest() != found.sha256:
        raise ParseError("claims.outside", "is not that of the list", field=fields.at("sha256"))
    return found


def _parse_package(fields: Fields) -> PackageChange:
    fields.only("layer", "change", "type", "name", "version", "before")
    change, before = fields.text("change"), nullable_text(fields, "before")
    if change not in KINDS:
        raise ParseError("field.value", f"must be one of {', '.join(KINDS)}", field=fields.at("change"))
    if (before is not None) != (change == "changed"):
        raise ParseError("claims.outside", "goes with a change, and only with one", field=fields.at("before"))
    return PackageChange(
        layer=_layer(fields),
        change=change,
        type=fields.text("type"),
        name=fields.text("name"),
        version=fields.text("version"),
        before=before,
    )


def _parse_repository(fields: Fields) -> RepositoryClaim:
    fields.only("layer", "path", "commit", "ref", "remotes")
    commit = nullable_text(fields, "commit")
    if commit is not None and not is_commit(commit):
        raise ParseError("claims.commit", "must be 40 or 64 lower-case hex digits", field=fields.at("commit"))
    return RepositoryClaim(
        layer=_layer(fields),
        path=fields.text("path"),
        commit=commit,
        ref=nullable_text(fields, "ref"),
        remotes=fields.texts("remotes", limit=_MAX_REMOTES),
    )


def _parse_command(fields: Fields) -> CommandClaim:
    fields.only("line", "text")
    return CommandClaim(line=fields.integer("line", least=1, most=_MAX_NUMBER), text=fields.text("text"))


def _parse_unread(fields: Fields) -> UnreadClaim:
    fields.only("layer", "path", "code", "reason")
    return UnreadClaim(
        layer=_layer(fields),
        path=fields.text("path"),
        code=fields.text("code"),
        reason=fields.text("reason"),
    )


def _layer(fields: Fields) -> int:
    return fields.integer("layer", least=1, most=_MAX_NUMBER)
