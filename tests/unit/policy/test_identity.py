from __future__ import annotations

from dataclasses import replace

import pytest

from glassclave.errors import UsageError
from glassclave.policy.checks.identity import check_identity
from glassclave.policy.model import Policy, matches_ref, same_repository
from glassclave.provenance.claims import Claims
from glassclave.results import Check, Status

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


def test_the_workflow_can_be_pinned_at_a_ref() -> None:
    """A reusable workflow that was called at a pull request's ref is the right path with other content."""
    foreign = "https://github.com/acme/tools/.github/workflows/build.yml@"
    path = "acme/tools/.github/workflows/build.yml"

    def at(ref: str, pinned: str) -> list[str]:
        claims = replace(GOOD, build_signer_uri=foreign + ref, san_uri=foreign + ref)
        return failures(claims, Policy(repository="acme/hello", signer_workflow=pinned))

    assert at("refs/tags/v1", path) == at("refs/pull/9/merge", path) == []
    assert at("refs/tags/v1", f"{path}@refs/tags/v1") == at("refs/tags/v1", f"{path}@refs/tags/v*") == []
    for ref, pattern in (("refs/pull/9/merge", "refs/tags/*"), ("refs/tags/v2", "refs/tags/v1")):
        assert at(ref, f"{path}@{pattern}") == ["identity.signer-workflow.ref"]
    own = Policy(repository="acme/hello", signer_workflow=".github/workflows/build.yml@refs/heads/main")
    assert failures(GOOD, own) == ["identity.signer-workflow.ref"]


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
        {"repository": "acme/hello", "signer_workflow": "a/b/c@"},
        {"repository": "acme/hello", "signer_workflow": "@refs/heads/main"},
        {"repository": "acme/hello", "signer_workflow": "a/b@refs/heads/main"},
    ],
)
def test_a_policy_that_demands_nothing_is_no_policy(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Policy(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_untrusted_claims_are_escaped() -> None:
    claims = replace(GOOD, source_repository_ref="refs/heads/\u202ex")
    (failed,) = (check for check in check_identity(claims, POLICY) if check.status is Status.FAIL)
    assert failed.actual == "refs/heads/\\u{202e}x"


def checks_of(claims: Claims, policy: Policy = POLICY) -> dict[str, Check]:
    return {check.code: check for check in check_identity(claims, policy)}


def test_each_claim_has_its_check_in_the_order_of_the_specification() -> None:
    assert [(check.step, check.code, check.message) for check in check_identity(GOOD, POLICY)] == [
        ("identity", "identity.issuer", "https://token.actions.githubusercontent.com"),
        ("identity", "identity.repository", "acme/hello"),
        (
            "identity",
            "identity.signer-workflow",
            ".github/workflows/build.yml at refs/tags/1.2 (workflow not pinned)",
        ),
        ("identity", "identity.source-ref", "refs/tags/1.2"),
        ("identity", "identity.source-digest", f"started at commit {COMMIT}"),
        ("identity", "identity.trigger", "push"),
        ("identity", "identity.runner", "github-hosted"),
        ("identity", "identity.visibility", "public"),
    ]
    pinned = Policy(repository="acme/hello", signer_workflow=".github/workflows/build.yml")
    assert checks_of(GOOD, pinned)["identity.signer-workflow"].message.endswith(" at refs/tags/1.2")
    assert {check.step for check in check_identity(GOOD, POLICY, step="statement")} == {"statement"}


@pytest.mark.parametrize(
    ("claim", "message", "expected"),
    [
        ("issuer", "issuer", "https://token.actions.githubusercontent.com"),
        ("source_repository_uri", "repository", "acme/hello"),
        ("build_signer_uri", "signer workflow", "acme/hello/(any workflow)"),
        ("source_repository_ref", "source ref", "refs/tags/*, refs/heads/main, refs/heads/master"),
        ("source_repository_digest", "commit", "a commit"),
        ("build_trigger", "trigger", "push, release, workflow_dispatch, schedule"),
        ("runner_environment", "runner", "github-hosted"),
        ("visibility", "repository's visibility", "public"),
    ],
)
def test_a_missing_claim_says_which_and_what_was_asked_for(claim: str, message: str, expected: str) -> None:
    check = checks_of(replace(GOOD, **{claim: None}))["identity.claim.missing"]
    assert check.message == f"the certificate does not say its {message}"
    assert (check.expected, check.actual) == (expected, "nothing")


def test_what_was_asked_for_stands_beside_what_was_found() -> None:
    path = ".github/workflows/other.yml"
    pinned = Policy(repository="acme/hello", signer_workflow=path)
    check = checks_of(GOOD, pinned)["identity.signer-workflow.mismatch"]
    assert (check.expected, check.actual) == (
        f"acme/hello/{path}",
        "acme/hello/.github/workflows/build.yml",
    )
    demanded = Policy(repository="acme/hello", source_digest="0" * 40)
    check = checks_of(GOOD, demanded)["identity.source-digest.mismatch"]
    assert (check.message, check.expected, check.actual) == (
        "built from another commit, 7f3e7f3e7f3e",
        "0" * 40,
        COMMIT,
    )
    check = checks_of(replace(GOOD, source_repository_digest=None), demanded)["identity.claim.missing"]
    assert check.expected == "0" * 40


def test_the_older_claim_of_the_issuer_counts_where_there_is_no_newer_one() -> None:
    older = replace(GOOD, issuer=None, issuer_v1=GOOD.issuer)
    assert failures(older) == []
    assert failures(replace(older, issuer_v1="https://token.example")) == ["identity.issuer.mismatch"]


def test_what_a_policy_does_not_ask_for_is_said_to_be_any() -> None:
    policy = Policy(repository="acme/hello", runner_environment=None, visibility=None)
    for said in ("self-hosted", None):
        checks = checks_of(replace(GOOD, runner_environment=said, visibility=said), policy)
        for code in ("identity.runner", "identity.visibility"):
            assert checks[code].status is Status.PASS
            assert checks[code].message == f"{said or 'not said'} (any is allowed)"


@pytest.mark.parametrize(
    ("claim", "code", "said", "found"),
    [
        ("source_repository_uri", "identity.repository.mismatch", 200, 300),
        ("source_repository_ref", "identity.source-ref.not-allowed", 120, 300),
        ("build_trigger", "identity.trigger.not-allowed", 120, 300),
        ("runner_environment", "identity.runner.not-github-hosted", 120, 300),
        ("visibility", "identity.visibility.not-public", 120, 300),
    ],
)
def test_long_claims_are_cut_where_people_read_them(claim: str, code: str, said: int, found: int) -> None:
    check = checks_of(replace(GOOD, **{claim: "x" * 4096}))[code]
    assert f"x… ({4096 - said} more characters)" in check.message
    assert check.message.count("x" * said) == 1
    assert check.actual == f"{'x' * found}… ({4096 - found} more characters)"


def test_the_flag_of_a_long_workflow_is_cut() -> None:
    foreign = f"https://github.com/other/tools/{'x' * 4000}@refs/tags/v1"
    check = checks_of(replace(GOOD, build_signer_uri=foreign))["identity.signer-workflow.foreign"]
    assert check.message.endswith(f"x… ({len('other/tools/') + 4000 - 200} more characters)'")
