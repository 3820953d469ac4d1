"""A verdict as text: the lines that a person reads, from the last one up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glassclave.attestation.expectation import Historical
from glassclave.policy.model import Policy
from glassclave.policy.verdict import Level, Verdict
from glassclave.report.verdict import sentence, verdict_lines
from tests.unit.attestation.forge import NONCE
from tests.unit.flows.published import CUSTOM, GOOD, MemorySigstore, Published, whole
from tests.unit.flows.test_verify_levels import LIVE, document


def lines(verdict: Verdict, *, ascii_only: bool = False, width: int = 80) -> list[str]:
    return verdict_lines(verdict, ascii_only=ascii_only, colour=False, width=width)


def test_a_verdict_that_passes() -> None:
    published = whole()
    commit = GOOD.source_repository_digest
    assert lines(published.verify().verdict) == [
        f"✓ artifact    registry.example/o/r@{published.digest[:19]} (tag 1.2 read once)",
        "✓ signature   Sigstore public good, log index 1, 2026-11-23 06:12:04Z",
        "✓ identity    acme/hello · .github/workflows/build.yml at refs/tags/1.2",
        "              (workflow not pinned) · push · GitHub-hosted runner",
        "✓ statement   PCR0, PCR1, PCR2 measured by the signing job",
        "✓ image       881 B measured here: PCR0, PCR1, PCR2 equal the statement's",
        "– log         not checked: none was signed with the image",
        "– enclave     not checked: no document was given (--document FILE)",
        "– connection  not checked: no connection was made",
        "",
        f"image      registry.example/o/r@{published.digest}",
        f"source     https://github.com/acme/hello/tree/{commit}  (what to audit)",
        f"workflow   https://github.com/acme/hello/blob/{commit}/.github/workflows/build.yml",
        "run        https://github.com/acme/hello/actions/runs/777/attempts/1"
        "  (log kept by GitHub until 2027-02-21)",
        "log        https://search.sigstore.dev/?logIndex=1",
        "issuer     https://token.actions.githubusercontent.com",
        "outside    2 base images, 1 address, 3 package changes (2 dpkg, 1 pip), 1 git repository,"
        " 1 command that may fetch, 1 database not read  (said by the builder; --json lists it)",
        "",
        "warning   nobody whom this program knows made the kernel and init of this image",
        "          (PCR1)                                         image.bootstrap.unknown",
        "",
        "PROVENANCE: built by acme/hello's workflow; no running enclave was checked.",
    ]


def test_anothers_image_is_refused_for_one_reason() -> None:
    verdict = whole().verify(policy=Policy(repository="o/evil")).verdict
    shown = lines(verdict)
    assert shown[2:9] == [
        "✗ identity    built in acme/hello, wanted o/evil    identity.repository.mismatch",
        "– statement   not judged: the signer is not what you asked for",
        "– image       not judged: the signer is not what you asked for",
        "– log         not judged: the signer is not what you asked for",
        "– enclave     not checked: no document was given (--document FILE)",
        "– connection  not checked: no connection was made",
        "",
    ]
    assert shown[-1] == (
        "REFUSED: this is not o/evil's image, it was built in acme/hello [identity.repository.mismatch]."
        " Nothing was saved."
    )
    assert "--signer-workflow" not in "\n".join(shown)


@pytest.mark.parametrize(
    ("change", "found", "reason"),
    [
        (
            {"build_trigger": "pull_request"},
            "pull_request",
            "started by pull_request, which is not allowed [identity.trigger.not-allowed]",
        ),
        (
            {"source_repository_ref": "refs/heads/x"},
            "refs/heads/x",
            "built from refs/heads/x, which is not allowed [identity.source-ref.not-allowed]",
        ),
        (
            {"runner_environment": "self-hosted"},
            "self-hosted",
            "built on a self-hosted runner, a machine that its owner controls"
            " [identity.runner.not-github-hosted]",
        ),
        (
            {"visibility": "private"},
            "private",
            "built from private source, which not everybody can read [identity.visibility.not-public]",
        ),
    ],
)
def test_a_failing_line_has_what_was_found_and_ends_with_its_code(
    change: dict[str, str], found: str, reason: str
) -> None:
    published = Published()
    published.sign(replace(GOOD, **change))
    shown = lines(published.verify().verdict)
    got, code = f"              got {found}", reason.partition("[")[2].removesuffix("]")
    assert f"{got}{code:>{80 - len(got)}}" in shown
    assert shown[-1] == f"REFUSED: {reason}. Nothing was saved."


def test_what_differs_from_the_usual_is_on_the_line_of_the_signer() -> None:
    claims = replace(
        GOOD,
        source_repository_ref="refs/tags/1.20",
        runner_environment="self-hosted",
        visibility="private",
    )
    published = Published()
    published.sign(claims)
    published.state(claims)
    policy = Policy(
        repository="acme/hello",
        runner_environment=None,
        visibility=None,
        source_digest=GOOD.source_repository_digest,
    )
    shown = lines(published.verify(policy=policy).verdict, width=400)
    assert shown[2] == (
        "✓ identity    acme/hello · .github/workflows/build.yml at refs/tags/1.2 (workflow not pinned)"
        f" · refs/tags/1.20 · started at commit {GOOD.source_repository_digest} · push"
        " · self-hosted (any is allowed) · private (any is allowed)"
    )


def test_what_is_not_judged_says_why() -> None:
    unsigned, other = (
        Published(),
        Published(bend=lambda document: document.update(artifactType="a/b", layers=[])),
    )
    assert "– identity    not judged: there is no signature that holds" in lines(unsigned.verify().verdict)
    assert "– image       not judged: the reference names no enclave image" in lines(other.verify().verdict)
    unsigned.sign()
    assert "– image       not judged: there is no statement to compare with" in lines(
        unsigned.verify().verdict
    )


@pytest.mark.parametrize("ascii_only", [False, True])
def test_lines_of_checks_keep_to_the_width_and_to_ascii(ascii_only: bool) -> None:
    for policy in (Policy(repository="acme/hello"), Policy(repository="o/evil", source_refs=("refs/x",))):
        shown = lines(whole().verify(policy=policy).verdict, ascii_only=ascii_only)
        checks = shown[: shown.index("")]
        assert max(map(len, checks)) <= 80
        assert not ascii_only or "".join(shown).isascii()


@pytest.mark.parametrize(
    ("required", "says"),
    [
        (Level.ATTESTED_AT, "--document FILE --historical"),
        (Level.LIVE_UNBOUND, "--document FILE --nonce HEX"),
        (Level.LIVE, "a connection to the enclave"),
    ],
)
def test_a_level_that_was_not_reached_says_what_it_takes(required: Level, says: str) -> None:
    last = lines(whole().verify(required=required).verdict)[-1]
    assert last.startswith(f"NOT REACHED: {required.value} was asked for, provenance was shown. It takes a ")
    assert says in last


def test_a_document_says_where_when_and_in_answer_to_what() -> None:
    shown = lines(whole().verify(document=document(LIVE)).verdict, width=400)
    assert any(
        ", 3 s before 2026-11-23 12:00:03Z, our nonce, not debug: PCR0, PCR1, PCR2" in line for line in shown
    )
    assert (
        "answered our question 3 s before 2026-11-23 12:00:03Z. Who carries the connection was" in shown[-1]
    )
    historical = sentence(whole().verify(document=document(Historical())).verdict)
    assert historical.startswith(
        "ATTESTED AT 2026-11-23 12:00:00Z: an enclave with this image, built by acme"
    )
    pcrs = {index: bytes(48) for index in range(16)}
    debug = sentence(whole().verify(document=document(LIVE, pcrs=pcrs)).verdict)
    assert debug.startswith("REFUSED: the enclave runs in debug mode: ")
    late = document(replace(LIVE, nonce=NONCE[:-1] + b"\0"))
    assert sentence(whole().verify(document=late).verdict).startswith(
        "REFUSED: the document answers another question [attestation.nonce.mismatch]."
    )


def test_another_trust_root_stands_in_the_first_and_the_last_line_and_in_no_other() -> None:
    published = whole()
    published.sigstore = MemorySigstore(CUSTOM)
    shown = lines(published.verify().verdict)
    assert shown[0] == f'UNDER CUSTOM TRUST "SANDBOX", sha256 {CUSTOM.sha256}'
    assert shown[-1].endswith(f'UNDER CUSTOM TRUST "SANDBOX", sha256 {CUSTOM.sha256[:12]}.')
    assert [line for line in shown if "SANDBOX" in line] == [shown[0], shown[-1]]
    assert "log        index 1 (not public)" in shown


def test_the_advice_stands_in_the_check_and_not_in_the_last_line() -> None:
    foreign = "https://github.com/other/tools/.github/workflows/build.yml@refs/heads/main"
    published = Published()
    published.sign(replace(GOOD, build_signer_uri=foreign, san_uri=foreign))
    shown = lines(published.verify().verdict, width=200)
    flag = "to accept it: --signer-workflow other/tools/.github/workflows/build.yml"
    assert [flag in line for line in shown].count(True) == 1
    assert shown[-1].startswith("REFUSED: signed by a workflow of another repository [identity.")
