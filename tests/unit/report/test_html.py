from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from glassclave.policy.model import Policy
from glassclave.policy.verdict import Level, Verdict
from glassclave.provenance.claims import Claims
from glassclave.provenance.evidence import TrustRoot, VerifiedSignature
from glassclave.report.html import verdict_page
from glassclave.report.verdict import sentence, verdict_lines
from glassclave.results import Check, Finding, Measurements, Severity, Status

AT = datetime(2026, 11, 23, 6, 12, 4, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\"'&\u202e\x1b[31m"
PUBLIC = TrustRoot(name="Sigstore public good", sha256="5b" * 32, public_good=True)


def verdict(text: str = "plain", *, status: Status = Status.PASS, trust: TrustRoot = PUBLIC) -> Verdict:
    signature = VerifiedSignature(
        kind="bundle",
        claims=Claims(
            issuer=text,
            source_repository_uri=text,
            source_repository_digest=text,
            build_signer_uri=text,
            run_invocation_uri=text,
        ),
        signed_at=AT,
        log_index=7,
        payload_type="x",
        payload=b"",
        certificate_der=b"",
    )
    passed = status is Status.PASS
    return Verdict(
        level=Level.PROVENANCE if passed else Level.NONE,
        required=Level.PROVENANCE,
        passed=passed,
        policy=Policy(repository="acme/hello"),
        trust=trust,
        attestation_root=None,
        reference=f"ghcr.io/o/r:{text}",
        digest="sha256:" + "a" * 64,
        checks=(
            Check(
                step="identity", code="identity.x", status=status, message=text, expected=text, actual=text
            ),
        ),
        findings=(Finding(code="a.b", severity=Severity.NOTE, message=text),),
        signature=signature,
        measurements=Measurements(pcr0=b"\1" * 48, pcr1=b"\2" * 48, pcr2=b"\3" * 48),
    )


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(page)
    return parser.found


@pytest.mark.parametrize("status", [Status.PASS, Status.FAIL])
def test_untrusted_text_makes_no_element_and_moves_nothing(status: Status) -> None:
    plain, hostile = (verdict_page(verdict(text, status=status), at=AT) for text in ("plain", HOSTILE))
    assert [tag for tag, _ in elements(hostile)] == [tag for tag, _ in elements(plain)]
    assert "\u202e" not in hostile
    assert "\x1b" not in hostile
    assert "&lt;script&gt;" in hostile


def test_the_page_asks_nobody_and_runs_nothing() -> None:
    page = verdict_page(verdict(), at=AT)
    assert {tag for tag, _ in elements(page)}.isdisjoint(
        {"script", "img", "link", "iframe", "form", "object"}
    )
    assert not [
        name for _, given in elements(page) for name in given if name.startswith("on") or name == "src"
    ]
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = next(given["content"] for tag, given in elements(page) if "http-equiv" in given)
    assert policy is not None
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")


def test_the_same_verdict_gives_the_same_page() -> None:
    assert verdict_page(verdict(), at=AT) == verdict_page(verdict(), at=AT)


@pytest.mark.parametrize(
    ("one", "band"),
    [
        (verdict(), "good"),
        (verdict(status=Status.FAIL), "bad"),
        (verdict(trust=TrustRoot(name="sandbox", sha256="00" * 32, public_good=False)), "warn"),
    ],
)
def test_only_what_was_asked_under_everybodys_trust_is_green(one: Verdict, band: str) -> None:
    page = verdict_page(one, at=AT)
    assert next(given["class"] for tag, given in elements(page) if tag == "header") == band
    assert ("UNDER CUSTOM TRUST" in page) is (band == "warn")


def test_text_and_page_say_the_same_sentence() -> None:
    one = verdict()
    lines = verdict_lines(one, ascii_only=False, colour=False, width=100)
    assert lines[-1] == sentence(one)
    assert sentence(one).endswith("no running enclave was checked.")
    assert "log kept by GitHub until 2027-02-21" in "\n".join(lines)


def test_text_escapes_untrusted_claims() -> None:
    text = "\n".join(verdict_lines(verdict(HOSTILE), ascii_only=False, colour=False, width=100))
    assert "\x1b" not in text
    assert "\u202e" not in text
