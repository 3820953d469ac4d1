"""A policy by itself: what it demands when nothing is said, and what it cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glassclave.errors import UsageError
from glassclave.policy.checks.identity import check_identity
from glassclave.policy.model import Policy, matches_ref, same_repository
from glassclave.results import Status
from tests.unit.flows.published import GOOD

POLICY = Policy(repository="acme/hello")


def test_what_is_demanded_when_only_the_repository_is_named() -> None:
    assert (
        Policy(
            repository="acme/hello",
            issuer="https://token.actions.githubusercontent.com",
            signer_workflow=None,
            source_refs=("refs/tags/*", "refs/heads/main", "refs/heads/master"),
            source_digest=None,
            triggers=("push", "release", "workflow_dispatch", "schedule"),
            runner_environment="github-hosted",
            visibility="public",
            build_log="stated",
            statement="required",
        )
        == POLICY
    )


@pytest.mark.parametrize(
    ("claim", "values"),
    [
        ("source_repository_ref", ("refs/tags/1.2", "refs/heads/main", "refs/heads/master")),
        ("build_trigger", ("push", "release", "workflow_dispatch", "schedule")),
    ],
)
def test_each_default_is_enough(claim: str, values: tuple[str, ...]) -> None:
    for value in values:
        claims = replace(GOOD, **{claim: value})
        assert {check.status for check in check_identity(claims, POLICY)} == {Status.PASS}


@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        ({"repository": "x" * 300}, "policy.repository", "x" * 120),
        ({"repository": f"{'x' * 101}/hello"}, "policy.repository", f"{'x' * 101}/hello"),
        ({"repository": "ac.me/hello"}, "policy.repository", "ac.me/hello"),
        ({"repository": "acme/hello world"}, "policy.repository", "acme/hello world"),
        ({"source_digest": "A" * 40}, "policy.source-digest", "A" * 40),
        ({"source_digest": "a" * 41}, "policy.source-digest", "a" * 41),
        ({"source_digest": "a" * 300}, "policy.source-digest", "a" * 80),
        ({"source_digest": ""}, "policy.source-digest", ""),
        ({"signer_workflow": "a/" * 100}, "policy.signer-workflow", "a/" * 60),
        ({"signer_workflow": "x" * 300}, "policy.signer-workflow", "x" * 120),
        ({"signer_workflow": ".github/workflows//build.yml"}, "policy.signer-workflow", None),
        ({"signer_workflow": "a b/c/build.yml"}, "policy.signer-workflow", "a b/c/build.yml"),
        ({"signer_workflow": "acme/hello"}, "policy.signer-workflow", "acme/hello"),
        ({"source_refs": ("refs/tags/*", "")}, "policy.empty", None),
        ({"source_refs": ("refs/tags/*", "main")}, "policy.source-refs", "main"),
        ({"source_refs": ("refs",)}, "policy.source-refs", "refs"),
        ({"source_refs": ("x" * 300,)}, "policy.source-refs", "x" * 120),
        ({"build_log": "Required"}, "policy.build-log", "Required"),
        ({"build_log": "x" * 300}, "policy.build-log", "x" * 80),
        ({"build_log": ""}, "policy.build-log", ""),
        ({"statement": "Optional"}, "policy.statement", "Optional"),
        ({"statement": ""}, "policy.statement", ""),
        ({"triggers": ("push", "")}, "policy.empty", None),
        ({"source_refs": ()}, "policy.empty", None),
        ({"triggers": ()}, "policy.empty", None),
        ({"issuer": ""}, "policy.empty", None),
    ],
)
def test_what_no_policy_can_be_is_a_usage_error_that_names_it(
    wrong: dict[str, object], code: str, field: str | None
) -> None:
    with pytest.raises(UsageError) as caught:
        Policy(**({"repository": "acme/hello"} | wrong))  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.code == code
    if field is not None:
        assert caught.value.field == field


def test_names_of_any_length_that_github_has() -> None:
    for name in (f"{'x' * 100}/{'y' * 100}", "ada_acme/a.b-c_d"):
        assert Policy(repository=name).signer() == (name, None)
    for digits in (40, 64):
        assert Policy(repository="acme/hello", source_digest="a" * digits).source_digest == "a" * digits


def test_where_the_signing_workflow_must_lie() -> None:
    def signer(workflow: str) -> tuple[str, str | None]:
        return Policy(repository="acme/hello", signer_workflow=workflow).signer()

    assert signer(".github/workflows/build.yml") == ("acme/hello", ".github/workflows/build.yml")
    assert signer("acme/tools/.github/workflows/build.yml") == ("acme/tools", ".github/workflows/build.yml")
    assert signer("acme/tools/build.yml") == ("acme/tools", "build.yml")


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("acme/hello", "ACME/Hello", True),
        ("acme/hello", "acme/hell0", False),
        ("acme/\u212aey", "acme/key", False),
        ("acme/key", "acme/\u212aey", False),
        ("acme/stra\u00dfe", "acme/stra\u00dfe", False),
    ],
)
def test_repositories_are_the_same_in_either_case_of_ascii(left: str, right: str, same: bool) -> None:
    assert same_repository(left, right) is same


@pytest.mark.parametrize(
    ("ref", "pattern", "matches"),
    [
        ("refs/tags/v1-rc", "refs/tags/v*-*", True),
        ("refs/tags/", "refs/tags/*", True),
        ("refs/tags/v1", "*", False),
        ("refs/tags/v1", "*/*/*", True),
        ("refs/tags/v1", "refs/tags/v[0-9]", False),
    ],
)
def test_a_star_stands_for_anything_but_a_slash(ref: str, pattern: str, matches: bool) -> None:
    assert matches_ref(ref, pattern) is matches
