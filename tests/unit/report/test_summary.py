"""The job summary: what it says, and that nothing in it is taken for markup."""

from __future__ import annotations

from dataclasses import replace

from glassclave.report.summary import JobSummary, summary_markdown, text
from tests.unit.provenance.predicates import SIGNED

PCRS = {index: bytes([index + 1]) * 48 for index in (0, 1, 2)}
JOB = JobSummary(
    image="hello.eif",
    size=413_900_000,
    memory_bytes=1_655_600_000,
    pcrs=PCRS,
    known_bootstrap="glassclave (ours)",
    container=SIGNED.claimed.container,
    repository="acme/hello",
    reference="ghcr.io/acme/hello@sha256:" + "5a" * 32,
    log_index=91234567,
)


def test_everything_a_reader_needs() -> None:
    said = summary_markdown(JOB)
    for value in PCRS.values():
        assert f"`{value.hex()}`" in said
    assert "413.9 MB; the enclave needs 1,656 MB of memory." in said
    assert f"glassclave verify {JOB.reference} --repo acme/hello\n" in said
    assert "--certificate-identity-regexp '^https://github.com/acme/hello/'" in said
    assert "logIndex=91234567" in said
    assert "debian:12, `sha256:5a" in said
    assert "today, not pinned" in said
    assert "image local, **digest not known**" in said
    assert "added: https://example.org/x" in said


def test_a_signer_elsewhere_is_named_in_the_commands() -> None:
    signer = "acme/glassclave/.github/workflows/build-enclave.yml"
    said = summary_markdown(replace(JOB, signer=signer))
    assert f"--repo acme/hello --signer-workflow {signer}\n" in said
    assert r"'^https://github.com/acme/glassclave/\.github/workflows/build\-enclave\.yml@'" in said


def test_what_was_not_done_is_said() -> None:
    assert "Nothing was pushed." in summary_markdown(replace(JOB, reference=None, log_index=None))
    assert "**Not signed: nobody can judge it.**" in summary_markdown(replace(JOB, log_index=None))
    assert "PCR1 is in no table" in summary_markdown(replace(JOB, known_bootstrap=None))


def test_nothing_is_taken_for_markup() -> None:
    hostile = "[x](javascript:y) <script>`a`</script> **b** | c\n# d\u202e"
    shown = text(hostile)
    assert "&lt;script" in shown
    assert "\\[x\\]\\(javascript:y\\)" in shown
    assert not set("<\n\u202e") & set(shown)
    said = summary_markdown(replace(JOB, image=hostile, reference=hostile, repository=hostile))
    assert "`a`" not in said
    assert "\u202e" not in said
