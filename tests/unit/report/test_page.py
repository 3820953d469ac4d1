"""What the page offers to click and to type."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glassclave.attestation.expectation import Historical, Live
from glassclave.policy.model import Policy
from glassclave.policy.verdict import Level
from glassclave.provenance.claims import Claims
from glassclave.report.html import verdict_page
from glassclave.report.links import commit_link, public_link, run_link, workflow_link
from glassclave.report.page import Page, page_of
from tests.unit.attestation.forge import NONCE, NOW, ROOT
from tests.unit.eif.images import write
from tests.unit.flows.published import COMMIT, CUSTOM, EVIL, GOOD, MemorySigstore, Published, whole
from tests.unit.flows.seed import ACCEPTING, Seed
from tests.unit.flows.test_verify_levels import LIVE, document

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
    assert commands(page)[0] == f"glassclave verify {pinned} --policy POLICY.toml"


@pytest.mark.parametrize(
    ("mode", "required", "words"),
    [
        (
            LIVE,
            None,
            f"--document DOCUMENT --nonce {NONCE.hex()} --at 2026-11-23T12:00:03Z"
            " --attestation-root ROOT.pem",
        ),
        (Historical(), None, "--document DOCUMENT --historical --attestation-root ROOT.pem"),
        (
            Historical(),
            Level.PROVENANCE,
            "--document DOCUMENT --historical --attestation-root ROOT.pem --require provenance",
        ),
        (None, Level.LIVE, "--require live"),
    ],
)
def test_the_question_about_a_document_is_offered_with_its_time(
    mode: Live | Historical | None, required: Level | None, words: str
) -> None:
    published = whole()
    published.sigstore = MemorySigstore(CUSTOM)
    judged = None if mode is None else document(mode)
    page = page_of(published.verify(document=judged, required=required).verdict, at=NOW)
    pinned = f"registry.example/o/r@{published.digest}"
    assert commands(page)[0] == (
        f"glassclave verify {pinned} --repo acme/hello {words} --trust-config TRUST.json"
    )


@pytest.mark.parametrize(
    ("mode", "required", "band"),
    [
        (None, None, "good"),
        (None, Level.PROVENANCE, "good"),
        (None, Level.LIVE, "warn"),
        (LIVE, None, "warn"),
        (LIVE, Level.PROVENANCE, "warn"),
        (Historical(), None, "warn"),
        (Historical(), Level.LIVE_UNBOUND, "warn"),
    ],
)
def test_green_is_for_provenance_when_nothing_more_was_asked(
    mode: Live | Historical | None, required: Level | None, band: str
) -> None:
    judged = None if mode is None else document(mode)
    verdict = whole().verify(document=judged, required=required).verdict
    # As if AWS's root had signed: nobody else's colour is green at all.
    assert page_of(replace(verdict, attestation_root=None), at=NOW).band == band
    assert page_of(replace(verdict, trust=CUSTOM), at=NOW).band == "warn"


def test_an_unstated_image_is_amber_and_said_to_be_compared_with_nothing_signed() -> None:
    published = Seed()
    published.sign()
    for judged, words in ((None, []), (document(LIVE), ["--document"])):
        page = page_of(published.verify(policy=ACCEPTING, document=judged).verdict, at=NOW)
        assert page.band == "warn"
        assert page.title.startswith("unstated: ")
        assert "Nobody states what it measures" in page.meaning
        assert "equal what the workflow signed" not in page.inside
        assert [row.name for row in page.content] == ["PCR0", "PCR1", "PCR2"]
        asked = commands(page)[0].split()
        assert asked[3:6] == ["--repo", "acme/hello", "--accept-unstated"]
        assert [word for word in asked if word in ("--document", "--require", "--policy")] == words
    stated = page_of(whole().verify(policy=ACCEPTING).verdict, at=NOW)
    assert stated.band == "warn", "less was asked for than could have been"
    assert "equal what the workflow signed" in stated.inside


def test_the_roots_are_named_once_and_the_warning_comes_first() -> None:
    published = whole()
    published.sigstore = MemorySigstore(CUSTOM)
    page = verdict_page(published.verify(document=document(LIVE)).verdict, at=NOW)
    for sha256 in (CUSTOM.sha256, ROOT.sha256):
        assert page.partition("<h2>The evidence")[0].count(sha256) == 1
    assert page.index("UNDER CUSTOM TRUST") < page.index("LIVE, UNBOUND")
    assert page.count("UNDER CUSTOM TRUST") == 1


def test_a_refusal_says_above_all_else_what_was_expected_and_found() -> None:
    page = page_of(whole().verify(policy=Policy(repository="o/evil")).verdict, at=NOW)
    assert page.sentence == "REFUSED: this is not o/evil's image, it was built in acme/hello."
    (failure,) = page.failures
    assert (failure.said, failure.check.expected, failure.check.actual) == ("", "o/evil", "acme/hello")
    assert not any("identity" in line for line in page.unchecked), "its failure is the news"
    other = whole(write(kernel=b"OTHER")[0]).verify(document=document(LIVE)).verdict
    page = page_of(other, at=NOW)
    assert page.sentence == "REFUSED: what the enclave runs is not this image."
    assert [failure.said for failure in page.failures] == [
        "PCR0: another image",
        "PCR1: another kernel or init",
    ]
    published = Published()
    published.sign(replace(GOOD, source_repository_ref="refs/heads/x"))
    page = page_of(published.verify().verdict, at=NOW)
    assert page.failures[0].said == "To accept it: --source-ref"
    assert "Not in the way that you asked for" in page.who


def test_an_image_that_is_not_the_stated_one_was_looked_at() -> None:
    published = Published()
    published.sign()
    published.state(bend=lambda one: replace(one, measured=replace(one.measured, flags=1)))
    page = page_of(published.verify().verdict, at=NOW)
    assert page.inside.startswith("Not what was signed")
    assert page.content == ()


def test_of_a_refused_signer_no_command_is_offered() -> None:
    published = whole()
    page = page_of(published.verify(policy=Policy(repository="acme/other")).verdict, at=NOW)
    assert [step.command.partition(" ")[0] for step in page.commands] == ["glassclave"]
    assert page.band == "bad"
    assert page.content == ()
    assert "Not who you asked for" in page.who


def test_a_refused_run_is_still_shown_for_what_it_says() -> None:
    published = whole()
    published.sign(EVIL, log=9)
    page = page_of(published.verify(policy=Policy(repository="acme/evil")).verdict, at=NOW)
    assert page.builder[0].text == EVIL.source_repository_uri
    assert page.band == "bad", "the statement is by another"
