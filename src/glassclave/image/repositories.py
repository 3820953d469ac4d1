"""Git repositories that a build left in an image: which commit, and from where (gitrepository-layout(5)).

Addresses lose what stands before an ``@``: clones of private repositories often hold a token there, and what
is found here is signed and published.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import dataclass

from glassclave.errors import ParseError

MAX_FILE = 4 << 20
"""Bytes of ``config`` and ``packed-refs`` that are read."""
_MAX_REMOTES = 64
_MAX_TEXT = 1024
_HEAD = b"/HEAD"
_COMMIT = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_REF = re.compile(rb"refs/[!-~]{1,1000}\Z")
_SECTION = re.compile(r"\s*\[\s*([A-Za-z0-9.-]+)(?:\s+\"(?:[^\"\\]|\\.)*\")?\s*\]")
_URL = re.compile(r"\s*url\s*=\s*(.*?)\s*\Z", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(://)[^/?#\s]*@")

Read = Callable[[bytes], bytes | None]
"""Content of a regular file of the image; ``None``: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """``path``: of the folder, from the image's root (``/srv/app/.git``). ``commit``: 40 or 64 hex digits.

    ``ref``: the branch that is checked out, ``None``: none is. ``remotes``: addresses, sorted.
    """

    path: str
    commit: str | None
    ref: str | None
    remotes: tuple[str, ...]


def repository_folder(path: bytes, paths: Container[bytes]) -> bytes | None:
    """The repository's folder, if ``path`` is its HEAD: ``.git``, a submodule's, or a bare one."""
    if not path.endswith(_HEAD):
        return None
    folder = path.removesuffix(_HEAD)
    known = folder == b".git" or folder.endswith(b"/.git") or folder + b"/objects" in paths
    return folder if known and folder + b"/config" in paths else None


def read_repository(folder: bytes, read: Read) -> Repository:
    """The repository in ``folder``. `ParseError` ``repository.*``."""
    head = (read(folder + _HEAD) or b"").strip()
    ref = head.removeprefix(b"ref:").strip() if head.startswith(b"ref:") else None
    if ref is None:
        if _COMMIT.match(head) is None:
            raise ParseError("repository.head", "HEAD is neither a commit nor a ref")
        commit: bytes | None = head
    elif _REF.match(ref) is None or b".." in ref:
        raise ParseError("repository.head", "HEAD names no ref")
    else:
        commit = _resolved(folder, ref, read)
    return Repository(
        path="/" + folder.decode("utf-8", "backslashreplace"),
        commit=None if commit is None else commit.decode("ascii"),
        ref=None if ref is None else ref.decode("ascii"),
        remotes=_remotes(read(folder + b"/config") or b""),
    )


def _resolved(folder: bytes, ref: bytes, read: Read) -> bytes | None:
    """The commit of a branch; ``None``: it has none yet."""
    loose = read(folder + b"/" + ref)
    if loose is not None:
        return _commit(loose.strip())
    for line in (read(folder + b"/packed-refs") or b"").splitlines():
        commit, _, name = line.partition(b" ")
        if name == ref:
            return _commit(commit)
    return None


def _commit(text: bytes) -> bytes:
    if _COMMIT.match(text) is None:
        raise ParseError("repository.refs", "a ref that is no commit")
    return text


def _remotes(config: bytes) -> tuple[str, ...]:
    """``url`` of each section ``remote`` (git-config(1), "CONFIGURATION FILE")."""
    try:
        text = config.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError("repository.config", "its configuration is not UTF-8") from error
    found: set[str] = set()
    remote = False
    for line in text.splitlines():
        section = _SECTION.match(line)
        if section is not None:
            remote = section[1].lower() == "remote"
            line = line[section.end() :]
        url = _URL.match(line) if remote else None
        if url is not None and url[1]:
            found.add(without_credentials(url[1].strip('"')))
    if len(found) > _MAX_REMOTES or any(len(one) > _MAX_TEXT for one in found):
        raise ParseError("repository.config", "more or longer remotes than a repository has")
    return tuple(sorted(found))


def without_credentials(text: str) -> str:
    """Every address in ``text`` without user and password."""
    return _CREDENTIALS.sub(r"\1", text)
