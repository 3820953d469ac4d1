"""What every test shares: a skip says why, and where skips are counted an unexpected one fails the run."""

import fnmatch
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Examples are derived from the test, not from chance: two runs of one tree agree. `make soak` looks further.
settings.register_profile("house", derandomize=True, deadline=None, print_blob=True)
settings.register_profile(
    "soak", max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("GLASSCLAVE_EXAMPLES", "house"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Names the file that lists the skips a run may have."""
    parser.addoption(
        "--expected-skips",
        metavar="FILE",
        default=os.environ.get("GLASSCLAVE_EXPECTED_SKIPS"),
        help="fail on a skip that no pattern of FILE expects (default: $GLASSCLAVE_EXPECTED_SKIPS)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Counts skips in the controlling process only: xdist's workers report to it."""
    expected = config.getoption("expected_skips")
    if expected and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipGuard(read_patterns(Path(expected))), "glassclave-skip-guard")


BUILT_PEERS = frozenset({"cosign3", "referrers_registry", "eif_build", "nitro_cli"})
"""Fixtures of programs that `make peers` builds in minutes: their tests belong to `make acceptance`."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One enclave boots at a time, and the longest tests start first so that both workers end together."""
    for item in items:
        if BUILT_PEERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.acceptance)
        if item.get_closest_marker("boot"):
            item.add_marker(pytest.mark.xdist_group("boot"))
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    return next((n for n, name in enumerate(("boot", "interop")) if item.get_closest_marker(name)), 2)


def read_patterns(path: Path) -> tuple[str, ...]:
    """The patterns of an expected-skips file; a line is a pattern, then two spaces and the reason."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    patterns = (line.split("  ", 1)[0] for line in lines if line and not line.startswith("#"))
    return tuple(
        pattern.replace("[", "[[]") for pattern in patterns
    )  # ids of parametrized tests hold brackets


def skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test or a module was skipped, as one line."""
    if isinstance(report.longrepr, tuple):
        return " ".join(str(report.longrepr[2]).removeprefix("Skipped: ").split())
    return str(report.longrepr)


@dataclass(eq=False)  # pytest keeps plugins in sets: each is equal to itself only
class SkipGuard:
    """Fails a run in which something was skipped that no pattern expects."""

    patterns: Iterable[str]
    unexpected: dict[str, str] = field(default_factory=dict)

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Remembers a skip; an expected failure (xfail) is reported as skipped too, but is none."""
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        if not any(fnmatch.fnmatchcase(report.nodeid, pattern) for pattern in self.patterns):
            self.unexpected[report.nodeid] = skip_reason(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that was skipped, by a marker or from within."""
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A module that skipped itself while it was imported."""
        self.note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """An otherwise good run becomes a failed one."""
        if self.unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Names each unexpected skip."""
        if not self.unexpected:
            return
        terminalreporter.section("unexpected skips: this run fails")
        for nodeid, reason in sorted(self.unexpected.items()):
            terminalreporter.line(f"{nodeid}: {reason}")
