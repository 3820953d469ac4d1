"""pytest in our hands: its tests are collected once, then run one by one in forked processes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from _pytest.tmpdir import TempPathFactory


class Loop:
    """A plugin that does ``work`` with the collected tests instead of running them."""

    def __init__(self, work: Callable[[Sequence[pytest.Item]], None]) -> None:
        self._work = work

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of pytest's own loop."""
        if session.testsfailed:
            raise session.Interrupted("not all tests could be collected")
        self._work(session.items)
        return True


def with_tests(paths: Sequence[str], work: Callable[[Sequence[pytest.Item]], None]) -> int:
    """Collects ``paths`` and does ``work``."""
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=0", "-m", "not acceptance"]
    return int(pytest.main([*options, *paths], plugins=[Loop(work)]))


def own_folder(item: pytest.Item) -> None:
    """Temporary folders of a forked process lie in its own, which is removed with it."""
    factory: TempPathFactory = item.config._tmp_path_factory  # type: ignore[attr-defined]
    if not str(factory._basetemp or "").startswith(tempfile.gettempdir() + "/tests"):
        factory._basetemp = Path(tempfile.mkdtemp(prefix="tests"))


def run_test(item: pytest.Item, following: pytest.Item | None = None) -> bool:
    """Whether it passed (or was skipped), with its fixtures. ``following``: which test comes next."""
    own_folder(item)
    reports = runtestprotocol(item, log=False, nextitem=following)
    return not any(report.failed for report in reports)
