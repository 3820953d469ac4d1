"""Commands of a Dockerfile's RUN steps that may fetch something, as far as they can be told by their names.

What is listed may fetch nothing, and what is not listed may fetch anything (a script that fetches, a program
under another name): it says where to look, and no more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from glassclave.image.repositories import without_credentials

MAX_TEXT = 500
"""Characters of a command that are kept: the Dockerfile, whose digest is known, has the rest."""

_ANY: frozenset[str] = frozenset()
_INSTALL = frozenset(
    {"install", "i", "ci", "add", "update", "upgrade", "up", "sync", "get", "fetch", "download"}
)
_SYSTEM = frozenset(
    {"install", "update", "upgrade", "dist-upgrade", "full-upgrade", "add", "fetch", "download", "source",
     "build-dep", "makecache", "groupinstall", "reinstall", "in", "up", "dup", "ref", "refresh"}
)  # fmt: skip
_PROGRAMS: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        ("curl", "wget", "aria2c", "axel", "scp", "sftp", "rsync", "ftp", "npx", "svn", "hg"), _ANY
    ),
    **dict.fromkeys(
        ("apt", "apt-get", "aptitude", "apk", "dnf", "microdnf", "yum", "zypper", "tdnf"), _SYSTEM
    ),
    **dict.fromkeys(("debootstrap", "skopeo", "crane", "oras", "gh", "aws", "gsutil", "npm", "pnpm"), _ANY),
    **dict.fromkeys(("yarn", "bun", "pacman", "cargo", "rustup", "mvn", "gradle", "nix", "conda"), _ANY),
    **dict.fromkeys(("pip", "pip3", "pipx", "uv", "poetry", "pipenv", "pdm", "gem", "bundle"), _INSTALL),
    **dict.fromkeys(("composer", "dotnet", "luarocks", "cpanm", "easy_install"), _ANY),
    "git": frozenset({"clone", "fetch", "pull", "submodule", "ls-remote", "archive", "lfs"}),
    "go": frozenset({"install", "get", "mod", "build", "run", "generate", "test"}),
    "docker": frozenset({"pull", "run", "build", "buildx"}),
}
"""Programs, and the words of which one makes them fetch; no words: always listed."""
_MODULES = frozenset({"pip", "pipx", "uv", "poetry", "pipenv", "pdm", "easy_install"})

_BORDERS = re.compile(r"&&|\|\||\$\(|[;|&\n`(){}]")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_OPTION = re.compile(r"\A(?:--(?:mount|network|security)=\S+\s+)+")
_PYTHON = re.compile(r"python[0-9.]*\Z")
_BEFORE = frozenset(
    {"if", "then", "else", "elif", "while", "until", "do", "!", "time", "exec", "eval", "command", "builtin",
     "sudo", "env", "nohup", "nice", "xargs", "sh", "bash", "ash", "dash", "/bin/sh", "set", "yes"}
)  # fmt: skip
"""Words that another command follows."""


@dataclass(frozen=True, slots=True, order=True)
class Command:
    """``line``: of the RUN step, counted from 1; ``text``: the command, shortened, on one line."""

    line: int
    text: str


def fetching_commands(steps: Iterable[tuple[int, str]]) -> tuple[Command, ...]:
    """The commands of these RUN steps (line, arguments) that may fetch, in their order, each once."""
    found = (
        Command(line, _shown(text)) for line, rest in steps for text in _simple(rest) if _may_fetch(text)
    )
    return tuple(dict.fromkeys(found))


def _simple(rest: str) -> Iterator[str]:
    """The single commands of a step. Borders inside quotes are taken for borders too: that only adds some."""
    script = _script(_OPTION.sub("", rest))
    for part in _BORDERS.split(script):
        if part.strip():
            yield part


def _script(text: str) -> str:
    """A step in the form of a JSON array as one line."""
    if not text.startswith("["):
        return text
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return " ".join(map(str, words)) if isinstance(words, list) else text


def _may_fetch(text: str) -> bool:
    words = [word.strip("\"'@") for word in text.split()]
    while words and (words[0] in _BEFORE or words[0].startswith("-") or _SETTING.match(words[0])):
        del words[0]
    if not words:
        return False
    name = words[0].rpartition("/")[2]
    if _PYTHON.match(name):
        module = words[2:3] if words[1:2] == ["-m"] else []
        return bool(module) and module[0] in _MODULES and _asked(module[0], words[3:])
    return name in _PROGRAMS and _asked(name, words[1:])


def _asked(name: str, words: list[str]) -> bool:
    needed = _PROGRAMS[name]
    return not needed or not needed.isdisjoint(words)


def _shown(text: str) -> str:
    line = without_credentials(" ".join(text.split()))
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"
