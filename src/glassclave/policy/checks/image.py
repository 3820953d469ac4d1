"""The image as measured here against what was signed, and what stands beside it against both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from glassclave.digests import same_bytes
from glassclave.errors import ParseError
from glassclave.fields import Fields, parse_json
from glassclave.provenance.predicate import Measured, MeasurementPredicate, SectionDigest, parse_predicate
from glassclave.results import Check, Status
from glassclave.sizes import megabytes

STEP = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What an artifact says of its image without a signature: read by tools and people, so it must be true.

    ``annotations``: PCR number to the manifest's text. ``measurements``, ``described``: the files beside the
    image, ``None`` where the artifact has none. ``measured_as``: the ``Measurements`` of a right description.
    ``infos``: ``Measurements`` of the descriptions in an artifact that is not ours.
    """

    annotations: Mapping[int, str]
    measurements: bytes | None
    described: bytes | None
    measured_as: Mapping[str, str]
    infos: tuple[Mapping[str, object], ...] = ()


def check_unstated(found: Measured, hints: Hints) -> tuple[Check, ...]:
    """The image where nobody states what it measures: all there is to compare with are the hints.

    They are signed with the manifest, so a wrong one is a reason to refuse; a right one is no statement.
    """
    failed = tuple(_hints(None, found, hints))
    if failed:
        return failed
    names = ", ".join(f"PCR{index}" for index in found.measurements.by_index())
    annotated = ", ".join(f"PCR{index}" for index in sorted(hints.annotations))
    files = len(hints.infos) + sum(one is not None for one in (hints.measurements, hints.described))
    agreeing = [f"the manifest's {annotated}"] if annotated else []
    agreeing += [f"{files} file{'' if files == 1 else 's'} beside it"] if files else []
    said = f"agrees with {' and '.join(agreeing)}" if agreeing else "nothing beside it says what it measures"
    message = f"{megabytes(found.eif.size)}, {names} measured here; {said}"
    return (Check(step=STEP, code=STEP, status=Status.PASS, message=message),)


def read_info(data: bytes) -> Mapping[str, object] | None:
    """The ``Measurements`` in what nitro-cli printed, with its messages or without; ``None``: no such."""
    # Without braces nothing is left that is JSON.
    return _described(data[data.find(b"{") : data.rfind(b"}") + 1])


def check_image(stated: MeasurementPredicate, found: Measured, hints: Hints) -> tuple[Check, ...]:
    """One passed check, or every difference by its own code."""
    differences = (*_registers(stated.measured, found), *_form(stated.measured, found))
    # Everything that is recorded is compared, also what a later version of the record may add.
    if not differences and stated.measured != found:
        differences = (_failed("image.file.mismatch", "the file is not the one that was measured"),)
    failed = (*differences, *_hints(stated, found, hints))
    if failed:
        return failed
    names = ", ".join(f"PCR{index}" for index in found.measurements.by_index())
    message = f"{megabytes(found.eif.size)} measured here: {names} equal the statement's"
    return (Check(step=STEP, code=STEP, status=Status.PASS, message=message),)


def _registers(stated: Measured, found: Measured) -> Iterator[Check]:
    wanted, actual = stated.measurements.by_index(), found.measurements.by_index()
    for index, code in _PCR_CODES.items():
        left, right = wanted.get(index), actual.get(index)
        if left is None and right is None:
            continue
        if left is None or right is None or not same_bytes(left, right):
            yield _failed(
                code,
                f"PCR{index} measured here is not the stated one",
                "none" if left is None else left.hex(),
                "none" if right is None else right.hex(),
            )


_PCR_CODES = {
    0: "image.pcr0.mismatch",
    1: "image.pcr1.mismatch",
    2: "image.pcr2.mismatch",
    8: "image.pcr8.mismatch",
}


def _form(stated: Measured, found: Measured) -> Iterator[Check]:
    # Hashing of PCRs has no framing: only sizes and digests of the sections pin where one ends.
    if stated.sections != found.sections:
        yield _failed(
            "image.section.mismatch",
            "its sections are not the stated ones",
            _shown(stated.sections),
            _shown(found.sections),
        )
    if stated.architecture != found.architecture:
        yield _failed(
            "image.architecture.mismatch",
            "is for another architecture",
            stated.architecture,
            found.architecture,
        )
    if (stated.eif_version, stated.flags) != (found.eif_version, found.flags):
        yield _failed(
            "image.header.mismatch",
            "its header is not the stated one",
            f"version {stated.eif_version}, flags {stated.flags}",
            f"version {found.eif_version}, flags {found.flags}",
        )


def _shown(sections: tuple[SectionDigest, ...]) -> str:
    return ", ".join(f"{one.type} {one.size} {one.sha384.hex()[:12]}" for one in sections)


def _hints(stated: MeasurementPredicate | None, found: Measured, hints: Hints) -> Iterator[Check]:
    values = found.measurements.by_index()
    for index, text in sorted(hints.annotations.items()):
        value = values[index].hex() if index in values else "none"
        if text != value:
            message = f"the manifest's PCR{index} annotation is not what the image measures"
            yield _failed("image.annotation.mismatch", message, value, text[:200])
    if hints.measurements is not None and not _says_the_same(hints.measurements, stated, found):
        yield _failed("image.measurements.mismatch", "the measurements file beside the image says otherwise")
    right = _without_hash(hints.measured_as)
    described = () if hints.described is None else (_described(hints.described),)
    if any(one != right for one in (*described, *hints.infos)):
        yield _failed("image.describe.mismatch", "the description beside the image says otherwise")


def _says_the_same(data: bytes, stated: MeasurementPredicate | None, found: Measured) -> bool:
    """Source and log are filled in when the statement is signed: `build` need not have known them."""
    try:
        written = parse_predicate(data, source="measurements file")
    except ParseError:
        return False
    if stated is None:
        return written.measured == found
    source, log = written.claimed.source, written.claimed.build_log
    claimed = replace(stated.claimed, source=source, build_log=log)
    return (
        written.measured == found
        and written.claimed == claimed
        and source in (None, stated.claimed.source)
        and log in (None, stated.claimed.build_log)
    )


def _described(data: bytes) -> Mapping[str, object] | None:
    try:
        top = Fields.of(parse_json(data, source="description"), source="description")
        return _without_hash(top.child("Measurements").values)
    except ParseError:
        return None


def _without_hash(measurements: Mapping[str, object]) -> Mapping[str, object]:
    """Without ``HashAlgorithm``: nitro-cli prints a debug text there, another one since its version 1.5."""
    return {name: value for name, value in measurements.items() if name != "HashAlgorithm"}


def _failed(code: str, message: str, expected: str | None = None, actual: str | None = None) -> Check:
    return Check(step=STEP, code=code, status=Status.FAIL, message=message, expected=expected, actual=actual)
