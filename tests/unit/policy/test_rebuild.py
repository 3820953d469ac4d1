"""Who says that it came out again: told by whose word it is, and deciding nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from glassclave.policy.checks.rebuild import rebuild_findings, says_the_same
from glassclave.policy.model import Policy
from glassclave.provenance.claims import Claims
from glassclave.provenance.evidence import VerifiedSignature
from glassclave.provenance.rebuild import SignedRebuild
from glassclave.results import Finding, Measurements, Severity
from tests.unit.flows.published import COMMIT, EVIL, GOOD, SIGNED_AT
from tests.unit.provenance.rebuilds import REBUILD

WEEKLY = "https://github.com/acme/hello/.github/workflows/enclave-rebuild.yml@refs/heads/main"
OWN = replace(
    GOOD,
    san_uri=WEEKLY,
    build_signer_uri=WEEKLY,
    source_repository_digest="ab" * 20,
    source_repository_ref="refs/heads/main",
    build_trigger="schedule",
)
BASE = REBUILD.surroundings[0]
# The workflow that builds and the commit are pinned: that says nothing about who may rebuild.
POLICY = Policy(repository="acme/hello", signer_workflow=".github/workflows/build.yml", source_digest=COMMIT)


def rebuilt_by(claims: Claims, *, days: int = 0, log: int = 7) -> SignedRebuild:
    signature = VerifiedSignature(
        kind="bundle",
        claims=claims,
        signed_at=SIGNED_AT + timedelta(days=days),
        log_index=log,
        payload_type="application/vnd.in-toto+json",
        payload=b"",
        certificate_der=b"",
    )
    return SignedRebuild(signature, replace(REBUILD, surroundings=()))


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        (OWN, "rebuild.own"),
        (replace(OWN, source_repository_uri="https://github.com/ACME/Hello"), "rebuild.own"),
        (replace(OWN, runner_environment="self-hosted"), "rebuild.doubtful"),
        (replace(OWN, build_trigger="pull_request"), "rebuild.doubtful"),
        (replace(OWN, source_repository_ref="refs/heads/x"), "rebuild.doubtful"),
        (replace(OWN, visibility="private"), "rebuild.doubtful"),
        (replace(OWN, issuer="https://example.org"), "rebuild.doubtful"),
        (replace(OWN, build_signer_uri=WEEKLY.replace("hello", "evil")), "rebuild.doubtful"),
        (replace(OWN, source_repository_uri="https://github.com/acme/hello2"), "rebuild.foreign"),
        (EVIL, "rebuild.foreign"),
        (Claims(san_uri=WEEKLY, issuer=OWN.issuer), "rebuild.foreign"),
        (Claims(), "rebuild.foreign"),
    ],
)
def test_whose_word_it_is(claims: Claims, code: str) -> None:
    (finding,) = rebuild_findings([rebuilt_by(claims)], POLICY)
    assert (finding.code, finding.severity) == (code, Severity.NOTE)
    assert ("FOREIGN" in finding.message) is (code == "rebuild.foreign")
    assert "2026-11-23 06:12:04Z" in finding.message


def test_the_lines() -> None:
    foreign = replace(EVIL, build_signer_uri=None, san_uri=None)
    own, other = rebuild_findings([rebuilt_by(foreign), rebuilt_by(OWN)], POLICY)
    assert own.message == (
        "rebuilt to the same PCRs by acme/hello/.github/workflows/enclave-rebuild.yml@refs/heads/main"
        " (the repository's own) at 2026-11-23 06:12:04Z"
    )
    assert other.message == (
        "rebuilt to the same PCRs by nobody who is named"
        " (FOREIGN, no workflow of GitHub's: whether to believe it is yours to say) at 2026-11-23 06:12:04Z"
    )


def test_one_line_a_signer_with_the_latest_in_any_order() -> None:
    weeks = [rebuilt_by(OWN, days=7 * week, log=week) for week in range(3)]
    for given in (weeks, weeks[::-1]):
        (finding,) = rebuild_findings(given, POLICY)
        assert "at 2026-12-07 06:12:04Z, the last of 3" in finding.message


def test_the_latest_is_that_of_the_time_and_of_the_log_only_in_one_second() -> None:
    def told(*rebuilds: tuple[int, int]) -> str:
        given = [rebuilt_by(OWN, days=day, log=log) for day, log in rebuilds]
        marked = [
            replace(one, predicate=replace(REBUILD, surroundings=(replace(BASE, what=f"base {place}"),)))
            for place, one in enumerate(given)
        ]
        (finding,) = rebuild_findings(marked, POLICY)
        assert ", the last of 2; " in finding.message
        return finding.message.rpartition(" ")[2]

    assert told((1, 5), (0, 9)) == told((0, 9), (0, 5)) == "0"
    assert told((0, 9), (1, 5)) == told((0, 5), (0, 9)) == "1"


def test_signers_that_no_workflow_names_are_told_apart_by_their_subject() -> None:
    nobodies = [Claims(san_uri=f"https://example.org/{name}") for name in "ab"]
    assert len(rebuild_findings([rebuilt_by(one) for one in nobodies], POLICY)) == 2


def test_whose_run_a_foreign_rebuild_is() -> None:
    def whose(claims: Claims) -> str:
        (finding,) = rebuild_findings([rebuilt_by(claims)], POLICY)
        return finding.message.partition("FOREIGN, ")[2].partition(":")[0]

    assert whose(EVIL) == "a run of acme/evil"
    assert whose(replace(EVIL, source_repository_uri=None)) == "no workflow of GitHub's"


def test_what_was_not_the_same_is_said_and_cannot_move_the_cursor() -> None:
    one = rebuilt_by(replace(OWN, build_signer_uri=WEEKLY))
    bent = SignedRebuild(one.signature, REBUILD)
    (finding,) = rebuild_findings([bent], POLICY)
    assert finding.message.endswith("; not as in the first build: base debian:12")
    evil = replace(REBUILD.surroundings[0], what="x\x1b[2J\u202e" + "y" * 5000)
    (finding,) = rebuild_findings(
        [SignedRebuild(one.signature, replace(REBUILD, surroundings=(evil,)))], POLICY
    )
    assert "\x1b" not in finding.message
    assert "\u202e" not in finding.message
    assert len(finding.message) < 1100


def test_no_more_than_a_few_signers_are_named_and_the_own_one_is_among_them() -> None:
    def found(signers: int) -> list[Finding]:
        uri = "https://github.com/a/b/.github/workflows/"
        many = [rebuilt_by(replace(EVIL, build_signer_uri=f"{uri}{n:02}.yml@r")) for n in range(signers)]
        return rebuild_findings([*many, rebuilt_by(OWN)], POLICY)

    assert [one.code for one in found(7)] == ["rebuild.own"] + 7 * ["rebuild.foreign"]
    for others in (8, 10):
        named = found(others)
        assert [one.code for one in named] == ["rebuild.own"] + 7 * ["rebuild.foreign"] + ["rebuild.more"]
        assert named[-1].message == f"and by {others - 7} more signers"


def test_it_is_about_these_registers_and_this_source() -> None:
    measured = Measurements(pcr0=b"\0" * 48, pcr1=b"\1" * 48, pcr2=b"\2" * 48, pcr8=b"8" * 48)
    assert says_the_same(REBUILD, measured, GOOD)
    for name in ("pcr0", "pcr1", "pcr2"):
        assert not says_the_same(REBUILD, replace(measured, **{name: b"x" * 48}), GOOD)
    for change in (
        {"commit": "ab" * 20},
        {"repository": "https://github.com/acme/evil"},
        {"repository": "https://github.com/Acme/hello"},
    ):
        assert not says_the_same(replace(REBUILD, **change), measured, GOOD)  # type: ignore[arg-type]
