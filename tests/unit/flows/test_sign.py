"""Signing a file: registers stay, claims go along, and whatever fails leaves what was there."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from glassclave.eif.measurement import pcr_of_certificate
from glassclave.eif.reader import read_image
from glassclave.eif.signature import appraise_image
from glassclave.errors import GlassclaveError
from glassclave.flows.files import measurements_file
from glassclave.flows.sign import SignRequest, SignResult, check_read_back, sign_file
from glassclave.progress import Silent
from glassclave.provenance.predicate import parse_predicate
from glassclave.results import Measurements
from glassclave.streams import open_source
from tests.oracle_pcrs import pcrs
from tests.unit.eif.images import VECTOR, by_hand, patched
from tests.unit.eif.quirks import stale_size
from tests.unit.eif.signed_images import SIGNED, SIGNED_PCR8
from tests.unit.eif.signing import AT, END, certificate_of, key_on, key_pem
from tests.unit.flows.test_build import build

KEY = key_on()
CERTIFICATE = certificate_of(KEY)


def sign(image: Path, output: Path, **changes: object) -> SignResult:
    request = SignRequest(image=image, output=output, key=KEY, certificate_file=CERTIFICATE, at=AT)
    return sign_file(replace(request, **changes), Silent())  # type: ignore[arg-type]  # any fields


def registers(path: Path) -> Measurements:
    with open_source(path) as source:
        return appraise_image(read_image(source, name=str(path))).measurements


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """One that build made, with its measurements beside it."""
    build(tmp_path / "app.eif")
    return tmp_path / "app.eif"


def test_registers_stay_and_pcr8_comes(image: Path, tmp_path: Path) -> None:
    before, output = registers(image), tmp_path / "signed.eif"
    result = sign(image, output)
    assert registers(output) == replace(before, pcr8=pcr_of_certificate(result.certificate.der))
    assert pcrs(str(output)) == pcrs(str(image))
    assert (result.algorithm, result.replaced, result.replaced_pcr8) == ("ES384", False, None)
    assert result.findings == ()
    data = output.read_bytes()
    assert sign(image, output).measurements_file == tmp_path / "signed.measurements.json"
    assert output.read_bytes() == data


def test_measurements_are_of_the_signed_file_and_claims_stay(image: Path, tmp_path: Path) -> None:
    output = tmp_path / "signed.eif"
    result = sign(image, output)
    before = parse_predicate(measurements_file(image).read_bytes(), source="before")
    after = parse_predicate(measurements_file(output).read_bytes(), source="after")
    assert after.claimed == before.claimed
    assert after.measured == result.measured
    assert after.measured.measurements == registers(output)
    assert [one.type for one in after.measured.sections][-1] == "signature"
    assert after.measured.sections[:-1] == before.measured.sections
    assert after.measured.eif.size == output.stat().st_size
    # A second signature starts from there.
    assert sign(output, output, key=KEY).replaced
    assert parse_predicate(measurements_file(output).read_bytes(), source="again") == after


def test_without_measurements_there_are_none_and_old_ones_go(image: Path, tmp_path: Path) -> None:
    output = tmp_path / "signed.eif"
    measurements_file(image).unlink()
    measurements_file(output).write_text("of another image", encoding="ascii")
    assert sign(image, output).measurements_file is None
    assert not measurements_file(output).exists()


@pytest.mark.parametrize("key", ["size", "sha256"])
def test_measurements_of_another_image_are_not_handed_on(image: Path, tmp_path: Path, key: str) -> None:
    beside = measurements_file(image)
    document = json.loads(beside.read_bytes())
    value = document["measured"]["eif"][key]
    document["measured"]["eif"][key] = value + 1 if isinstance(value, int) else value[::-1]
    beside.write_text(json.dumps(document), encoding="ascii")
    assert refused(image, tmp_path / "signed.eif") == "eif.sign.measurements"
    beside.unlink()
    sign(image, tmp_path / "signed.eif")


@pytest.mark.parametrize("part", ["PCR2", "section"])
def test_measurements_that_lie_about_the_image_are_not_handed_on(
    image: Path, tmp_path: Path, part: str
) -> None:
    beside = measurements_file(image)
    document = json.loads(beside.read_bytes())
    if part == "section":
        document["measured"]["sections"][0]["sha384"] = "0" * 96
    else:
        document["measured"]["pcrs"][part] = "0" * 96
    beside.write_text(json.dumps(document), encoding="ascii")
    assert refused(image, tmp_path / "signed.eif") == "eif.sign.measurements"


@pytest.mark.parametrize("name", SIGNED)
def test_a_signature_is_replaced_and_that_is_said(tmp_path: Path, name: str) -> None:
    image, output = tmp_path / "image.eif", tmp_path / "signed.eif"
    image.write_bytes(SIGNED[name])
    result = sign(image, output)
    assert result.replaced
    assert result.replaced_pcr8 == bytes.fromhex(SIGNED_PCR8[name])
    assert [one.code for one in result.findings] == ["eif.sign.replaced"]
    assert SIGNED_PCR8[name] in result.findings[0].message
    unsigned = tmp_path / "unsigned.eif"
    unsigned.write_bytes(by_hand())
    sign(unsigned, tmp_path / "other.eif")
    assert output.read_bytes() == (tmp_path / "other.eif").read_bytes()


def test_a_signature_that_cannot_be_read_is_replaced_too(tmp_path: Path) -> None:
    image, output = tmp_path / "image.eif", tmp_path / "signed.eif"
    image.write_bytes(by_hand([*VECTOR, (4, b"\x80")]))
    result = sign(image, output)
    assert (result.replaced, result.replaced_pcr8) == (True, None)
    assert registers(output).pcr8 == pcr_of_certificate(result.certificate.der)


def test_what_is_odd_in_the_image_is_said(tmp_path: Path) -> None:
    image = tmp_path / "image.eif"
    image.write_bytes(patched(by_hand(), 0x18, b"\0\1"))
    assert [one.code for one in sign(image, tmp_path / "o.eif").findings] == ["eif.header.reserved"]


def test_in_place(image: Path) -> None:
    before = registers(image)
    sign(image, image)
    assert registers(image) == replace(before, pcr8=registers(image).pcr8)
    assert registers(image).pcr8 is not None


def refused(image: Path, output: Path, **changes: object) -> str:
    """Code of the refusal; the folder is as it was, whatever stood there."""
    before = {path: path.read_bytes() for path in output.parent.iterdir()}
    with pytest.raises(GlassclaveError) as caught:
        sign(image, output, **changes)
    assert {path: path.read_bytes() for path in output.parent.iterdir()} == before
    return caught.value.code


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"at": END.replace(year=END.year + 1)}, "eif.certificate.expired"),
        ({"key": key_on()}, "eif.sign.pair"),
        ({"certificate_file": CERTIFICATE * 2}, "eif.certificate.count"),
        ({"certificate_file": b"no PEM"}, "eif.certificate.pem"),
        # Stored with the certificate, so this one fails when everything before it was written.
        ({"certificate_file": b"x" * 30000 + b"\n" + CERTIFICATE}, "eif.plan.signature-size"),
    ],
)
def test_a_failed_signature_leaves_what_was_there(
    image: Path, tmp_path: Path, changes: dict[str, object], code: str, there: bool
) -> None:
    """nitro-cli before 1.5.0 wrote an unsigned image and said that all was well (cli issue 756)."""
    output = tmp_path / "signed.eif"
    if there:
        sign(image, output)
    assert refused(image, output, **changes) == code
    assert refused(image, image, **changes) == code  # nor is the image itself lost
    assert output.exists() == there


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (by_hand()[:0x223] + bytes([by_hand()[0x223] ^ 1]) + by_hand()[0x224:], "eif.crc"),
        (stale_size(VECTOR), "eif.section.size-mismatch"),
        (patched(by_hand(), 6, b"\2\x40"), "eif.sign.flags"),
        (b"", "eif.truncated"),
    ],
)
def test_an_image_that_is_refused_is_not_signed(tmp_path: Path, data: bytes, code: str) -> None:
    image = tmp_path / "image.eif"
    image.write_bytes(data)
    assert refused(image, tmp_path / "signed.eif") == code


def test_a_full_table_has_no_place_for_a_signature(tmp_path: Path) -> None:
    """nitro-cli sign-eif writes behind its table there, and panics."""
    image = tmp_path / "image.eif"
    image.write_bytes(by_hand([*VECTOR[:3], *[(3, b"r")] * 28]))
    sign(image, tmp_path / "signed.eif")
    image.write_bytes(by_hand([*VECTOR[:3], *[(3, b"r")] * 29]))
    assert refused(image, tmp_path / "signed.eif") == "eif.plan.sections"


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from glassclave.cli import main
main(sys.argv[2:])
"""


@pytest.mark.parametrize("limit", [0, 600, 2000, 4000])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, limit: int) -> None:
    """The file may grow to ``limit`` bytes only: header, kernel, ramdisks or signature do not fit."""
    image, output = tmp_path / "image.eif", tmp_path / "signed.eif"
    image.write_bytes(by_hand([*VECTOR[:3], (3, bytes(3000)), (3, b"R")]))
    sign(image, output)
    before = output.read_bytes()
    assert len(before) > 4000
    (tmp_path / "key.pem").write_bytes(key_pem(KEY))
    (tmp_path / "cert.pem").write_bytes(CERTIFICATE)
    words = ["sign-eif", "image.eif", "--key", "key.pem", "--certificate", "cert.pem", "-o", "signed.eif"]
    command = [sys.executable, "-c", LIMITED, str(limit), *words, "--at", AT.isoformat()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "file.unwritable" in done.stderr
    assert output.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"image.eif", "signed.eif", "key.pem", "cert.pem"}


class Meddler(Silent):
    """Changes a byte of the kernel after it was measured and before it is signed."""

    def __init__(self, image: Path) -> None:
        self._image = image

    def step(self, name: str, message: str) -> None:
        with self._image.open("r+b") as file:
            file.seek(548 + 12)
            file.write(b"?")


def test_an_image_that_changes_meanwhile_is_not_kept(image: Path, tmp_path: Path) -> None:
    output = tmp_path / "signed.eif"
    sign(image, output)
    before = output.read_bytes(), measurements_file(output).read_bytes()
    request = SignRequest(image=image, output=output, key=KEY, certificate_file=CERTIFICATE, at=AT)
    with pytest.raises(GlassclaveError) as caught:
        sign_file(request, Meddler(image))
    assert caught.value.code == "eif.sign.read-back"
    assert (output.read_bytes(), measurements_file(output).read_bytes()) == before


@pytest.mark.parametrize("register", ["pcr0", "pcr1", "pcr2", "pcr8"])
def test_a_file_that_reads_back_otherwise_is_refused(register: str) -> None:
    wanted = Measurements(pcr0=bytes(48), pcr1=bytes(48), pcr2=bytes(48), pcr8=bytes(48))
    check_read_back(wanted, wanted)
    with pytest.raises(GlassclaveError) as caught:
        check_read_back(replace(wanted, **{register: b"\1" * 48}), wanted)
    assert caught.value.code == "eif.sign.read-back"
