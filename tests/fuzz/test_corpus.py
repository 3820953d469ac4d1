"""Every input that was kept, through its target: what was found once is not found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
MOST_BYTES = 300 << 10


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.timeout(120)
def test_the_corpus_ends_in_words(target: str) -> None:
    kept = sorted((CORPUS / target).iterdir())
    assert kept
    for path in kept:
        try:
            TARGETS[target](path.read_bytes())
        except Exception as error:
            raise AssertionError(f"{target}: {path.name}") from error


@pytest.mark.timeout(120)
def test_what_fuzzing_begins_with_ends_in_words_too() -> None:
    begun = {target for target, _, data in seeds() if TARGETS[target](data) is None}
    assert begun == set(TARGETS)


def test_the_corpus_is_small() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) <= MOST_BYTES
