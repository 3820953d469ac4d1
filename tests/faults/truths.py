"""Images of which it is known what `verify` must say, for sweeps in which the registry is at fault."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glassclave.provenance.predicate import PREDICATE_TYPE
from tests.faults.kinds import OUTAGES, SLOW
from tests.faults.promises import broken_to_readers
from tests.faults.proxy import Plan, nothing
from tests.faults.world import Done, Round, Runner, World, run_child

NO_ANSWER = frozenset(
    {*OUTAGES, *SLOW, "401", "403", "429-hour", "announces-more", "announces-less", "elsewhere", "circle"}
    | {"many-headers", "long-header", "other-bytes"}
)
"""Kinds after which a registry has said nothing of what it has: a verdict must be that without the fault."""
_RUN = {
    "GITHUB_REPOSITORY": "acme/enclave",
    "GITHUB_RUN_ID": "777",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_SHA": "a" * 40,
    "GITHUB_JOB": "build",
}


@dataclass(frozen=True)
class Truth:
    """What stands in ``repository``, and what `verify` for the repository ``asked`` says of it."""

    repository: str
    asked: str
    wanted: tuple[int, str]
    requests: int
    said: Mapping[str, Any]

    def verify(self, world: World, plan: Plan, runner: Runner) -> tuple[Done, list[str]]:
        """One run behind a registry at fault, and the promises of any run that it broke."""
        with world.round(registry=plan, repository=self.repository) as one:
            done = one.verify(repo=self.asked, runner=runner)
            return done, broken_to_readers(one, done, seconds=30)

    def broken(self, kind: str, done: Done) -> Iterator[str]:
        """What a verdict may not be, whatever was at fault."""
        if done.status == 0 and self.wanted[0] != 0:
            yield "status 0, and nothing earned it"
        elif done.status == 0 and _content(json.loads(done.stdout)) != self.said:
            yield f"status 0, and not what it is without a fault: {done.stdout}"
        if done.status == 1 and kind in NO_ANSWER and done.refusal != self.wanted[1]:
            yield f"a fault became a verdict: {done.refusal}"


def _content(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What may not depend on which of several good pieces of evidence could be had."""
    subject = {name: value for name, value in verdict["subject"].items() if name != "reference"}
    kept = ("level", "passed", "required", "trust", "policy", "statement")
    steps = {check["step"]: check["status"] for check in verdict["checks"]}
    return {**{name: verdict[name] for name in kept}, "subject": subject, "steps": steps}


def signed(one: Round, runner: Runner) -> None:
    """As `publish` does it."""
    assert one.publish(runner).status == 0


def logged(one: Round, runner: Runner) -> None:
    """With the log of its build."""
    text = one.folder / "step.log"
    text.write_text("2026-11-24T10:00:01Z make\n")
    words = ["log", "collect", "-o", str(one.folder / "kept"), "--file", f"Build={text}", "--json"]
    kept = run_child(words, {**os.environ, **_RUN}, Path(one.folder), 0.0)
    assert kept.status == 0, kept.stdout
    done = one.publish(runner, "--log", str(one.folder / "kept"))
    assert done.status == 0, done.stdout


def unsigned(one: Round, runner: Runner) -> None:
    """By nobody."""
    done = one.publish(runner, "--unsigned")
    assert done.status == 0, done.stdout


def unstated(one: Round, runner: Runner) -> None:
    """Signed, and the statement of what it measures is gone."""
    signed(one, runner)
    digest = str(one.tag())
    for entry in one.referrers(digest):
        if entry["annotations"]["dev.sigstore.bundle.predicateType"] == PREDICATE_TYPE:
            one.remove(entry["digest"])
    assert len(one.referrers(digest)) == 1


MAKERS: Mapping[str, tuple[Callable[[Round, Runner], None], str, tuple[int, str]]] = {
    "signed": (signed, "acme/enclave", (0, "")),
    "logged": (logged, "acme/enclave", (0, "")),
    "by another": (signed, "acme/other", (1, "identity.repository.mismatch")),
    "unsigned": (unsigned, "acme/enclave", (1, "signature.none")),
    "unstated": (unstated, "acme/enclave", (1, "statement.none")),
}


def make_truths(world: World, runner: Runner) -> dict[str, Truth]:
    """Each of them published, and judged once without a fault."""
    return {name: _make(world, runner, *row) for name, row in MAKERS.items()}


def _make(
    world: World, runner: Runner, make: Callable[[Round, Runner], None], asked: str, wanted: tuple[int, str]
) -> Truth:
    with world.round() as one:
        make(one, runner)
        repository = one.repository
    with world.round(nothing, repository=repository) as one:
        done = one.verify(repo=asked, runner=runner)
        found = (done.status, "" if done.status == 0 else done.refusal)
        assert found == wanted, done.stdout
        said = _content(json.loads(done.stdout))
        return Truth(repository, asked, wanted, len(one.registry.requests), said)
