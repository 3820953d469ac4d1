from __future__ import annotations

from dataclasses import replace

import pytest

from glassclave.errors import UsageError
from glassclave.policy.checks.identity import check_identity
from glassclave.policy.model import Policy, matches_ref, same_repository
from glassclave.provenance.claims import Claims
from glassclave.results import Status

COMMIT = "7f3e" * 10
SIGNER = "https://github.com/acme/hello/.github/workflows/build.yml@refs/tags/1.2"
GOOD = Claims(
    san_uri=SIGNER,
    issuer="https://token.actions.githubusercontent.com",
    build_signer_uri=SIGNER,
    runner_environment="github-hosted",
    source_repository_uri="https://github.com/acme/hello",
    source_repository_digest=COMMIT,
    source_repository_ref="refs/tags/1.2",
    build_trigger="push",
    visibility="public",
)
POLICY = Policy(repository="acme/hello")


def failures(claims: Claims, policy: Policy = POLICY) -> list[str]:
    return [check.code for check in check_identity(claims, policy) if check.status is Status.FAIL]


def test_the_identity_that_was_asked_for_passes_every_check() -> None:
    checks = check_identity(GOOD, POLICY)
    assert len(checks) == 8
    assert {check.status for check in checks} == {Status.PASS}


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (
            {"issuer": "https://token.actions.githubusercontent.com.evil.example"},
            ["identity.issuer.mismatch"],
        ),
        ({"source_repository_uri": "https://github.com/acme/hello-evil"}, ["identity.repository.mismatch"]),
        ({"source_repository_uri": "https://github.com/acme/hello/x"}, ["identity.repository.mismatch"]),
        ({"source_repository_uri": "https://gitlab.com/acme/hello"}, ["identity.repository.mismatch"]),
        (
            {"build_signer_uri": "https://github.com/evil/w/.github/workflows/build.yml@refs/tags/1.2"},
            ["identity.signer-workflow.foreign"],
        ),
        ({"build_signer_uri": "https://github.com/acme/hello"}, ["identity.signer-workflow.form"]),
        ({"source_repository_ref": "refs/heads/x"}, ["identity.source-ref.not-allowed"]),
        ({"source_repository_ref": "refs/pull/7/merge"}, ["identity.source-ref.not-allowed"]),
        ({"source_repository_ref": "refs/heads/main/x"}, ["identity.source-ref.not-allowed"]),
        ({"build_trigger": "pull_request_target"}, ["identity.trigger.not-allowed"]),
        ({"runner_environment": "self-hosted"}, ["identity.runner.not-github-hosted"]),
        ({"visibility": "private"}, ["identity.visibility.not-public"]),
        ({"visibility": "Public"}, ["identity.visibility.not-public"]),
    ],
)
def test_the_smallest_change_flips_one_check_and_no_other(change: dict[str, str], codes: list[str]) -> None:
    assert failures(replace(GOOD, **change)) == codes


@pytest.mark.parametrize(
    "claim",
    [
        "issuer",
        "source_repository_uri",
        "build_signer_uri",
        "san_uri",
        "source_repository_ref",
        "source_repository_digest",
        "build_trigger",
        "runner_environment",
        "visibility",
    ],
)
def test_a_missing_claim_is_a_failure(claim: str) -> None:
    assert failures(replace(GOOD, **{claim: None})) == ["identity.claim.missing"]


def test_repositories_compare_without_case_and_nothing_else_does() -> None:
    assert failures(GOOD, Policy(repository="ACME/Hello")) == []
    assert failures(replace(GOOD, build_trigger="Push")) == ["identity.trigger.not-allowed"]
    assert not same_repository("acme/hello", "acme/hellO\u212a")


def test_a_foreign_signer_needs_its_whole_name_and_the_message_prints_the_flag() -> None:
    foreign = "https://github.com/other/tools/.github/workflows/sign.yml@refs/tags/v1"
    claims = replace(GOOD, build_signer_uri=foreign, san_uri=foreign)
    (failed,) = (check for check in check_identity(claims, POLICY) if check.status is Status.FAIL)
    assert failed.message.endswith("to accept it: --signer-workflow other/tools/.github/workflows/sign.yml")
    pinned = Policy(repository="acme/hello", signer_workflow="other/tools/.github/workflows/sign.yml")
    assert failures(claims, pinned) == []
    other = Policy(repository="acme/hello", signer_workflow="other/tools/.github/workflows/sign2.yml")
    assert failures(claims, other) == ["identity.signer-workflow.mismatch"]


def test_the_flag_that_accepts_a_foreign_signer_runs_nothing_in_a_shell() -> None:
    foreign = "https://github.com/other/tools/.github/workflows/$(touch x).yml@refs/tags/v1"
    claims = replace(GOOD, build_signer_uri=foreign, san_uri=foreign)
    (failed,) = (check for check in check_identity(claims, POLICY) if check.status is Status.FAIL)
    assert failed.message.endswith("--signer-workflow 'other/tools/.github/workflows/$(touch x).yml'")


def test_of_another_repositorys_run_one_reason_is_given_and_no_flag() -> None:
    uri = "https://github.com/acme/evil"
    signer = f"{uri}/.github/workflows/build.yml@refs/tags/1.2"
    claims = replace(GOOD, source_repository_uri=uri, build_signer_uri=signer, san_uri=signer)
    for workflow in (None, ".github/workflows/build.yml", "ACME/hello/.github/workflows/build.yml"):
        policy = Policy(repository="acme/hello", signer_workflow=workflow)
        checks = check_identity(claims, policy)
        assert failures(claims, policy) == ["identity.repository.mismatch"]
        assert [check.code for check in checks if check.status is Status.NOT_CHECKED] == [
            "identity.signer-workflow"
        ]
        assert not any("--signer-workflow" in check.message for check in checks)
    # Somebody else's workflow that was demanded by name is a demand of its own.
    pinned = Policy(repository="acme/hello", signer_workflow="other/tools/.github/workflows/sign.yml")
    assert failures(claims, pinned) == ["identity.repository.mismatch", "identity.signer-workflow.foreign"]
    assert not any("--signer-workflow" in check.message for check in check_identity(claims, pinned))


def test_the_workflow_can_be_pinned_by_its_path() -> None:
    assert (
        failures(GOOD, Policy(repository="acme/hello", signer_workflow=".github/workflows/build.yml")) == []
    )
    assert failures(GOOD, Policy(repository="acme/hello", signer_workflow=".github/workflows/b.yml")) == [
        "identity.signer-workflow.mismatch"
    ]


def test_one_commit_can_be_demanded() -> None:
    assert failures(GOOD, Policy(repository="acme/hello", source_digest=COMMIT)) == []
    assert failures(GOOD, Policy(repository="acme/hello", source_digest="0" * 40)) == [
        "identity.source-digest.mismatch"
    ]


@pytest.mark.parametrize(
    ("ref", "pattern", "matches"),
    [
        ("refs/tags/1.2", "refs/tags/*", True),
        ("refs/tags/a/b", "refs/tags/*", False),
        ("refs/tags/1.2", "refs/tags/1.*", True),
        ("refs/tags/1x2", "refs/tags/1.2", False),
        ("refs/heads/main\n", "refs/heads/main", False),
        ("xrefs/heads/main", "refs/heads/main", False),
        ("refs/heads/mainx", "refs/heads/main", False),
    ],
)
def test_patterns_match_whole_refs(ref: str, pattern: str, matches: bool) -> None:
    assert matches_ref(ref, pattern) is matches


@pytest.mark.parametrize(
    "wrong",
    [
        {"repository": ""},
        {"repository": "acme"},
        {"repository": "acme/hello/x"},
        {"repository": "acme/hello\n"},
        {"repository": "acme/*"},
        {"repository": "acme/hello", "source_refs": ()},
        {"repository": "acme/hello", "triggers": ()},
        {"repository": "acme/hello", "issuer": ""},
        {"repository": "acme/hello", "source_digest": "7f3e"},
        {"repository": "acme/hello", "signer_workflow": ""},
        {"repository": "acme/hello", "signer_workflow": "/x"},
        {"repository": "acme/hello", "signer_workflow": "a/b/c@main"},
    ],
)
def test_a_policy_that_demands_nothing_is_no_policy(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Policy(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_untrusted_claims_are_escaped() -> None:
    claims = replace(GOOD, source_repository_ref="refs/heads/\u202ex")
    (failed,) = (check for check in check_identity(claims, POLICY) if check.status is Status.FAIL)
    assert failed.actual == "refs/heads/\\u{202e}x"
