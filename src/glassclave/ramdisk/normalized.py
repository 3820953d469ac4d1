"""A file's content with the normalizers of a layout applied while it streams by."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass

from glassclave.image.tree import Content
from glassclave.normalizers import Rule

Buffer = bytes | memoryview


def normalized(
    path: bytes, content: Content, rules: Sequence[Rule], *, mtime: int, changed: MutableMapping[str, int]
) -> Content:
    """``content`` itself where no rule concerns ``path``, else a content of the same size that applies them.

    ``changed`` counts by rule id the files whose bytes a rule really changed, as they are read.
    """
    concerned = [rule for rule in rules if rule.concerns(path)]
    return NormalizedContent(path, content, concerned, mtime, changed) if concerned else content


@dataclass(frozen=True, slots=True)
class NormalizedContent:
    """Rewrites the head; everything behind it passes as it comes."""

    path: bytes
    content: Content
    rules: Sequence[Rule]
    mtime: int
    changed: MutableMapping[str, int]

    def chunks(self) -> Iterator[Buffer]:
        """See `Content`."""
        pieces = iter(self.content.chunks())
        size = max(rule.head_size for rule in self.rules)
        start, rest = _split_head(pieces, size)
        yield self._canonical(start)
        if rest:
            yield rest
        yield from pieces

    def _canonical(self, start: bytes) -> bytes:
        for rule in self.rules:
            head = start[: rule.head_size]
            if not rule.matches(self.path, head):
                continue
            canonical = rule.canonical(head, self.mtime)
            if canonical != head:
                self.changed[rule.id] = self.changed.get(rule.id, 0) + 1
                start = canonical + start[rule.head_size :]
        return start


def _split_head(pieces: Iterator[Buffer], size: int) -> tuple[bytes, Buffer]:
    """The first ``size`` bytes, which may come in several pieces, and what was read beyond them."""
    head = b""
    for piece in pieces:
        missing = size - len(head)
        head += bytes(piece[:missing])
        if len(head) == size:
            return head, memoryview(piece)[missing:]
    return head, b""
