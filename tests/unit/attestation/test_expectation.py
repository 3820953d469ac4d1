"""Expectations that could match anything are refused before anything is read."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone, tzinfo

import pytest

from glassclave.attestation.expectation import Expected, Historical, Live
from glassclave.attestation.measurements import parse_measurements
from glassclave.errors import LimitError, ParseError, UsageError
from glassclave.results import Measurements
from tests.unit.attestation.forge import NONCE, NOW, PCRS

MEASURED = Measurements(pcr0=PCRS[0], pcr1=PCRS[1], pcr2=PCRS[2])


@pytest.mark.parametrize(
    ("pcrs", "code"),
    [
        ({}, "incomplete"),
        ({0: PCRS[0]}, "incomplete"),
        ({0: PCRS[0], 1: PCRS[1]}, "incomplete"),
        ({8: b"8" * 48, 3: b"3" * 48}, "incomplete"),
        ({**PCRS, 0: bytes(48)}, "zero"),
        ({**PCRS, 8: bytes(48)}, "zero"),
        ({**PCRS, 1: b"1" * 47}, "size"),
        ({**PCRS, 32: b"1" * 48}, "index"),
        ({**PCRS, -1: b"1" * 48}, "index"),
    ],
)
def test_expected_pcrs(pcrs: dict[int, bytes], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        Expected(pcrs=pcrs)
    assert caught.value.code == f"attestation.expected.{code}"
    assert caught.value.exit_status == 2


def test_what_is_given_beside_an_image_must_not_contradict_it() -> None:
    assert Expected.of(MEASURED, also={3: b"3" * 48}).pcrs[3] == b"3" * 48
    assert Expected.of(MEASURED, also={0: PCRS[0]}).unsigned_image
    for also in ({0: b"0" * 48}, {8: b"8" * 48}):
        with pytest.raises(UsageError) as caught:
            Expected.of(MEASURED, also=also)
        assert caught.value.code == "attestation.expected.contradiction"
    with pytest.raises(UsageError) as caught:
        Expected(pcrs={**PCRS, 8: b"8" * 48}, unsigned_image=True)
    assert caught.value.code == "attestation.expected.contradiction"


def test_nonce_age_and_times() -> None:
    Live(nonce=NONCE[:16], at=NOW)
    Live(nonce=bytes(1024), at=NOW)
    for nonce in (b"", NONCE[:15], bytes(1025)):
        with pytest.raises(UsageError) as caught:
            Live(nonce=nonce, at=NOW)
        assert caught.value.code == "attestation.nonce.size"
    with pytest.raises(UsageError) as caught:
        Live(nonce=NONCE, at=NOW, max_age=timedelta(0))
    assert caught.value.code == "attestation.max-age"
    for naive in (
        lambda: Live(nonce=NONCE, at=NOW.replace(tzinfo=None)),
        lambda: Historical(at=NOW.replace(tzinfo=None)),
    ):
        with pytest.raises(UsageError) as caught:
            naive()
        assert caught.value.code == "attestation.time.naive"
    Historical(at=NOW.astimezone(timezone(timedelta(hours=9))))


def _json(pcrs: dict[int, bytes]) -> str:
    return ",".join(f'"PCR{index}": "{value.hex()}"' for index, value in pcrs.items())


def test_measurements_of_a_build_are_read_where_nitro_cli_puts_them() -> None:
    inside = '{"Measurements": {"HashAlgorithm": "Sha384 { ... }", ' + _json(PCRS) + "}}"
    assert parse_measurements(inside.encode(), source="m") == MEASURED
    assert parse_measurements(("{" + _json(PCRS) + "}").encode(), source="m") == MEASURED
    signed = parse_measurements(("{" + _json({**PCRS, 8: b"8" * 48}) + "}").encode(), source="m")
    assert signed.pcr8 == b"8" * 48
    twice = "{" + _json(PCRS) + ', "Measurements": {' + _json(PCRS) + "}}"
    for text in ("[]", "{", "{}", "{" + _json({0: PCRS[0], 1: PCRS[1]}) + "}", '{"PCR0": 1}', twice):
        with pytest.raises(ParseError) as caught:
            parse_measurements(text.encode(), source="m")
        assert caught.value.source == "m"


def _file(**changes: object) -> bytes:
    """A build's measurements file, as far as this reader looks."""
    pcrs = {f"PCR{index}": value.hex() for index, value in PCRS.items()}
    measured: dict[str, object] = {"hashAlgorithm": "SHA384", "pcrs": pcrs, "sections": [], "eif": {}}
    measured |= {"architecture": "x86_64", "eifVersion": 4, "flags": 0} | changes
    return json.dumps({"measured": measured, "claimed": {}}).encode()


def test_the_measurements_file_of_a_build_is_read_strictly() -> None:
    assert parse_measurements(_file(), source="m") == MEASURED
    pcrs = json.loads(_file())["measured"]["pcrs"]
    eight = parse_measurements(_file(pcrs={**pcrs, "PCR8": "08" * 48}), source="m")
    assert eight.pcr8 == b"\x08" * 48


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (_file(hashAlgorithm="SHA256"), "measurements.hash-algorithm"),
        (_file(extra=1), "field.unknown"),
        (_file(pcrs={"PCR0": "00" * 48, "PCR1": "00" * 48}), "field.missing"),
        (_file(pcrs={f"PCR{n}": "00" * 48 for n in (0, 1, 2, 3)}), "field.unknown"),
        (_file().replace(b'"claimed"', b'"Claimed"'), "field.unknown"),
        (_file().replace(b', "claimed": {}', b""), "field.missing"),
        (_file().replace(b'"claimed": {}', b'"claimed": 1'), "field.type"),
        (_file().replace(b'"claimed": {}', b'"claimed": {}, "extra": 1'), "field.unknown"),
        (_file().replace(b'"claimed": {}', b'"claimed": {}, "PCR0": "00"'), "measurements.twice"),
    ],
)
def test_a_measurements_file_of_another_form_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_measurements(data, source="m")
    assert caught.value.code == code


def test_where_the_measurements_may_stand() -> None:
    for place in ("Measurements", "measurements"):
        data = json.dumps({place: json.loads("{" + _json(PCRS) + "}")}).encode()
        assert parse_measurements(data, source="m") == MEASURED
        with pytest.raises(ParseError) as caught:
            parse_measurements(data[:-1] + b', "measured": {}}', source="m")
        assert caught.value.code == "measurements.twice"


@pytest.mark.parametrize("index", [0, 1, 2, 8])
def test_a_register_has_48_bytes(index: int) -> None:
    for size, whole in ((47, False), (48, True), (49, False)):
        text = "{" + _json({**PCRS, 8: b"8" * 48, index: b"x" * size}) + "}"
        if whole:
            assert parse_measurements(text.encode(), source="m").by_index()[index] == b"x" * 48
            continue
        with pytest.raises(ParseError) as caught:
            parse_measurements(text.encode(), source="m")
        assert caught.value.code == "hex.size"


def test_a_file_of_measurements_is_no_longer_than_a_mebibyte() -> None:
    text = ("{" + _json(PCRS) + "}").encode()
    assert parse_measurements(text.ljust(1 << 20), source="m") == MEASURED
    with pytest.raises(LimitError) as caught:
        parse_measurements(text.ljust((1 << 20) + 1), source="m")
    assert caught.value.code == "json.size"


class Nowhere(tzinfo):
    """A zone that knows no offset, which Python takes for none."""

    def utcoffset(self, dt: datetime | None) -> None:
        return None

    dst = utcoffset

    def tzname(self, dt: datetime | None) -> None:
        return None


def test_a_zone_without_an_offset_is_none() -> None:
    with pytest.raises(UsageError) as caught:
        Historical(at=NOW.replace(tzinfo=Nowhere()))
    assert caught.value.code == "attestation.time.naive"


@pytest.mark.parametrize(("year", "hours"), [(1, 14), (9999, -14)])
def test_a_time_that_utc_cannot_hold_is_refused(year: int, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    at = datetime(year, 1, 1, tzinfo=zone) if year == 1 else datetime(year, 12, 31, 23, tzinfo=zone)
    for mode in (lambda: Historical(at=at), lambda: Live(nonce=NONCE, at=at)):
        with pytest.raises(UsageError) as caught:
            mode()
        assert caught.value.code == "attestation.time.range"
