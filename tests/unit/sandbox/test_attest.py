"""`glassclave-sandbox attest` and the root that it keeps."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from glassclave.cli import main as glassclave
from glassclave.errors import GlassclaveError, ParseError
from glassclave_sandbox.cli import main as sandbox
from glassclave_sandbox.root_store import CERTIFICATE, KEY, open_root
from tests.unit.eif.signing import AT as VALID
from tests.unit.eif.signing import certificate_of, key_on, key_pem

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
NONCE = "5a" * 32


def status(main: object, *words: str | Path) -> int:
    assert callable(main)
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attest")
    (folder / "root").mkdir()
    (folder / "root" / "app").write_bytes(b"app")
    assert status(glassclave, "build", f"dir:{folder / 'root'}", "--cmd", "/app", "-o", folder / "a.eif") == 0
    return folder / "a.eif"


def judge(image: Path, document: Path, root: Path, nonce: str = NONCE) -> int:
    return status(
        glassclave, "attestation", "verify", document, "--eif", image, "--nonce", nonce,
        "--attestation-root", root / CERTIFICATE, "--json",
    )  # fmt: skip


def codes(text: str) -> list[str]:
    return [check["code"] for check in json.loads(text)["checks"] if check["status"] == "fail"]


def test_its_document_passes_under_its_root_alone(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "doc.bin"
    for root in ("one", "two"):
        words = ("attest", image, "--nonce", NONCE, "-o", document, "--root", tmp_path / root)
        assert status(sandbox, *words) == 0
    assert judge(image, document, tmp_path / "two") == 0
    capsys.readouterr()
    assert judge(image, document, tmp_path / "one") == 1
    assert codes(capsys.readouterr().out)[0].startswith("attestation.")
    assert judge(image, document, tmp_path / "two", nonce="5b" * 32) == 1
    assert codes(capsys.readouterr().out) == ["attestation.nonce.mismatch"]


def test_a_signed_image_has_its_pcr8_in_the_document(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signed = tmp_path / "signed.eif"
    for name, key in (("one", key_on()), ("two", key_on())):
        (tmp_path / "key.pem").write_bytes(key_pem(key))
        (tmp_path / "cert.pem").write_bytes(certificate_of(key))
        assert (
            status(
                glassclave, "sign-eif", image, "--key", tmp_path / "key.pem", "--certificate",
                tmp_path / "cert.pem", "-o", signed, "--at", VALID.isoformat(),
            )
            == 0
        )  # fmt: skip
        document = tmp_path / f"{name}.bin"
        root = tmp_path / "root"
        assert status(sandbox, "attest", signed, "--nonce", NONCE, "-o", document, "--root", root) == 0
        assert judge(signed, document, root) == 0
    capsys.readouterr()
    assert judge(signed, tmp_path / "one.bin", root) == 1
    assert codes(capsys.readouterr().out) == ["attestation.pcr8.mismatch"]


def test_debug_mode(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "doc.bin"
    words = ("attest", image, "--nonce", NONCE, "-o", document, "--root", tmp_path / "root", "--debug")
    assert status(sandbox, *words) == 0
    capsys.readouterr()
    assert judge(image, document, tmp_path / "root") == 1
    assert codes(capsys.readouterr().out) == ["attestation.debug-mode"]


def test_a_signed_document_is_not_signed_again(image: Path, tmp_path: Path) -> None:
    document, again = tmp_path / "doc.bin", tmp_path / "again.bin"
    words = ("attest", image, "--nonce", NONCE, "--root", tmp_path / "root")
    assert status(sandbox, *words, "-o", document) == 0
    assert status(sandbox, *words, "-o", again, "--resign", document) == 3
    assert status(sandbox, *words, "-o", again, "--resign", document, "--debug") == 2
    assert not again.exists()


def test_the_root_stays_the_same_and_its_key_is_private(tmp_path: Path) -> None:
    first, second = open_root(tmp_path / "root", at=AT), open_root(tmp_path / "root", at=AT)
    assert first.der == second.der
    assert first.key.private_numbers() == second.key.private_numbers()
    assert stat.S_IMODE((tmp_path / "root" / KEY).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", [KEY, CERTIFICATE])
def test_a_root_that_is_no_pair_is_refused(tmp_path: Path, name: str) -> None:
    open_root(tmp_path / "root", at=AT)
    open_root(tmp_path / "other", at=AT)
    (tmp_path / "root" / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(ParseError) as caught:
        open_root(tmp_path / "root", at=AT)
    assert caught.value.code == "sandbox.root.form"


def test_a_root_that_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "root").write_bytes(b"")
    with pytest.raises(GlassclaveError) as caught:
        open_root(tmp_path / "root", at=AT)
    assert caught.value.code == "sandbox.root"
