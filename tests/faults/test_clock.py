"""A machine whose clock is wrong by decades: what is computed stays the same, all else is typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.promises import broken_promises
from tests.faults.world import World, living_world, run_child

pytestmark = pytest.mark.interop

MOMENTS = {"1970": "@1970-01-01 00:00:01", "2106": "@2106-02-08 12:00:00"}
"""The second is past the last second of an unsigned time of 32 bits."""
AFTER_2106 = datetime(2106, 2, 8, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def library() -> str:
    """libfaketime, which `make test` brings as root on Debian."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("libfaketime is not on this machine: `make test` brings it, as root on Debian")
    return str(found[0])


@pytest.fixture
def at(library: str) -> Callable[[str], dict[str, str]]:
    """What a child's environment needs to see such a clock."""
    return lambda moment: {
        "LD_PRELOAD": library,
        "FAKETIME": MOMENTS[moment],
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "TZ": "UTC",
    }


def test_the_clock_is_really_wrong(at: Callable[[str], dict[str, str]]) -> None:
    for moment in MOMENTS:
        told = subprocess.run(
            [sys.executable, "-c", "import datetime; print(datetime.datetime.now().year)"],
            env={**os.environ, **at(moment)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.strip() == moment


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_image_is_the_same(
    world: World, at: Callable[[str], dict[str, str]], moment: str, tmp_path: Path
) -> None:
    source = f"dir:{world.folder / 'root'}"
    output = tmp_path / "app.eif"
    words = ["build", source, "-o", str(output), "--cmd", "/program"]
    done = run_child(words, {**os.environ, **at(moment)}, tmp_path, 0.0)
    assert done.status == 0, done.stderr
    assert output.read_bytes() == world.image.read_bytes()
    beside = output.with_suffix(".measurements.json")
    assert beside.read_bytes() == world.image.with_suffix(".measurements.json").read_bytes()


@pytest.mark.parametrize("moment", MOMENTS)
def test_signing_with_such_a_clock_is_refused_before_anything_is_pushed(
    world: World, at: Callable[[str], dict[str, str]], moment: str
) -> None:
    with world.round() as one:
        environment = one.environment(**at(moment))
        words = ["publish", str(world.image), one.reference, "--json"]
        words += ["--trust-config", str(one.folder / "trust.json")]
        done = run_child(words, environment, one.folder, 0.0)
        assert broken_promises(one, done, seconds=60) == []
        wanted = {"1970": (3, "trust.clock"), "2106": (2, "sign.identity.form")}
        assert (done.status, done.code) == wanted[moment]
        assert one.registry.requests == []


def test_a_verdict_is_the_same_or_there_is_none(world: World, at: Callable[[str], dict[str, str]]) -> None:
    """A signature is judged at the time that its log proves; before any key was in use, not at all."""
    with world.round() as one:
        assert one.publish().status == 0
        words = ["verify", one.reference, "--json", "--repo", "acme/enclave"]
        words += ["--trust-config", str(one.folder / "trust.json")]
        now = run_child(words, one.environment(), one.folder, 0.0)
        late, early = (
            run_child(words, one.environment(**at(moment)), one.folder, 0.0) for moment in ("2106", "1970")
        )
        assert (late.status, json.loads(late.stdout)) == (0, json.loads(now.stdout))
        assert (early.status, early.code) == (3, "trust.clock")
        assert "1970-01-01" in early.stdout


@pytest.fixture(scope="module")
def future(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Services that live in 2106."""
    started = datetime.now(UTC)

    def clock() -> datetime:
        return AFTER_2106 + (datetime.now(UTC) - started)

    with living_world(tmp_path_factory.mktemp("future"), clock=clock) as living:
        yield living


def test_all_of_it_works_in_2106(future: World, library: str) -> None:
    """Certificates, tokens, log entries and time-stamps past the end of 32 bits."""
    seconds = (AFTER_2106 + timedelta(seconds=20)).strftime("@%Y-%m-%d %H:%M:%S")
    clock = {"LD_PRELOAD": library, "FAKETIME": seconds, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "TZ": "UTC"}
    with future.round() as one:
        for verb in ("publish", "verify"):
            words = [verb, *([str(future.image)] if verb == "publish" else []), one.reference, "--json"]
            words += ["--trust-config", str(one.folder / "trust.json")]
            words += ["--repo", "acme/enclave"] if verb == "verify" else []
            done = run_child(words, one.environment(**clock), one.folder, 0.0)
            assert broken_promises(one, done, seconds=60) == []
            assert done.status == 0, done.stdout
