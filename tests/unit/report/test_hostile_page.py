"""Every string of a verdict made hostile: the page stays the page that it is with harmless ones."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from html.parser import HTMLParser
from typing import Any

import pytest

from glassclave.policy.model import Policy
from glassclave.policy.verdict import Level, Verdict
from glassclave.report.html import verdict_page
from tests.unit.attestation.forge import NOW
from tests.unit.flows.published import GOOD, whole
from tests.unit.flows.test_verify_levels import LIVE, document

HARMLESS = "plain"
HOSTILE = [
    "<script>alert(1)</script>",
    "</style></title></pre></code><script src=//evil.example>",
    "\" onclick='x()' href=\"javascript:x()",
    "{{ page.title }}{% raw %}&lt;b&gt;&#60;b&#62;",
    "<!-- ]]> --> <img src=x onerror=x()>",
    "javascript:alert(1)",
    "https://github.com/acme/hello@evil.example/",
    "a\u202eb\u2066c\u200bd\x1b[31m\x00\x07\r\n\u2028\ufeff\ue000",
    "w" * 70_000,
]
SEARCH = "https://search.sigstore.dev/?logIndex="
MOVING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ue000]")


def filled(value: Any, text: str) -> Any:
    """``value`` with every string in it replaced: claims, checks, findings, statement, document, roots."""
    if isinstance(value, str) and not isinstance(value, Enum):
        return text
    if isinstance(value, tuple):
        return tuple(filled(one, text) for one in value)
    if is_dataclass(value) and not isinstance(value, (type, Policy)):
        changed = {
            field.name: filled(getattr(value, field.name), text) for field in fields(value) if field.init
        }
        return replace(value, **changed)
    return value


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.links: list[tuple[str | None, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "a":
            self.links.append((dict(attrs)["href"], ""))

    def handle_data(self, data: str) -> None:
        if self.found[-1:] and self.found[-1][0] == "a" and not self.links[-1][1]:
            self.links[-1] = (self.links[-1][0], data)


def read(page: str) -> Elements:
    parser = Elements()
    parser.feed(page)
    parser.close()
    return parser


def shape(page: str) -> list[tuple[str, list[str]]]:
    return [(tag, sorted(given)) for tag, given in read(page).found]


VERDICTS = {
    "live": whole().verify(document=document(LIVE)).verdict,
    "not reached": whole().verify(document=document(LIVE), required=Level.LIVE).verdict,
    "refused": whole().verify(policy=Policy(repository="o/evil")).verdict,
    "another enclave": whole()
    .verify(document=document(LIVE, pcrs=dict.fromkeys(range(16), b"\7" * 48)))
    .verdict,
}


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("name", VERDICTS)
def test_hostile_text_makes_no_element_no_attribute_no_link_and_moves_nothing(
    name: str, hostile: str
) -> None:
    one = filled(VERDICTS[name], hostile)
    page = verdict_page(one, at=NOW)
    # What stands behind an "@" is shown as the ref of a workflow, in an element of its own.
    harmless = f"{HARMLESS}@{HARMLESS}" if "@" in hostile else HARMLESS
    assert shape(page) == shape(verdict_page(filled(VERDICTS[name], harmless), at=NOW))
    assert not MOVING.search(page)
    assert not [href for href, _ in read(page).links if not str(href).startswith(SEARCH)]
    assert "<script" not in page


def test_one_string_at_a_time_is_on_the_page_and_escaped() -> None:
    """The places that whoever publishes, builds or runs an enclave fills."""
    verdict, hostile = VERDICTS["live"], '<script>"&\u202e'
    shown = "&lt;script&gt;&#34;&amp;\\u{202e}"
    assert verdict.signature is not None
    for name in GOOD.present():
        signature = replace(
            verdict.signature, claims=replace(verdict.signature.claims, **{name: f"{hostile}{name}"})
        )
        assert f"{shown}{name}" in verdict_page(replace(verdict, signature=signature), at=NOW)
    appraisal = verdict.appraisal
    assert appraisal is not None
    assert appraisal.document is not None
    said = replace(appraisal, document=replace(appraisal.document, module_id=hostile))
    predicate = verdict.predicate
    assert predicate is not None
    unmeasured = replace(predicate.claimed.unmeasured, image_name=hostile)
    stated = replace(predicate, claimed=replace(predicate.claimed, unmeasured=unmeasured))
    for change in (
        {"reference": f"ghcr.io/o/r:{hostile}"},
        {"trust": replace(verdict.trust, name=hostile)},
        {"attestation_root": (hostile, "00" * 32)},
        {"appraisal": said},
        {"predicate": stated},
    ):
        changed: Verdict = replace(verdict, **change)
        page = verdict_page(changed, at=NOW)
        assert shown in page
        assert "<script" not in page


@pytest.mark.parametrize("name", VERDICTS)
def test_a_link_is_shown_whole_and_leads_to_two_places_only(name: str) -> None:
    links = read(verdict_page(VERDICTS[name], at=NOW)).links
    assert len(links) >= 5
    for href, text in links:
        assert text == href
        assert re.match(r"https://(github\.com/acme/hello|search\.sigstore\.dev/\?logIndex=)", text)
