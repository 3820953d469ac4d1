"""Good inputs, damaged: cut, grown, doubled, with parts of other inputs. Only our own errors come out.

The same functions and the same good inputs as in tests/fuzz; here without coverage and without atheris, so
that every run of the tests does some of it.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

SEEDS: dict[str, list[bytes]] = {}
for _target, _, _data in seeds():
    SEEDS.setdefault(_target, []).append(_data)

TOKENS = (
    *(b"\0", b"\xff", b"\xff" * 8, b"\x80", b"[", b"{", b'"', b"\\", b"\\ud800", b"null", b"1e999", b"-1"),
    *(
        b"true",
        b"[]",
        b"{}",
        b"9" * 5000,
        b"[" * 100,
        b"\n",
        b"$",
        b"${",
        b"..",
        b"/",
        b"%",
        b"\x1f\x8b\x08\0",
    ),
    *(b"\x9f", b"\xbf", b"\x5f", b"\xd8\x12", b"\xfb" + bytes(8), b"\x30\x80", b"\x30\x84\xff\xff\xff\xff"),
)
PIECES = st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6))


@st.composite
def damaged(draw: st.DrawFn, target: str) -> bytes:
    """A good input with up to four changes."""
    data = draw(st.sampled_from(SEEDS[target]))
    for _ in range(draw(st.integers(0, 4))):
        start, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        kind = draw(st.sampled_from(["put", "over", "cut", "double", "end", "splice"]))
        piece = draw(PIECES)
        if kind == "put":
            data = data[:start] + piece + data[start:]
        elif kind == "over":
            data = data[:start] + piece + data[start + len(piece) :]
        elif kind == "cut":
            data = data[:start] + data[end:]
        elif kind == "double":
            data = data[:end] + data[start:end][:4096] + data[end:]
        elif kind == "end":
            data = data[:start]
        else:
            other = draw(st.sampled_from(SEEDS[target]))
            data = data[:start] + other[min(end, len(other)) :]
    return data


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_damage_ends_in_words(target: str) -> None:
    @settings(max_examples=max(150, settings().max_examples))
    @given(damaged(target))
    def each(data: bytes) -> None:
        TARGETS[target](data)

    each()
