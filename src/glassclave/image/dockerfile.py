"""What a Dockerfile takes from outside of its folder: base images, and addresses that are added.

Only as far as it can be read without running anything (Dockerfile reference, "FROM", "ARG", "ADD", "COPY",
"Parser directives"). What a RUN step fetches nobody can read off: of it only the commands are here that may.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from glassclave.errors import LimitError, ParseError
from glassclave.image.commands import Command, fetching_commands

MAX_SIZE = 1 << 20
MAX_EXPANDED = 4 << 20
"""Characters that all variables together may grow to: each of a few lines can multiply the one before it."""
_DIRECTIVE = re.compile(r"#\s*([A-Za-z]+)\s*=\s*(.*)\Z")
# At a word's begin only, as BuildKit has it: `<<<` and `1<<N` of a shell are none.
_HEREDOC = re.compile(r"(?<!\S)\d*<<-?([\"']?)([A-Za-z_][A-Za-z0-9_]*)\1")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)(?::([-+])([^}]*))?\}|([A-Za-z_][A-Za-z0-9_]*))")
_BARE_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})\Z")
_REMOTE = re.compile(r"(?:https?|git|ssh)://|git@", re.IGNORECASE)
_ARGUMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:=(.*))?\Z", re.DOTALL)
_WITH_HEREDOC = frozenset({"RUN", "COPY", "ADD"})


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image that the build starts from or copies from: its name as asked for, and the digest in it."""

    name: str

    @property
    def digest(self) -> str | None:
        """``sha256:…`` where the name pins one; ``None``: the name decides anew at every build."""
        found = _DIGEST.search(self.name)
        return None if found is None else found[1]


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """``bases``: in order, each once. ``added``: addresses that ADD fetches, as written.

    ``root``: the image below all stages that the result is made of, ``None``: it begins with nothing.
    ``commands``: those of RUN steps that may fetch.
    """

    bases: tuple[BaseImage, ...]
    added: tuple[str, ...]
    root: BaseImage | None
    commands: tuple[Command, ...]


def parse_dockerfile(
    data: bytes, *, source: str, build_args: Mapping[str, str], target: str | None = None
) -> Dockerfile:
    """Read a Dockerfile with these build arguments, up to the stage ``target``.

    Raises `ParseError` ``dockerfile.*``, `LimitError` ``dockerfile.size``.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(
            "dockerfile.size", f"has {len(data):,} bytes, at most {MAX_SIZE:,} are read", source=source
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ParseError("dockerfile.encoding", "is not UTF-8", offset=error.start, source=source) from error
    reader = _Reader(dict(build_args), source)
    for line, word, rest in _instructions(text):
        if reader.take(line, word, rest, target):
            break
    if not reader.stages:
        raise ParseError("dockerfile.from", "has no FROM", source=source)
    root = reader.roots[-1]
    return Dockerfile(
        bases=tuple(BaseImage(name) for name in dict.fromkeys(reader.bases)),
        added=tuple(reader.added),
        root=None if root is None else BaseImage(root),
        commands=fetching_commands(reader.steps),
    )


class _Reader:
    """Stages so far and what they take."""

    def __init__(self, given: dict[str, str], source: str) -> None:
        self.stages: list[str] = []
        self.bases: list[str] = []
        self.added: list[str] = []
        self.roots: list[str | None] = []
        self.steps: list[tuple[int, str]] = []
        self._given = given
        self._global: dict[str, str] = {}
        self._local: dict[str, str] = {}
        self._source = source
        self._last = False
        self._room = MAX_EXPANDED

    def take(self, line: int, word: str, rest: str, target: str | None) -> bool:
        """One instruction; whether everything that ``target`` needs is over."""
        if word == "FROM":
            if self._last:
                return True
            self._from(line, rest)
            self._last = target is not None and target.lower() in (self.stages[-1], str(len(self.stages) - 1))
        elif word == "ARG":
            self._arg(rest)
        elif word == "ENV":
            self._env(rest)
        elif word in ("ADD", "COPY"):
            self._copy(word, rest.partition("\n")[0])
        elif word == "RUN":
            self.steps.append((line, rest))
        return False

    def _from(self, line: int, rest: str) -> None:
        words = [item for item in rest.split() if not item.startswith("--")]
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
            raise ParseError("dockerfile.from", f"line {line}: FROM names no image", source=self._source)
        name = self._expand(words[0], self._global)
        self._base(name)
        self.roots.append(self._root(name))
        self.stages.append(words[2].lower() if len(words) == 3 else "")
        self._local = {}

    def _base(self, name: str) -> None:
        stages = {stage for stage in self.stages if stage}
        if name.lower() != "scratch" and name.lower() not in stages:
            self.bases.append(name)

    def _root(self, name: str) -> str | None:
        """What lies below a stage that starts from ``name``: below another stage what lies below that."""
        if name and name.lower() in self.stages:
            return self.roots[len(self.stages) - 1 - self.stages[::-1].index(name.lower())]
        return None if name.lower() == "scratch" else name

    def _arg(self, rest: str) -> None:
        for item in _words(rest):
            found = _ARGUMENT.match(item)
            if found is None:
                continue
            name, default = found[1], found[2]
            known = self._local if self.stages else self._global
            if name in self._given:
                known[name] = self._given[name]
            elif default is not None:
                known[name] = self._expand(default, known)
            elif self.stages and name in self._global:
                known[name] = self._global[name]

    def _env(self, rest: str) -> None:
        words = _words(rest)
        pairs = words if words and "=" in words[0] else ["=".join(rest.split(None, 1))]
        for pair in pairs:
            name, equals, value = pair.partition("=")
            if equals:
                self._local[name] = self._expand(value, self._local)

    def _copy(self, word: str, rest: str) -> None:
        words = _words(rest)
        options = [item for item in words if item.startswith("--")]
        for option in options:
            origin = option.removeprefix("--from=")
            if origin != option and not (origin.isdigit() and int(origin) < len(self.stages)):
                self._base(self._expand(origin, self._local))
        if word == "ADD":
            sources = [self._expand(item, self._local) for item in _operands(rest)][:-1]
            self.added += [item for item in sources if _REMOTE.match(item)]

    def _expand(self, text: str, values: Mapping[str, str]) -> str:
        """Variables replaced; one that is not known is empty, as for the builder."""

        def braced(found: re.Match[str]) -> str:
            known = values.get(found[1] or found[4], "")
            if found[2] == "-":
                known = known or found[3]
            elif found[2] == "+":
                known = found[3] if known else ""
            return self._counted(known)

        # Behind the last brace no ${…} ends: the search for an end would run through all the rest each time.
        head, brace, tail = text.strip("\"'").rpartition("}")
        bare = _BARE_VARIABLE.sub(lambda found: self._counted(values.get(found[1], "")), tail)
        return _VARIABLE.sub(braced, head + brace) + bare

    def _counted(self, value: str) -> str:
        self._room -= len(value)
        if self._room < 0:
            raise LimitError("dockerfile.size", "its variables grow without end", source=self._source)
        return value


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, instruction in upper case, and its arguments with continuations joined.

    Here-documents follow in lines of their own.
    """
    lines = text.splitlines()
    escape = _escape(lines)
    pending, begin, at = "", 0, 0
    while at < len(lines):
        line, at = lines[at], at + 1
        # Comments stand between the lines of one instruction too; empty lines there are ignored.
        if line.lstrip().startswith("#") or not line.strip():
            continue
        begin = begin or at
        stripped = line.rstrip()
        if stripped.endswith(escape):
            pending += stripped[:-1] + " "
            continue
        word, _, rest = (pending + stripped).strip().partition(" ")
        body = at
        if word.upper() in _WITH_HEREDOC:
            at = _behind_heredocs(lines, at, rest)
        yield begin, word.upper(), "\n".join([rest.strip(), *lines[body:at]])
        pending, begin = "", 0
    if pending.strip():
        word, _, rest = pending.strip().partition(" ")
        yield begin, word.upper(), rest.strip()


def _escape(lines: list[str]) -> str:
    """The character that continues a line: directives stand before everything else."""
    for line in lines:
        found = _DIRECTIVE.match(line.strip())
        if found is None:
            break
        if found[1].lower() == "escape" and found[2] in ("\\", "`"):
            return found[2]
    return "\\"


def _behind_heredocs(lines: list[str], at: int, rest: str) -> int:
    for found in _HEREDOC.finditer(rest):
        while at < len(lines) and lines[at].strip("\t") != found[2] and lines[at] != found[2]:
            at += 1
        at += 1
    return at


def _operands(rest: str) -> list[str]:
    """What stands behind the options, in either form: words, or a JSON array."""
    bare = re.sub(r"^(?:--\S+\s+)*", "", rest)
    if bare.startswith("["):
        try:
            items = json.loads(bare)
        except (ValueError, RecursionError):
            items = None
        if isinstance(items, list):
            return [item for item in items if isinstance(item, str)]
    return _words(bare)


def _words(text: str) -> list[str]:
    """Words as the builder splits them: quotes keep blanks, and go."""
    words: list[str] = []
    word: list[str] = []
    quote, inside = "", False
    for char in text:
        if quote:
            if char == quote:
                quote = ""
            else:
                word.append(char)
        elif char in "\"'":
            quote, inside = char, True
        elif char.isspace():
            if word or inside:
                words.append("".join(word))
            word, inside = [], False
        else:
            word.append(char)
    return [*words, "".join(word)] if word or inside else words
