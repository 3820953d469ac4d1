"""The image measured here against what was stated, and what stands beside it against both."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from glassclave.bootstrap.shipped import load_shipped
from glassclave.errors import UnavailableError
from glassclave.flows.verify import VerifyRequest, verify_reference
from glassclave.policy.model import Policy
from glassclave.progress import Silent
from glassclave.provenance.predicate import MeasurementPredicate, SectionDigest, predicate_json
from glassclave.ramdisk.bootstrap import bootstrap_ramdisk
from glassclave.results import Severity, Status
from tests.unit.eif.images import patched, write
from tests.unit.eif.signed_images import SIGNED
from tests.unit.flows.published import GOOD, IMAGE, REFERENCE, Published, whole


def measured(**changes: object) -> Callable[[MeasurementPredicate], MeasurementPredicate]:
    return lambda one: replace(one, measured=replace(one.measured, **changes))  # type: ignore[arg-type]


def registers(**changes: bytes) -> Callable[[MeasurementPredicate], MeasurementPredicate]:
    def bend(one: MeasurementPredicate) -> MeasurementPredicate:
        values = replace(one.measured.measurements, **changes)
        return replace(one, measured=replace(one.measured, measurements=values))

    return bend


def longer_section(one: MeasurementPredicate) -> MeasurementPredicate:
    first, *rest = one.measured.sections
    longer = SectionDigest(type=first.type, size=first.size + 1, sha384=first.sha384)
    return replace(one, measured=replace(one.measured, sections=(longer, *rest)))


def other_sha384(one: MeasurementPredicate) -> MeasurementPredicate:
    return replace(one, measured=replace(one.measured, eif=replace(one.measured.eif, sha384=bytes(48))))


@pytest.mark.parametrize(
    ("bend", "code"),
    [
        (registers(pcr0=b"\7" * 48), "image.pcr0.mismatch"),
        (registers(pcr1=b"\7" * 48), "image.pcr1.mismatch"),
        (registers(pcr2=b"\7" * 48), "image.pcr2.mismatch"),
        (measured(architecture="aarch64"), "image.architecture.mismatch"),
        (measured(eif_version=3), "image.header.mismatch"),
        (measured(flags=1), "image.header.mismatch"),
        (longer_section, "image.section.mismatch"),
        (other_sha384, "image.file.mismatch"),
    ],
)
def test_the_image_is_measured_here_and_compared_with_the_whole_statement(
    bend: Callable[[MeasurementPredicate], MeasurementPredicate], code: str
) -> None:
    published = Published()
    published.sign()
    published.state(bend=bend)
    assert published.failures() == [code]
    assert [check.message for check in published.verify().verdict.checks if check.step == "log"] == [
        "not judged: the image is not the stated one"
    ]


def test_a_statement_that_the_image_contradicts_does_not_hide_one_that_it_bears_out() -> None:
    wrong = registers(pcr1=b"\7" * 48)
    for logs in ((3, 9), (9, 3)):
        published = Published()
        published.sign()
        published.state(log=logs[0], bend=wrong)
        published.state(log=logs[1])
        verdict = published.verify().verdict
        assert verdict.passed
        assert verdict.predicate is not None
        assert verdict.predicate.measured == published.predicate.measured
        assert [check.step for check in verdict.checks].count("statement") == 1


def test_a_withheld_statement_might_have_been_the_one_that_the_image_bears_out() -> None:
    published = Published()
    published.sign()
    published.state(bend=registers(pcr1=b"\7" * 48))
    assert published.failures() == ["image.pcr1.mismatch"]
    published.registry.lost.add(published.state(log=9))
    with pytest.raises(UnavailableError):
        published.verify()
    # No statement makes a file right that breaks the rules of its own format.
    digest = "sha256:" + published.predicate.measured.eif.sha256.hex()
    published.registry.blobs[digest] = IMAGE[:-1] + bytes([IMAGE[-1] ^ 1])
    assert published.failures() == ["eif.crc"]


def test_of_statements_that_the_image_contradicts_the_signers_own_says_why() -> None:
    later = replace(GOOD, run_invocation_uri="https://github.com/acme/hello/actions/runs/9/attempts/1")
    for logs in ((3, 9), (9, 3)):
        published = Published()
        published.sign()
        published.state(log=logs[0], bend=registers(pcr1=b"\7" * 48))
        published.state(later, log=logs[1], bend=registers(pcr2=b"\7" * 48))
        assert published.failures() == ["image.pcr1.mismatch"]
        # And it is the one that is shown where the file breaks the rules of its own format.
        digest = "sha256:" + published.predicate.measured.eif.sha256.hex()
        published.registry.blobs[digest] = IMAGE[:-1] + bytes([IMAGE[-1] ^ 1])
        assert published.failures() == ["eif.crc"]
        verdict = published.verify().verdict
        assert "statement.run.other" not in [finding.code for finding in verdict.findings]


def test_two_statements_of_one_log_entry_number_are_judged_in_one_order() -> None:
    published = Published()
    published.sign()
    published.state(bend=registers(pcr1=b"\7" * 48))
    published.state(bend=registers(pcr1=b"\6" * 48))
    one = published.verify().verdict
    published.registry.referrers.reverse()
    assert published.verify().verdict == one


def test_an_image_with_a_signature_of_its_own_is_judged_by_it_too() -> None:
    published = Published(SIGNED["P-384"])
    published.sign()
    published.state()
    verdict = published.verify().verdict
    assert verdict.passed
    assert verdict.measurements is not None
    assert verdict.measurements.pcr8 is not None
    # Another kernel under the same signature.
    digest = "sha256:" + published.predicate.measured.eif.sha256.hex()
    published.registry.blobs[digest] = patched(SIGNED["P-384"], 548 + 12, b"k")
    assert published.failures() == ["eif.signature.payload"]
    statement = [check for check in published.verify().verdict.checks if check.step == "statement"]
    assert [check.status for check in statement] == [Status.PASS], "it was judged, and it is not what failed"


def test_kernel_and_init_of_this_program_are_known() -> None:
    def findings(published: Published) -> list[tuple[str, Severity]]:
        published.sign()
        published.state()
        return [(one.code, one.severity) for one in published.verify().verdict.findings]

    assert findings(Published()) == [("image.bootstrap.unknown", Severity.WARNING)]
    ours = load_shipped("x86_64")
    ramdisks = (b"".join(bootstrap_ramdisk(ours.init, None)), b"application")
    image = write(ours.kernel, ours.cmdline, ramdisks)[0]
    assert findings(Published(image)) == []


def test_the_size_is_told_in_megabytes_and_the_registers_by_name() -> None:
    published = Published(write(kernel=bytes(3_150_000))[0])
    published.sign()
    published.state()
    verdict = published.verify().verdict
    (image,) = (check for check in verdict.checks if check.step == "image")
    assert image.message == "3.2 MB measured here: PCR0, PCR1, PCR2 equal the statement's"
    assert verdict.measurements == published.predicate.measured.measurements


def no_container(one: MeasurementPredicate) -> MeasurementPredicate:
    return replace(one, claimed=replace(one.claimed, container=None))


def written(bend: Callable[[MeasurementPredicate], MeasurementPredicate], one: MeasurementPredicate) -> bytes:
    return predicate_json(bend(one))


def edited_hint(document: dict[str, object]) -> None:
    annotations = document["annotations"]
    assert isinstance(annotations, dict)
    annotations["PCR1"] = "0" * 96


def signed(published: Published) -> Published:
    published.sign()
    published.state()
    return published


def test_what_stands_beside_the_image_must_agree_with_it() -> None:
    assert signed(Published(bend=edited_hint)).failures() == ["image.annotation.mismatch"]
    for bend in (other_sha384, no_container):
        wrong = Published(measurements=partial(written, bend))
        assert signed(wrong).failures() == ["image.measurements.mismatch"]
    assert signed(Published(measurements=lambda one: b"{}")).failures() == ["image.measurements.mismatch"]
    pcr0 = Published().predicate.measured.measurements.pcr0.hex().encode()
    bad = Published(described=lambda data: data.replace(pcr0, b"0" * 96))
    assert signed(bad).failures() == ["image.describe.mismatch"]
    assert signed(Published(described=lambda data: b"[]")).failures() == ["image.describe.mismatch"]
    large = Published(described=lambda data: data + b" " * (4 << 20))
    assert signed(large).failures() == ["image.describe.mismatch"]
    lengths = {len(large.registry.blobs.get(name, b"")) for name in large.registry.asked}
    assert max(lengths) < 4 << 20, "it is not even fetched"
    assert signed(Published(described=lambda data: data.ljust(4 << 20))).verify().verdict.passed


@pytest.mark.parametrize("spelling", [b"Sha384 { ... }", b"Sha512_48 { .. }"])
def test_case_20_the_hash_is_spelled_as_each_nitro_cli_likes(spelling: bytes) -> None:
    """It is the debug text of an object: a description by another version is no reason to refuse an image."""

    def respelled(data: bytes) -> bytes:
        assert data.count(b"Sha512_48 { .. }") == 1
        return data.replace(b"Sha512_48 { .. }", spelling)

    assert signed(Published(described=respelled)).verify().verdict.passed
    pcr8 = Published(described=lambda data: data.replace(b'"PCR0"', b'"PCR8": "00", "PCR0"'))
    assert signed(pcr8).failures() == ["image.describe.mismatch"]


def test_an_artifact_may_hold_the_image_alone() -> None:
    def alone(document: dict[str, object]) -> None:
        layers = document["layers"]
        assert isinstance(layers, list)
        del layers[1:], document["annotations"]

    assert signed(Published(bend=alone)).verify().verdict.passed


def test_an_image_that_breaks_a_rule_of_its_format_is_refused_by_that_rule() -> None:
    bent = IMAGE[:-1] + bytes([IMAGE[-1] ^ 1])
    published = Published()
    digest = "sha256:" + published.predicate.measured.eif.sha256.hex()
    published.registry.blobs[digest] = bent  # a registry client would refuse these bytes: the reader does too
    assert signed(published).failures() == ["eif.crc"]
    published.registry.blobs[digest] = patched(IMAGE, len(IMAGE) - 1, b"!")
    assert "image.pcr2.mismatch" in published.failures()


def test_what_is_odd_in_the_image_is_a_finding() -> None:
    """Flags that are not public are in no PCR as computed here (EIF specification, "Header")."""
    flags = int.from_bytes(IMAGE[6:8], "big") | 0x8000
    bent = bytearray(IMAGE)
    bent[6:8] = flags.to_bytes(2, "big")
    bent[544:548] = zlib.crc32(bytes(bent[:544]) + bytes(bent[548:])).to_bytes(4, "big")
    verdict = whole(bytes(bent)).verify().verdict
    assert verdict.passed
    assert "eif.header.flags" in [finding.code for finding in verdict.findings]


def test_a_tag_beside_a_digest_is_not_said_to_have_been_read() -> None:
    published = whole()
    pinned = replace(REFERENCE, tag="other", digest=published.digest)
    outcome = verify_reference(
        VerifyRequest(reference=pinned, policy=Policy(repository="acme/hello")),
        registry=published.registry,
        signatures=published.sigstore,
        progress=Silent(),
    )
    outcome.close()
    assert outcome.verdict.checks[0].message.endswith("(tag other not read, the digest decides)")
