"""The strict reader apart from the structure: how much of a section is read, and what is hashed."""

from __future__ import annotations

import pytest

from glassclave.eif.format import SectionType
from glassclave.eif.reader import measure_image, measure_sections
from glassclave.errors import LimitError
from glassclave.progress import Silent
from tests.unit.eif.images import METADATA_TEXT, by_hand, read


def test_a_section_is_read_up_to_the_limit_and_not_a_byte_more() -> None:
    image = read(by_hand())
    (section,) = image.of_type(SectionType.METADATA)
    assert image.data(section, limit=section.size) == METADATA_TEXT
    with pytest.raises(LimitError) as caught:
        image.data(section, limit=section.size - 1)
    assert (caught.value.code, caught.value.offset) == ("eif.section.limit", section.offset)


def test_the_whole_file_is_hashed_only_where_that_is_asked_for() -> None:
    image = read(by_hand())
    for measured in (measure_image(image), measure_sections(image.source, image.header, image.sections)):
        assert (measured.file_sha256, measured.file_sha384) == (None, None)
    assert measure_image(image, file_digests=True).file_sha256 is not None


class Told(Silent):
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int | None]] = []

    def advance(self, name: str, done: int, total: int | None) -> None:
        self.seen.append((name, done, total))


def test_progress_is_told_up_to_the_end() -> None:
    data, told = by_hand(), Told()
    measure_image(read(data), progress=told)
    assert told.seen[-1] == ("measure", len(data), len(data))
