"""The image as measured against what was stated and what stands beside it: a code for each difference."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from glassclave.policy.checks.image import Hints, check_image, check_unstated, read_info
from glassclave.provenance.claimed import BuildLogClaim
from glassclave.provenance.predicate import Measured, MeasurementPredicate, predicate_json
from glassclave.results import Check, Status
from tests.unit.provenance.predicates import SIGNED

FOUND = SIGNED.measured
NOTHING = Hints(annotations={}, measurements=None, described=None, measured_as={})


def failures(
    *, stated: MeasurementPredicate = SIGNED, found: Measured = FOUND, hints: Hints = NOTHING
) -> list[Check]:
    checks = check_image(stated, found, hints)
    assert {(check.step, check.status) for check in checks} == {("image", Status.FAIL)}
    return list(checks)


def with_pcr8(value: bytes | None) -> Measured:
    return replace(FOUND, measurements=replace(FOUND.measurements, pcr8=value))


def test_an_image_that_is_the_stated_one_passes_by_one_check() -> None:
    (check,) = check_image(SIGNED, FOUND, NOTHING)
    assert (check.step, check.code, check.status) == ("image", "image", Status.PASS)
    assert check.message == "584 B measured here: PCR0, PCR1, PCR2, PCR8 equal the statement's"
    unsigned = replace(SIGNED, measured=with_pcr8(None))
    assert "PCR8" not in check_image(unsigned, with_pcr8(None), NOTHING)[0].message


@pytest.mark.parametrize(
    ("stated", "found"),
    [(b"\x08" * 48, b"\x07" * 48), (b"\x08" * 48, None), (None, b"\x07" * 48)],
)
def test_pcr8_of_an_image_with_a_signature_of_its_own_is_compared_too(
    stated: bytes | None, found: bytes | None
) -> None:
    (check,) = failures(stated=replace(SIGNED, measured=with_pcr8(stated)), found=with_pcr8(found))
    assert (check.code, check.message) == (
        "image.pcr8.mismatch",
        "PCR8 measured here is not the stated one",
    )
    assert check.expected == (stated.hex() if stated else "none")
    assert check.actual == (found.hex() if found else "none")


@pytest.mark.parametrize("index", [0, 1, 2])
def test_each_register_decides(index: int) -> None:
    values = replace(FOUND.measurements, **{f"pcr{index}": b"\x07" * 48})
    (check,) = failures(found=replace(FOUND, measurements=values))
    assert check.code == f"image.pcr{index}.mismatch"
    assert check.expected == FOUND.measurements.by_index()[index].hex()
    assert check.actual == "07" * 48


def test_sections_are_shown_by_type_size_and_digest() -> None:
    (check,) = failures(found=replace(FOUND, sections=FOUND.sections[::-1]))
    assert check.code == "image.section.mismatch"
    assert check.expected == "kernel 5 6b6b6b6b6b6b, signature 7 737373737373"
    assert check.actual == "signature 7 737373737373, kernel 5 6b6b6b6b6b6b"


@pytest.mark.parametrize(
    ("change", "code", "expected", "actual"),
    [
        ({"architecture": "aarch64"}, "image.architecture.mismatch", "x86_64", "aarch64"),
        ({"eif_version": 3}, "image.header.mismatch", "version 4, flags 0", "version 3, flags 0"),
        ({"flags": 1}, "image.header.mismatch", "version 4, flags 0", "version 4, flags 1"),
        ({"eif": replace(FOUND.eif, size=1)}, "image.file.mismatch", None, None),
        ({"eif": replace(FOUND.eif, sha256=bytes(32))}, "image.file.mismatch", None, None),
        ({"eif": replace(FOUND.eif, sha384=bytes(48))}, "image.file.mismatch", None, None),
    ],
)
def test_everything_else_that_is_stated_is_compared(
    change: dict[str, object], code: str, expected: str | None, actual: str | None
) -> None:
    (check,) = failures(found=replace(FOUND, **change))  # type: ignore[arg-type]  # each is of its field's type
    assert (check.code, check.expected, check.actual) == (code, expected, actual)


def test_every_difference_has_its_check() -> None:
    values = replace(FOUND.measurements, pcr0=b"\x07" * 48, pcr8=None)
    found = replace(FOUND, measurements=values, architecture="aarch64", flags=1)
    hints = replace(NOTHING, annotations={2: "x", 0: "x"}, measurements=b"{}", described=b"{}")
    assert [check.code for check in failures(found=found, hints=hints)] == [
        "image.pcr0.mismatch",
        "image.pcr8.mismatch",
        "image.architecture.mismatch",
        "image.header.mismatch",
        "image.annotation.mismatch",
        "image.annotation.mismatch",
        "image.measurements.mismatch",
        "image.describe.mismatch",
    ]


def test_annotations_say_what_the_image_measures_or_fail_in_the_order_of_their_numbers() -> None:
    found = replace(FOUND, measurements=replace(FOUND.measurements, pcr1=b"\xab" * 48))
    stated = replace(SIGNED, measured=found)
    right = {index: value.hex() for index, value in found.measurements.by_index().items()}
    assert check_image(stated, found, replace(NOTHING, annotations=right))[0].status is Status.PASS
    for text in (right[1].upper(), right[1] + " ", right[1][:-1], "", "none"):
        (check,) = failures(stated=stated, found=found, hints=replace(NOTHING, annotations={1: text}))
        assert (check.code, check.expected, check.actual) == (
            "image.annotation.mismatch",
            right[1],
            text,
        )
    checks = failures(hints=replace(NOTHING, annotations={4: "x" * 300, 2: "y", 0: "z"}))
    assert [check.message.split()[2] for check in checks] == ["PCR0", "PCR2", "PCR4"]
    assert (checks[2].expected, checks[2].actual) == ("none", "x" * 200)


def test_the_files_beside_the_image_say_the_same() -> None:
    measured_as = {"PCR0": "a"}
    beside = Hints(
        annotations={},
        measurements=predicate_json(SIGNED),
        described=json.dumps({"Measurements": measured_as}).encode(),
        measured_as=measured_as,
    )
    assert check_image(SIGNED, FOUND, beside)[0].status is Status.PASS
    # `build` need not have known source and log; others than the signed ones contradict it.
    assert SIGNED.claimed.source is not None
    for unknown in (replace(SIGNED.claimed, source=None), replace(SIGNED.claimed, build_log=None)):
        silent = replace(beside, measurements=predicate_json(replace(SIGNED, claimed=unknown)))
        assert check_image(SIGNED, FOUND, silent)[0].status is Status.PASS
    source = replace(SIGNED.claimed.source, ref="refs/tags/9")
    log = BuildLogClaim(size=9, sha256=b"m" * 32)
    for other in (
        replace(SIGNED, claimed=replace(SIGNED.claimed, source=source)),
        replace(SIGNED, claimed=replace(SIGNED.claimed, build_log=log)),
        replace(SIGNED, claimed=replace(SIGNED.claimed, container=None)),
        replace(SIGNED, measured=replace(FOUND, eif=replace(FOUND.eif, size=1))),
    ):
        (check,) = failures(hints=replace(beside, measurements=predicate_json(other)))
        assert check.code == "image.measurements.mismatch"
    for described in (b"", b"[]", b"{}", b'{"Measurements":{}}', b'{"Measurements":{"PCR0":"b"}}'):
        (check,) = failures(hints=replace(beside, described=described))
        assert check.code == "image.describe.mismatch"


MEASURED_AS = {"HashAlgorithm": "Sha384 { ... }", "PCR0": "a"}
INFO = {"PCR0": "a"}


def unstated(**hints: Any) -> Check:
    (check,) = check_unstated(FOUND, replace(NOTHING, measured_as=MEASURED_AS, **hints))
    assert check.step == "image"
    return check


@pytest.mark.parametrize(
    ("hints", "said"),
    [
        ({}, "nothing beside it says what it measures"),
        ({"annotations": {1: "01" * 48, 0: "00" * 48}}, "agrees with the manifest's PCR0, PCR1"),
        ({"measurements": predicate_json(SIGNED)}, "agrees with 1 file beside it"),
        (
            {
                "annotations": {2: "02" * 48},
                "described": b'{"Measurements":{"PCR0":"a"}}',
                "infos": (INFO, INFO),
            },
            "agrees with the manifest's PCR2 and 3 files beside it",
        ),
    ],
)
def test_an_image_of_which_nothing_is_stated_passes_by_what_stands_beside_it(
    hints: dict[str, object], said: str
) -> None:
    check = unstated(**hints)
    assert (check.code, check.status) == ("image", Status.PASS)
    assert check.message == f"584 B, PCR0, PCR1, PCR2, PCR8 measured here; {said}"


def test_a_measurements_file_that_nobody_signed_may_claim_what_it_will() -> None:
    other = replace(SIGNED, claimed=replace(SIGNED.claimed, source=None, container=None))
    assert unstated(measurements=predicate_json(other)).status is Status.PASS


@pytest.mark.parametrize(
    ("hints", "code"),
    [
        ({"annotations": {0: "00" * 47 + "01"}}, "image.annotation.mismatch"),
        ({"measurements": b"{}"}, "image.measurements.mismatch"),
        (
            {"measurements": predicate_json(replace(SIGNED, measured=replace(FOUND, flags=1)))},
            "image.measurements.mismatch",
        ),
        ({"described": b'{"Measurements":{"PCR0":"b"}}'}, "image.describe.mismatch"),
        ({"described": b'{"Measurements":{"PCR0":"a","PCR1":"b"}}'}, "image.describe.mismatch"),
        ({"infos": (INFO, {"PCR0": "b"})}, "image.describe.mismatch"),
        ({"infos": ({},)}, "image.describe.mismatch"),
    ],
)
def test_where_nothing_is_stated_a_wrong_word_beside_the_image_fails(
    hints: dict[str, object], code: str
) -> None:
    check = unstated(**hints)
    assert (check.code, check.status) == (code, Status.FAIL)


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        (b'{"Measurements":{"HashAlgorithm":"Sha384","PCR0":"a"}}', INFO),
        (b'Start building...\n{"Measurements":{"PCR0":"a"}}done', INFO),
        (b'{"Measurements":{}}', {}),
        (b"", None),
        (b"Start building...", None),
        (b'"Measurements":{"PCR0":"a"}', None),
        (b'{"Measurements":[]}', None),
        (b"}{", None),
    ],
)
def test_what_nitro_cli_printed_is_read_with_its_messages_or_without(
    printed: bytes, found: dict[str, object] | None
) -> None:
    assert read_info(printed) == found
