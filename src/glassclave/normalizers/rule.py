"""What a normalizer rule is: one source of variation, how it is recognised, its canonical form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One piece of knowledge with two uses: a build writes the canonical form, and a difference between two
    files is trivial if and only if their canonical forms are equal.

    ``id``: its name in a recipe. ``reason``: why the change is safe, for people. ``reference``: public source
    of the facts. ``profile``: the layout that applies it.
    ``concerns(path)``: a cheap look at the path alone, so that most files are never asked further.
    ``head_size``: how many of a file's first bytes the two functions below need.
    ``matches(path, head)``: whether the rule applies; ``head`` is shorter than ``head_size`` only where the
    whole file is.
    ``canonical(head, mtime)``: what stands instead of the head, in the same number of bytes; ``mtime`` is the
    constant time of the layout, in seconds since 1970. What follows the head is left as it is.
    """

    id: str
    reason: str
    reference: str
    profile: str
    head_size: int
    concerns: Callable[[bytes], bool]
    matches: Callable[[bytes, bytes], bool]
    canonical: Callable[[bytes, int], bytes]
