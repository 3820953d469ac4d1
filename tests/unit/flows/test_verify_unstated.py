"""Artifacts that are not ours, and images that nobody states anything of: judged, never called stated."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from glassclave.attestation.expectation import Historical
from glassclave.errors import UnavailableError
from glassclave.oci.foreign import MAX_BESIDE, MAX_LAYERS
from glassclave.policy.model import LOG_REQUIRED, STATEMENT_REQUIRED
from glassclave.policy.verdict import Level
from glassclave.report.verdict import sentence
from glassclave.results import Status
from tests.unit.flows.published import EVIL, IMAGE, NAME, Published, saved, whole
from tests.unit.flows.seed import ACCEPTING, ANNOTATIONS, MEASURED, Seed, info
from tests.unit.flows.test_verify_levels import LIVE, document

PICKY = replace(ACCEPTING, statement=STATEMENT_REQUIRED)
EIF = ("enclave.eif", IMAGE)


def signed(seed: Published) -> Published:
    seed.sign()
    return seed


def findings(published: Published) -> list[str]:
    return [finding.code for finding in published.verify(policy=ACCEPTING).verdict.findings]


def test_without_the_flag_it_is_refused_in_words_that_name_it() -> None:
    verdict = signed(Seed()).verify(policy=PICKY).verdict
    assert (verdict.level, verdict.passed) == (Level.NONE, False)
    assert [(one.code, one.message) for one in verdict.checks if one.status is Status.FAIL] == [
        ("statement.none", "nobody states what this image measures; to accept it: --accept-unstated")
    ]
    assert verdict.measurements is None


def test_with_the_flag_it_is_measured_and_called_unstated() -> None:
    outcome = signed(Seed()).verify(policy=ACCEPTING, keep=True)
    verdict = outcome.verdict
    assert (verdict.level, verdict.required, verdict.passed) == (Level.UNSTATED, Level.UNSTATED, True)
    assert (verdict.measurements, verdict.predicate, outcome.predicate, outcome.stated_by) == (
        MEASURED,
        None,
        None,
        None,
    )
    assert saved(outcome) == IMAGE
    by_step = {check.step: check for check in verdict.checks}
    assert (by_step["statement"].code, by_step["statement"].status) == ("statement.none", Status.NOT_CHECKED)
    assert by_step["statement"].message == (
        "not checked: nobody states what this image measures, and your demands accept that"
    )
    assert by_step["image"].message.endswith(
        "PCR0, PCR1, PCR2 measured here; agrees with the manifest's PCR0, PCR1, PCR2 and 1 file beside it"
    )
    assert by_step["log"].status is Status.NOT_CHECKED
    assert findings(signed(Seed())) == ["artifact.foreign", "image.bootstrap.unknown"]
    assert sentence(verdict) == (
        "UNSTATED: signed by acme/hello's workflow; nobody states what it measures, that was computed here"
        " alone. No running enclave was checked."
    )


@pytest.mark.parametrize("asked", [Level.PROVENANCE, Level.ATTESTED_AT, Level.LIVE_UNBOUND, Level.LIVE])
def test_no_other_level_is_reached_by_it(asked: Level) -> None:
    given = document(Historical() if asked is Level.ATTESTED_AT else LIVE)
    for judged in (None, given):
        verdict = signed(Seed()).verify(policy=ACCEPTING, document=judged, required=asked).verdict
        assert (verdict.level, verdict.passed) == (Level.UNSTATED, False)
        assert "glassclave publish signs one" in sentence(verdict)


def test_a_document_is_judged_and_raises_nothing() -> None:
    for mode, words in ((LIVE, "answered our question"), (Historical(), "existed at 2026-11-23 12:00:00Z")):
        verdict = signed(Seed()).verify(policy=ACCEPTING, document=document(mode)).verdict
        assert (verdict.level, verdict.passed) == (Level.UNSTATED, True)
        assert words in sentence(verdict)
    bad = document(LIVE, nonce=bytes(32))
    assert signed(Seed()).failures(policy=ACCEPTING, document=bad) == ["attestation.nonce.mismatch"]


def test_a_stated_image_is_provenance_with_the_flag_too() -> None:
    verdict = whole().verify(policy=ACCEPTING).verdict
    assert (verdict.level, verdict.required, verdict.passed) == (Level.PROVENANCE, Level.UNSTATED, True)
    verdict = whole().verify(policy=ACCEPTING, document=document(LIVE)).verdict
    assert (verdict.level, verdict.passed) == (Level.LIVE_UNBOUND, True)


def test_an_artifact_of_ours_without_a_statement_is_unstated_too() -> None:
    published = signed(Published())
    assert published.verify(policy=ACCEPTING).verdict.level is Level.UNSTATED
    assert published.failures() == ["statement.none"]
    (failed,) = (one for one in published.verify().verdict.checks if one.status is Status.FAIL)
    assert "a copy may have lost it" in failed.message
    wrong = signed(Published(described=lambda data: data.replace(b"PCR1", b"PCR7")))
    assert wrong.failures(policy=ACCEPTING) == ["image.describe.mismatch"]
    wrong = signed(Published(measurements=lambda predicate: b"{}"))
    assert wrong.failures(policy=ACCEPTING) == ["image.measurements.mismatch"]


def test_a_foreign_artifact_with_a_statement_of_ours_is_as_good_as_ours() -> None:
    published = signed(Seed())
    published.state()
    verdict = published.verify(policy=PICKY).verdict
    assert (verdict.level, verdict.passed) == (Level.PROVENANCE, True)
    assert "artifact.foreign" in {finding.code for finding in verdict.findings}


def test_a_statement_that_is_there_and_does_not_hold_is_not_missing() -> None:
    broken, foreign, other = signed(Seed()), signed(Seed()), signed(Seed())
    broken.state(broken="signature.invalid")
    foreign.state(EVIL)
    other.state(digest="sha256:" + "0" * 64)
    assert broken.failures(policy=ACCEPTING) == ["signature.invalid"]
    assert foreign.failures(policy=ACCEPTING) == ["statement.identity"]
    assert other.failures(policy=ACCEPTING) == ["statement.subject.mismatch"]


def test_a_statement_that_the_registry_withholds_is_not_missing() -> None:
    published = signed(Seed())
    published.registry.lost.add(published.state())
    with pytest.raises(UnavailableError):
        published.verify(policy=ACCEPTING)


def test_the_signature_has_to_pass_the_whole_policy() -> None:
    seed = Seed()
    assert seed.failures(policy=ACCEPTING) == ["signature.none"]
    seed.sign(EVIL)
    assert seed.failures(policy=ACCEPTING) == ["identity.repository.mismatch"]
    assert not [name for name in seed.registry.asked if name == seed.eif.digest]
    pinned = replace(ACCEPTING, source_digest="0" * 40)
    assert signed(Seed()).failures(policy=pinned) == ["identity.source-digest.mismatch"]
    assert signed(Seed()).failures(policy=replace(ACCEPTING, build_log=LOG_REQUIRED)) == ["log.none"]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_each_annotation_and_each_line_of_the_info_is_compared(index: int) -> None:
    name, other = f"PCR{index}", "0" * 96
    bent = Seed(annotations={**ANNOTATIONS, name: other})
    assert signed(bent).failures(policy=ACCEPTING) == ["image.annotation.mismatch"]
    bent = Seed([EIF, ("enclave.info", info(**{name: other}))])
    assert signed(bent).failures(policy=ACCEPTING) == ["image.describe.mismatch"]


def test_an_annotation_or_an_info_may_be_missing() -> None:
    assert signed(Seed([EIF])).verify(policy=ACCEPTING).verdict.passed
    bare = signed(Seed([EIF], annotations={})).verify(policy=ACCEPTING).verdict
    assert bare.level is Level.UNSTATED
    assert next(one for one in bare.checks if one.step == "image").message.endswith(
        "nothing beside it says what it measures"
    )


@pytest.mark.parametrize(
    "text", [b"", b"PCR0: none", b"{", b"}{", b'{"Measurements": 1}', b"{}", b"\xff{}", b'{"PCR0": "00"}']
)
def test_an_info_that_cannot_be_read_is_said_and_does_not_decide(text: bytes) -> None:
    seed = signed(Seed([EIF, ("x\u202e.info", text)]))
    verdict = seed.verify(policy=ACCEPTING).verdict
    assert verdict.level is Level.UNSTATED
    said = [finding.message for finding in verdict.findings if finding.code == "image.beside.unread"]
    assert said == ["x\\u{202e}.info beside the image holds no PCRs that could be compared"]


def test_a_long_name_beside_the_image_is_cut() -> None:
    verdict = signed(Seed([EIF, ("x" * 121, b"")])).verify(policy=ACCEPTING).verdict
    (said,) = (finding.message for finding in verdict.findings if finding.code == "image.beside.unread")
    assert "x" * 121 not in said


def test_plain_json_is_an_info_too() -> None:
    printed = info().partition(b"{")
    seed = Seed([("enclave.info", printed[1] + printed[2]), EIF])
    assert findings(signed(seed)) == ["artifact.foreign", "image.bootstrap.unknown"]
    described = json.loads(printed[1] + printed[2])
    described["Measurements"]["HashAlgorithm"] = "another text of nitro-cli's"
    assert signed(Seed([EIF, ("i", json.dumps(described).encode())])).verify(policy=ACCEPTING).verdict.passed


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ([], "artifact.eif.none"),
        ([("enclave.info", info())], "artifact.eif.none"),
        ([("short", b".ei"), ("later", b"x" + IMAGE)], "artifact.eif.none"),
        ([EIF, ("second", b".eif")], "artifact.eif.several"),
        ([EIF, EIF], "artifact.eif.several"),
        ([EIF, ("large", bytes(MAX_BESIDE + 1))], "artifact.layer.size"),
        ([EIF, *[(str(number), b"%d" % number) for number in range(MAX_LAYERS)]], "artifact.type"),
    ],
)
def test_exactly_one_image_is_wanted(files: list[tuple[str, bytes]], code: str) -> None:
    seed = signed(Seed(files))
    assert seed.failures(policy=ACCEPTING) == [code]
    assert {name for name in seed.registry.asked if ":" in name and not name.endswith("[:4]")} == {
        seed.digest
    }, "nothing but first bytes is fetched"
    short = {f"{name}[:4]" for name, data in seed.registry.blobs.items() if len(data) < 4}
    assert not short.intersection(seed.registry.asked), "nor a range that is not there"


def test_at_the_bounds_it_is_judged() -> None:
    most = [(str(number), b"%d" % number) for number in range(MAX_LAYERS - 1)]
    assert signed(Seed([*most, EIF])).verify(policy=ACCEPTING).verdict.passed
    assert signed(Seed([EIF, ("large", bytes(MAX_BESIDE))])).verify(policy=ACCEPTING).verdict.passed


def test_a_registry_that_lies_about_first_bytes_is_found_out() -> None:
    second = IMAGE[:-1] + b"?"
    hidden = signed(Seed([EIF, ("enclave.info", second)]))
    layer = next(digest for digest, data in hidden.registry.blobs.items() if data == second)
    hidden.registry.heads[layer] = b"text"
    with pytest.raises(UnavailableError) as caught:
        hidden.verify(policy=ACCEPTING)
    assert (caught.value.code, caught.value.source) == ("registry.digest", f"{NAME}@{layer}")
    none = signed(Seed([("enclave.eif", b"no image")]))
    layer = next(digest for digest, data in none.registry.blobs.items() if data == b"no image")
    none.registry.heads[layer] = b".eif"
    assert none.failures(policy=ACCEPTING) == ["eif.truncated"]
