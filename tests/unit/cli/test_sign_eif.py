"""``glassclave sign-eif`` as a person and as a program meet it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from jsonschema import Draft202012Validator

from glassclave.cli import main
from tests.unit.eif.images import PCR0, PCR1, PCR2, by_hand
from tests.unit.eif.signed_images import SIGNED, SIGNED_PCR8
from tests.unit.eif.signing import AT, certificate_of, key_on, key_pem

SPEC = Path(__file__).resolve().parents[3] / "docs" / "spec" / "sign-eif.schema.json"
SCHEMA = json.loads(SPEC.read_text(encoding="utf-8"))
PASSWORD = b"a secret word"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image, keys and certificates, under short names."""
    key, other = key_on(), key_on("P-256")
    files = {
        "image.eif": by_hand(),
        "signed.eif": SIGNED["P-521"],
        "key.pem": key_pem(key),
        "locked.pem": key_pem(key, PASSWORD),
        "password": PASSWORD + b"\n",
        "empty": b"\n",
        "cert.pem": certificate_of(key),
        "other.pem": certificate_of(other),
        "other-key.pem": key_pem(other),
        "ca.pem": certificate_of(key, extensions=[x509.BasicConstraints(ca=True, path_length=None)]),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["sign-eif", *words.split()])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


NOW = f"--at {AT.isoformat()}"
GOOD = f"image.eif --key key.pem --certificate cert.pem -o out.eif {NOW}"


@pytest.mark.parametrize(
    "words",
    [
        GOOD,
        GOOD.replace("key.pem", "locked.pem") + " --key-password-file password",
        GOOD.replace("image.eif", "signed.eif"),
        GOOD.replace("key.pem", "other-key.pem").replace("cert.pem", "other.pem"),
        GOOD.replace("cert.pem", "ca.pem"),
    ],
)
def test_the_answer_follows_its_schema(folder: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    status, out, err = run(f"{words} --json", capsys)
    assert (status, err) == (0, "")
    answer = json.loads(out)
    assert errors(answer) == []
    assert [answer["measurements"][f"PCR{index}"] for index in range(3)] == [PCR0, PCR1, PCR2]
    assert answer["size"] == (folder / "out.eif").stat().st_size
    changes: list[dict[str, object]] = [
        {"extra": 1},
        {"measurements": {"PCR0": PCR0, "PCR1": PCR1, "PCR2": PCR2}},
        {"signature": {}},
        {"certificate": {}},
        {"at": "yesterday"},
        {"findings": [{"code": "eif.crc", "severity": "error", "message": "m", "where": None}]},
    ]
    for change in changes:
        assert errors(answer | change)
    for key in answer:
        assert errors({name: value for name, value in answer.items() if name != key})


def errors(value: object) -> list[str]:
    Draft202012Validator.check_schema(SCHEMA)
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(value)]


def test_a_replaced_signature_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(GOOD.replace("image.eif", "signed.eif"), capsys)
    assert status == 0
    assert f"note: the image had a signature of PCR8 {SIGNED_PCR8['P-521']}; it is replaced" in out
    status, out, _ = run(GOOD.replace("image.eif", "signed.eif") + " --json", capsys)
    signature = json.loads(out)["signature"]
    assert signature == {"algorithm": "ES384", "replaced": True, "replacedPcr8": SIGNED_PCR8["P-521"]}
    _, out, _ = run(f"{GOOD} --json", capsys)
    assert json.loads(out)["signature"] == {"algorithm": "ES384", "replaced": False, "replacedPcr8": None}


def test_text_shows_whole_registers_dates_and_what_is_odd(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = GOOD.replace("key.pem", "other-key.pem").replace("cert.pem", "other.pem")
    status, out, err = run(words, capsys)
    assert status == 0
    for index, value in enumerate((PCR0, PCR1, PCR2)):
        assert f"PCR{index}  {value}  " in out
    assert "PCR8  " in out
    assert "valid 2026-11-03T05:04:03Z to 2027-11-03T05:04:03Z" in out
    assert "warning: its key is on secp256r1" in out
    assert "signed     out.eif, ES256" in err


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ("image.eif --certificate cert.pem -o out.eif", 2, "usage"),
        ("image.eif --key key.pem -o out.eif", 2, "usage"),
        ("image.eif --key key.pem --certificate cert.pem", 2, "usage"),
        (GOOD.replace("key.pem", "gone"), 3, "file.unreadable"),
        (GOOD.replace("cert.pem", "gone"), 3, "file.unreadable"),
        (GOOD.replace("image.eif", "gone"), 3, "file.unreadable"),
        (GOOD.replace("image.eif", "key.pem"), 3, "eif.truncated"),
        (GOOD.replace("out.eif", "nowhere/out.eif"), 3, "file.unwritable"),
        (GOOD.replace("out.eif", "."), 2, "eif.sign.output"),
        (GOOD.replace("out.eif", ".."), 2, "eif.sign.output"),
        (GOOD.replace("out.eif", "/dev/null"), 3, "file.kind"),
        (GOOD.replace("key.pem", "cert.pem"), 3, "eif.sign.key.form"),
        (GOOD.replace("key.pem", "other-key.pem"), 2, "eif.sign.pair"),
        (GOOD.replace("key.pem", "locked.pem"), 2, "eif.sign.key.encrypted"),
        (GOOD + " --key-password-file password", 2, "eif.sign.key.password"),
        (GOOD.replace("key.pem", "locked.pem") + " --key-password-file empty", 2, "eif.sign.key.password"),
        (GOOD.replace("key.pem", "locked.pem") + " --key-password-file cert.pem", 2, "eif.sign.key.password"),
        (GOOD.replace("key.pem", "arn:aws:kms:eu-west-1:123456789012:key/1"), 2, "eif.sign.key.kms"),
        (GOOD.replace(NOW, "--at 2026-12-01"), 2, "eif.sign.time"),
        (GOOD.replace(NOW, "--at yesterday"), 2, "eif.sign.time"),
        (GOOD.replace(NOW, "--at 2026-11-03T05:04:02Z"), 1, "eif.certificate.not-yet-valid"),
        (GOOD.replace(NOW, "--at 2027-11-03T05:04:04Z"), 1, "eif.certificate.expired"),
    ],
)
def test_what_cannot_be_signed_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], words: str, status: int, code: str
) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    found, out, err = run(f"{words} --json", capsys)
    assert err == ""
    error = json.loads(out)["error"]
    assert (found, error["code"]) == (status, code)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert PASSWORD.decode() not in out


def test_dates_are_judged_now_unless_told_otherwise(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = key_on()
    start, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (2019, 2020))
    (folder / "old.pem").write_bytes(certificate_of(key, start=start, end=end))
    (folder / "old-key.pem").write_bytes(key_pem(key))
    words = "image.eif --key old-key.pem --certificate old.pem -o out.eif --json"
    status, out, _ = run(words, capsys)
    assert (status, json.loads(out)["error"]["code"]) == (1, "eif.certificate.expired")
    status, out, _ = run(f"{words} --at 2019-06-01T12:00:00+02:00", capsys)
    assert (status, json.loads(out)["at"]) == (0, "2019-06-01T10:00:00Z")


def test_the_issuer_cannot_move_the_cursor(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = key_on()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a\x1b[2J\u202eb")])
    (folder / "evil.pem").write_bytes(certificate_of(key, name=name))
    (folder / "evil-key.pem").write_bytes(key_pem(key))
    words = GOOD.replace("key.pem", "evil-key.pem").replace("cert.pem", "evil.pem")
    for options in ("", " --json"):
        status, out, err = run(words + options, capsys)
        assert status == 0
        assert not {"\x1b", "\u202e"} & set(out + err)


def test_the_key_is_shown_nowhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = (folder / "key.pem").read_text(encoding="ascii").splitlines()[1]
    for words in (GOOD, f"{GOOD} --json", GOOD.replace("cert.pem", "other.pem")):
        _, out, err = run(words, capsys)
        assert secret not in out + err
    assert secret.encode() not in (folder / "out.eif").read_bytes()


def test_the_signed_file_has_the_mode_of_any_new_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(GOOD, capsys)[0] == 0
    plain = folder / "plain"
    plain.touch()
    assert os.stat(folder / "out.eif").st_mode == plain.stat().st_mode
