"""Services that work, and processes that fork command lines: once for each file of tests."""

from collections.abc import Iterator

import pytest

from tests.faults.sweep import Pool
from tests.faults.world import World, living_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Behind which faults are injected."""
    with living_world(tmp_path_factory.mktemp("faults")) as living:
        yield living


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """Eight rounds at once: most of them wait most of the time."""
    pool = Pool(8)
    yield pool
    pool.close()
