"""Untrusted text made safe to show on a terminal or in a log (promise 5 of the design).

Control characters (C0, C1, DEL), bidirectional overrides, line and paragraph separators, invisible format
characters, surrogates and private-use characters come out as ``\\u{hex}``; everything else stays as it is.
"""

from __future__ import annotations

import unicodedata

_SHOWN_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def escape_untrusted(text: str, *, limit: int = 1024) -> str:
    """``text`` with every character that could move, hide or reorder output written out.

    Longer than ``limit`` characters is cut with a note of how much was left out.
    """
    cut = text[:limit]
    shown = "".join(
        f"\\u{{{ord(char):x}}}" if unicodedata.category(char) in _SHOWN_ESCAPED else char for char in cut
    )
    left_out = len(text) - len(cut)
    return shown if left_out == 0 else f"{shown}… ({left_out} more characters)"


def escape_lines(text: str, *, limit: int = 4096) -> str:
    """Each line of ``text`` escaped by itself: the line ends stay, of what we wrote ourselves."""
    return "\n".join(escape_untrusted(line, limit=limit) for line in text.rstrip("\n").split("\n"))


def escape_bytes(data: bytes, *, limit: int = 1024) -> str:
    """``data`` as UTF-8 text where it is, else with ``\\x`` escapes; then as `escape_untrusted`."""
    return escape_untrusted(data[: limit * 4].decode("utf-8", "backslashreplace"), limit=limit)
