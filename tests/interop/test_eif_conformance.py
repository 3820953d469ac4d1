"""AWS's own tools on the images of the conformance cases, and on what we write, sign and replace."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from glassclave.eif.describe import describe
from glassclave.eif.format import Architecture
from glassclave.eif.inspection import inspect_image
from glassclave.eif.reader import read_image
from glassclave.eif.signature import appraise_image, image_signer
from glassclave.errors import GlassclaveError
from glassclave.streams import BytesSource, open_source
from tests.unit.eif.images import VECTOR, write
from tests.unit.eif.quirks import CONTAINER, Quirk
from tests.unit.eif.signature_quirks import SIGNATURES
from tests.unit.eif.signing import AT, certificate_of, key_on, key_pem

pytestmark = [pytest.mark.interop, pytest.mark.acceptance]

ROWS = [pytest.param(quirk, id=f"1.7-{quirk.name}") for quirk in CONTAINER]
ROWS += [pytest.param(quirk, id=f"3.5-{quirk.name}") for quirk in SIGNATURES]
PANIC = 101
"""Exit status of a Rust program that panicked."""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def said(*command: str | Path) -> str:
    done = run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def described(nitro_cli: Path, image: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(said(nitro_cli, "describe-eif", "--eif-path", image))
    return document


def registers(image: Path) -> dict[str, str]:
    """By our strict reader, signature checked."""
    with open_source(image) as source:
        measured = appraise_image(read_image(source, name=str(image)))
    return {f"PCR{index}": value.hex() for index, value in measured.measurements.by_index().items()}


def theirs(document: dict[str, Any]) -> dict[str, str]:
    """Their registers, without the name of the hash, which is spelled as each version likes."""
    found = dict(document.get("Measurements", document))
    assert found.pop("HashAlgorithm") in ("Sha384 { ... }", "Sha512_48 { .. }")
    assert {len(value) for value in found.values()} == {96}
    return found


@pytest.mark.parametrize("quirk", ROWS)
def test_quirk_as_nitro_cli_has_it(nitro_cli: Path, tmp_path: Path, quirk: Quirk) -> None:
    """The table says what describe-eif does; where it reads, our lenient reader has its PCR0, 1 and 2."""
    image = tmp_path / "odd.eif"
    data = quirk.make(VECTOR)
    image.write_bytes(data)
    done = run(nitro_cli, "describe-eif", "--eif-path", image)
    if quirk.aws != "reads":
        assert (done.returncode == PANIC) == (quirk.aws == "panics"), done.stderr
        assert done.returncode != 0
        return
    document = json.loads(done.stdout)
    assert {name for name in ("CheckCRC", "SignatureCheck") if document.get(name)} == set(quirk.checks)
    try:
        found = inspect_image(BytesSource(data), name="odd.eif").measurements
    except GlassclaveError:
        return
    if found is not None and not quirk.name.startswith("table-order"):
        ours = {f"PCR{index}": value.hex() for index, value in found.by_index().items()}
        assert {name: theirs(document)[name] for name in ours} == ours


@dataclass(frozen=True)
class Parts:
    """Files that eif_build takes: kernel, ramdisks, key and certificate, all drawn anew."""

    folder: Path

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def ramdisks(self, count: int) -> list[str | Path]:
        words: list[str | Path] = []
        for number in range(count):
            words += ["--ramdisk", self.file(f"r{number}", secrets.token_bytes(400 + number))]
        return words

    def signer(self, curve: str, name: str = "signer") -> tuple[Path, Path]:
        key = key_on(curve)
        return self.file(f"{name}.key", key_pem(key)), self.file(f"{name}.pem", certificate_of(key))


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def build(eif_build: Path, parts: Parts, name: str, *more: str | Path) -> tuple[Path, dict[str, str]]:
    """An image by eif_build and the registers that it printed."""
    output = parts.folder / name
    kernel = parts.folder / "kernel"
    if not kernel.exists():
        parts.file("kernel", secrets.token_bytes(5000))
    words: list[str | Path] = ["--kernel", kernel, "--cmdline", "console=ttyS0 quiet", "--output", output]
    printed = said(eif_build, *words, *more)
    return output, theirs(json.loads(printed[printed.index("{") :]))


@pytest.mark.parametrize("count", [1, 2, 28])
@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
@pytest.mark.parametrize("signed", [None, "P-256", "P-384", "P-521"])
def test_what_eif_build_writes_reads_back(
    eif_build: Path, nitro_cli: Path, parts: Parts, count: int, arch: str, signed: str | None
) -> None:
    custom = parts.file("custom.json", json.dumps({"nonce": secrets.token_hex(8), "ü": [1, None]}).encode())
    words: list[str | Path] = [
        *parts.ramdisks(count),
        "--arch",
        arch,
        "--metadata",
        custom,
        "--name",
        "given name",
    ]
    if signed is not None:
        key, certificate = parts.signer(signed)
        words += ["--private-key", key, "--signing-certificate", certificate]
    image, printed = build(eif_build, parts, "theirs.eif", *words)
    assert registers(image) == printed == theirs(described(nitro_cli, image))
    with open_source(image) as source:
        found = inspect_image(source, name="theirs.eif")
    assert found.findings == () or [one.code for one in found.findings] == ["eif.no-application"]
    assert found.metadata is not None
    assert found.metadata.image_name == "given name"
    assert ("PCR8" in printed) == (signed is not None)


def sign(image: Path, key: Path, certificate: Path, output: Path) -> dict[str, Any]:
    words: list[str | Path] = [
        "--key",
        key,
        "--certificate",
        certificate,
        "-o",
        output,
        "--at",
        AT.isoformat(),
    ]
    document: dict[str, Any] = json.loads(
        said(sys.executable, "-m", "glassclave", "sign-eif", image, "--json", *words)
    )
    return document


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_our_signature_has_the_pcr8_of_eif_build(
    eif_build: Path, nitro_cli: Path, parts: Parts, curve: str
) -> None:
    """Same parts, key and certificate: same registers. Bytes differ by their random number and their time."""
    ramdisks = parts.ramdisks(3)
    key, certificate = parts.signer(curve)
    bare, _ = build(eif_build, parts, "bare.eif", *ramdisks)
    signed, printed = build(
        eif_build, parts, "theirs.eif", *ramdisks, "--private-key", key, "--signing-certificate", certificate
    )
    ours = parts.folder / "ours.eif"
    assert sign(bare, key, certificate, ours)["measurements"] == printed
    document = described(nitro_cli, ours)
    assert theirs(document) == printed == registers(ours)
    assert document["IsSigned"] is document["CheckCRC"] is document["SignatureCheck"] is True
    assert described(nitro_cli, signed)["SigningCertificate"] == document["SigningCertificate"]
    again = parts.folder / "again.eif"
    sign(bare, key, certificate, again)
    assert again.read_bytes() == ours.read_bytes()  # RFC 6979
    assert signed.read_bytes() != ours.read_bytes()


@pytest.mark.parametrize("curve", [None, "P-256", "P-384", "P-521"])
@pytest.mark.parametrize("count", [1, 2, 28])
@pytest.mark.parametrize("architecture", list(Architecture))
def test_nitro_cli_describes_what_we_write_as_we_do(
    nitro_cli: Path, tmp_path: Path, curve: str | None, count: int, architecture: Architecture
) -> None:
    """The whole document, key by key and in order, and so every register in all digits."""
    signer = None
    if curve is not None:
        key = key_on(curve)
        signer = image_signer(certificate_of(key), key)
    data, written = write(
        secrets.token_bytes(3000),
        b"console=ttyS0 " + secrets.token_hex(8).encode(),
        [secrets.token_bytes(100 * number) for number in range(count)],
        architecture=architecture,
        sign=signer,
    )
    image = tmp_path / "ours.eif"
    image.write_bytes(data)
    said_of_it = said(nitro_cli, "describe-eif", "--eif-path", image)
    measured = {f"PCR{index}": value.hex() for index, value in written.measurements.by_index().items()}
    assert theirs(json.loads(said_of_it)) == measured
    ours = describe(inspect_image(BytesSource(data), name="ours.eif"))
    document = {key: ours[key] for key in ours if key not in ("Sections", "Unmeasured", "Findings")}
    assert json.dumps(document, indent=2, ensure_ascii=False) == said_of_it.rstrip("\n")


def test_quirk_of_the_random_number_is_theirs_alone(eif_build: Path, parts: Parts) -> None:
    """§7.1: two runs of eif_build differ though nothing that is measured does."""
    key, certificate = parts.signer("P-384")
    words: list[str | Path] = [*parts.ramdisks(2), "--private-key", key, "--signing-certificate", certificate]
    words += ["--build-time", "2026-01-01T00:00:00+00:00"]
    (first, printed), (second, again) = (build(eif_build, parts, name, *words) for name in ("1.eif", "2.eif"))
    assert printed == again
    assert first.read_bytes() != second.read_bytes()
    for name, image in (("a.eif", first), ("b.eif", second)):
        sign(image, key, certificate, parts.folder / name)
    assert (parts.folder / "a.eif").read_bytes() == (parts.folder / "b.eif").read_bytes()


def test_quirk_of_the_time_is_theirs_alone(eif_build: Path, parts: Parts) -> None:
    """§7.1: BuildTime changes bytes and no register."""
    words = parts.ramdisks(2)
    (first, printed), (second, again) = (build(eif_build, parts, name, *words) for name in ("1.eif", "2.eif"))
    assert printed == again
    assert first.read_bytes() != second.read_bytes()


@pytest.mark.parametrize("curves", [("P-521", "P-256"), ("P-256", "P-521")])
def test_an_image_that_nitro_cli_signs_again_is_refused_and_ours_is_not(
    eif_build: Path, nitro_cli: Path, parts: Parts, curves: tuple[str, str]
) -> None:
    """Image-format issue 54: the table keeps the old size. describe-eif does not look there."""
    first, second = (parts.signer(curve, name) for curve, name in zip(curves, ("one", "two"), strict=True))
    image, _ = build(eif_build, parts, "image.eif", *parts.ramdisks(2))
    signed = parts.folder / "signed.eif"
    sign(image, *first, signed)
    resigned = parts.file("resigned.eif", signed.read_bytes())
    words: list[str | Path] = ["--private-key", second[0], "--signing-certificate", second[1]]
    said(nitro_cli, "sign-eif", "--eif-path", resigned, *words)
    document = described(nitro_cli, resigned)
    assert document["CheckCRC"] is document["SignatureCheck"] is True
    with pytest.raises(GlassclaveError, match="nitro-cli sign-eif leaves that") as caught:
        registers(resigned)
    assert caught.value.code == "eif.section.size-mismatch"
    ours = parts.folder / "ours.eif"
    said_of_it = sign(signed, *second, ours)
    assert said_of_it["signature"]["replaced"] is True
    assert registers(ours) == theirs(described(nitro_cli, ours)) == theirs(document)


def test_an_unsigned_image_that_nitro_cli_signs_reads_back(
    eif_build: Path, nitro_cli: Path, parts: Parts
) -> None:
    key, certificate = parts.signer("P-384")
    image, before = build(eif_build, parts, "image.eif", *parts.ramdisks(2))
    words: list[str | Path] = ["--private-key", key, "--signing-certificate", certificate]
    printed = theirs(json.loads(said(nitro_cli, "sign-eif", "--eif-path", image, *words)))
    assert registers(image) == printed == before | {"PCR8": printed["PCR8"]}


def try_both(
    nitro_cli: Path, parts: Parts, image: Path, key: Path, certificate: Path
) -> tuple[subprocess.CompletedProcess[str], str]:
    """nitro-cli's answer, and the code of ours, which leaves no file."""
    ours = parts.folder / "ours.eif"
    words: list[str | Path] = ["--key", key, "--certificate", certificate, "-o", ours, "--at", AT.isoformat()]
    done = run(sys.executable, "-m", "glassclave", "sign-eif", image, "--json", *words)
    assert done.returncode != 0
    assert not ours.exists()
    given: list[str | Path] = ["--private-key", key, "--signing-certificate", certificate]
    return run(nitro_cli, "sign-eif", "--eif-path", image, *given), json.loads(done.stdout)["error"]["code"]


def test_quirk_of_a_key_that_is_not_the_certificate_s(eif_build: Path, nitro_cli: Path, parts: Parts) -> None:
    """nitro-cli signs with it; its own describe-eif cannot read what comes out."""
    image, _ = build(eif_build, parts, "image.eif", *parts.ramdisks(2))
    (key, _), (_, certificate) = parts.signer("P-384", "one"), parts.signer("P-384", "two")
    done, code = try_both(nitro_cli, parts, image, key, certificate)
    assert (done.returncode, code) == (0, "eif.sign.pair")
    assert run(nitro_cli, "describe-eif", "--eif-path", image).returncode != 0
    with pytest.raises(GlassclaveError) as caught:
        registers(image)
    assert caught.value.code == "cose.signature"


def test_quirk_of_an_expired_certificate(eif_build: Path, nitro_cli: Path, parts: Parts) -> None:
    """nitro-cli signs with it and says nothing; who starts the enclave finds out (cli issue 243)."""
    image, _ = build(eif_build, parts, "image.eif", *parts.ramdisks(2))
    key = key_on("P-384")
    pem = certificate_of(key, start=AT.replace(year=2019), end=AT.replace(year=2020))
    files = parts.file("old.key", key_pem(key)), parts.file("old.pem", pem)
    done, code = try_both(nitro_cli, parts, image, *files)
    assert (done.returncode, code) == (0, "eif.certificate.expired")
    assert described(nitro_cli, image)["SignatureCheck"] is True


def test_quirk_of_a_full_table(eif_build: Path, nitro_cli: Path, parts: Parts) -> None:
    image, _ = build(eif_build, parts, "image.eif", *parts.ramdisks(29))
    done, code = try_both(nitro_cli, parts, image, *parts.signer("P-384"))
    assert (done.returncode, code) == (PANIC, "eif.plan.sections")


@pytest.mark.parametrize("form", ["leading text", "CRLF", "no final newline", "attributes"])
def test_case_07_forms_of_a_certificate_have_one_pcr8(
    eif_build: Path, nitro_cli: Path, parts: Parts, form: str
) -> None:
    key, certificate = parts.signer("P-384")
    plain = certificate.read_bytes()
    other = {
        "leading text": b"subject=/CN=somebody\n\n" + plain,
        "CRLF": plain.replace(b"\n", b"\r\n"),
        "no final newline": plain.rstrip(b"\n"),
        "attributes": b"Bag Attributes\n    friendlyName: x\n" + plain + b"trailing text\n",
    }[form]
    image, _ = build(eif_build, parts, "image.eif", *parts.ramdisks(2))
    ours = parts.folder / "ours.eif"
    found = [sign(image, key, parts.file("form.pem", text), ours)["measurements"] for text in (plain, other)]
    assert found[0] == found[1] == theirs(described(nitro_cli, ours))
    assert theirs(json.loads(said(nitro_cli, "pcr", "--signing-certificate", certificate)) | {
        "HashAlgorithm": "Sha384 { ... }"
    }) == {"PCR8": found[0]["PCR8"]}  # fmt: skip
