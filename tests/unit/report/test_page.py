"""What the page offers to click and to type."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glassclave.policy.model import Policy
from glassclave.provenance.claims import Claims
from glassclave.report.links import commit_link, public_link, run_link, workflow_link
from glassclave.report.page import Page, page_of
from tests.unit.attestation.forge import NOW
from tests.unit.flows.published import COMMIT, EVIL, GOOD, whole

REPO = "https://github.com/acme/hello"


def commands(page: Page) -> list[str]:
    return [step.command for step in page.commands]


def test_links_lead_to_what_the_certificate_names() -> None:
    assert public_link(GOOD.source_repository_uri) == REPO
    assert commit_link(GOOD) == f"{REPO}/tree/{COMMIT}"
    for signer in (True, False):
        assert workflow_link(GOOD, signer=signer) == f"{REPO}/blob/{COMMIT}/.github/workflows/build.yml"
    assert run_link(GOOD) == f"{REPO}/actions/runs/777/attempts/1"
    assert commit_link(Claims()) is None
    assert run_link(Claims()) is None


@pytest.mark.parametrize(
    "claims",
    [
        replace(GOOD, source_repository_uri="javascript:alert(1)"),
        replace(GOOD, source_repository_uri="https://github.com.evil.example/acme/hello"),
        replace(GOOD, source_repository_uri="https://github.com/acme/he llo"),
        replace(GOOD, source_repository_uri="https://github.com/acme/hello?x"),
        replace(GOOD, source_repository_digest="../../evil"),
        replace(GOOD, source_repository_digest=None),
    ],
)
def test_no_link_is_made_of_a_claim_in_another_form(claims: Claims) -> None:
    assert commit_link(claims) is None


@pytest.mark.parametrize(
    "run",
    [
        f"{REPO}/actions/runs/x",
        f"{REPO}/actions/runs/7#evil",
        f"{REPO}-evil/actions/runs/7",
        "https://github.com/acme/evil/actions/runs/7",
    ],
)
def test_a_run_lies_in_its_repository(run: str) -> None:
    assert run_link(replace(GOOD, run_invocation_uri=run)) is None


@pytest.mark.parametrize("path", ["../../../evil.yml", ".github/workflows/build.yml?x", "a b.yml"])
def test_a_workflow_is_a_plain_path(path: str) -> None:
    claims = replace(GOOD, build_signer_uri=f"{REPO}/{path}@refs/heads/main")
    assert workflow_link(claims, signer=True) is None


def test_the_commands_ask_the_same_question_by_digest() -> None:
    published = whole()
    path = ".github/workflows/build.yml"
    policy = Policy(repository="acme/hello", signer_workflow=path, source_refs=("refs/tags/*",))
    page = page_of(published.verify(policy=policy).verdict, at=NOW)
    pinned = f"registry.example/o/r@{published.digest}"
    assert commands(page) == [
        f"glassclave verify {pinned} --repo acme/hello --signer-workflow {path} --source-ref 'refs/tags/*'",
        "cosign verify --certificate-oidc-issuer https://token.actions.githubusercontent.com"
        f" --certificate-identity {GOOD.san_uri} {pinned}",
        f"oras pull {pinned}",
        "glassclave describe FILE.eif",
    ]
    other = replace(policy, visibility=None)
    page = page_of(published.verify(policy=other).verdict, at=NOW)
    assert commands(page)[0] == f"glassclave verify {pinned} --policy FILE"


def test_of_a_refused_signer_no_command_is_offered() -> None:
    published = whole()
    page = page_of(published.verify(policy=Policy(repository="acme/other")).verdict, at=NOW)
    assert not any(command.startswith("cosign") for command in commands(page))
    assert page.band == "bad"
    assert page.content == ()
    assert "Not who you asked for" in page.who


def test_a_refused_run_is_still_shown_for_what_it_says() -> None:
    published = whole()
    published.sign(EVIL, log=9)
    page = page_of(published.verify(policy=Policy(repository="acme/evil")).verdict, at=NOW)
    assert page.builder[0].text == EVIL.source_repository_uri
    assert page.band == "bad", "the statement is by another"
