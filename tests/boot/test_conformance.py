"""QEMU's loader on signed images and on the odd ones of the table: what boots, and with which PCRs."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from glassclave.cbor import decode
from glassclave.eif.reader import read_image
from glassclave.eif.signature import appraise_image
from glassclave.errors import UnavailableError
from glassclave.streams import open_source
from glassclave_sandbox.machine import Machine
from glassclave_sandbox.notary import parse_qemu_document
from tests.boot.conftest import WriteGuest
from tests.boot.enclave import SECONDS, run, shell, small_root, write_enclave
from tests.unit.eif.quirks import CONTAINER, Quirk
from tests.unit.eif.signing import AT, certificate_of, key_on, key_pem

pytestmark = pytest.mark.boot

TRIED = [pytest.param(quirk, id=quirk.name) for quirk in CONTAINER if quirk.qemu is not None]
ANSWER = """
sock, _ = listen(7000).accept()
sock.sendall(attest(sock.recv(32)))
sock.close()
"""


def registers(image: Path) -> dict[int, bytes]:
    """By our strict reader, signature checked."""
    with open_source(image) as source:
        return appraise_image(read_image(source, name=str(image))).measurements.by_index()


def attested(qemu: Path, image: Path) -> dict[int, bytes]:
    """The registers in the document that a booted enclave got from QEMU's security module."""
    nonce = secrets.token_bytes(32)
    with Machine(image, qemu=qemu) as machine:
        machine.wait_for_heartbeat(SECONDS)
        with machine.connect(7000, timeout=SECONDS) as sock:
            sock.sendall(nonce)
            reply = decode(b"".join(iter(lambda: sock.recv(65536), b"")))
    assert isinstance(reply, dict)
    payload = parse_qemu_document(reply["Attestation"]["document"])
    assert payload["nonce"] == nonce
    pcrs = payload["pcrs"]
    assert isinstance(pcrs, dict)
    return pcrs


def sign(image: Path, folder: Path, curve: str) -> Path:
    """``image`` signed by the command, with a key drawn for it."""
    key, output = key_on(curve), folder / f"signed-{curve}.eif"
    (folder / "key.pem").write_bytes(key_pem(key))
    (folder / "certificate.pem").write_bytes(certificate_of(key))
    words: list[str | Path] = [
        "--key",
        folder / "key.pem",
        "--certificate",
        folder / "certificate.pem",
        "-o",
        output,
    ]
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "glassclave",
        "sign-eif",
        image,
        "--at",
        AT.isoformat(),
        *words,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return output


def test_qemu_reports_the_pcr8_of_what_we_sign(qemu: Path, write_guest: WriteGuest, tmp_path: Path) -> None:
    """PCR0, 1, 2 and 8 in all digits, for a first signature and for one that replaced a longer one."""
    image = write_guest(ANSWER)
    unsigned = registers(image)
    signed = sign(image, tmp_path, "P-384")
    again = sign(signed, tmp_path, "P-256")
    first, second = registers(signed), registers(again)
    assert first[8] != second[8]
    for path, expected in ((signed, first), (again, second)):
        pcrs = attested(qemu, path)
        assert {index: pcrs[index] for index in expected} == expected
        assert {index: pcrs[index] for index in unsigned} == unsigned


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[int, bytes], ...]:
    """Those of an image that says it has started, and ends."""
    path = write_enclave(
        tmp_path_factory.mktemp("sound") / "sound.eif", shell("echo it has started"), small_root()
    )
    with open_source(path) as source:
        image = read_image(source, name="sound.eif")
        return tuple((one.type, image.data(one, limit=1 << 30)) for one in image.sections)


@pytest.mark.parametrize("quirk", TRIED)
def test_quirk_as_qemu_has_it(
    qemu: Path, tmp_path: Path, sections: tuple[tuple[int, bytes], ...], quirk: Quirk
) -> None:
    image = tmp_path / "odd.eif"
    image.write_bytes(quirk.make(sections))
    if quirk.qemu == "boots":
        assert "it has started" in run(qemu, image).splitlines()
        return
    with Machine(image, qemu=qemu) as machine, pytest.raises(UnavailableError) as caught:
        machine.wait_for_heartbeat(SECONDS)
    assert caught.value.code == "sandbox.qemu.failed"
    assert quirk.qemu is not None and quirk.qemu in caught.value.message
