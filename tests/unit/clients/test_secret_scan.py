"""The real detector finds what must not be kept; one that is not to be believed keeps everything back."""

from __future__ import annotations

import base64
import json
import secrets
import string
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glassclave.buildlog.record import Scan
from glassclave.clients.secret_scan import FoundSecret, SecretScanner
from glassclave.errors import UnavailableError

LETTERS = string.ascii_letters + string.digits
TIME = "2026-11-24T10:00:00.1234567Z "
Report = dict[str, Any]


def characters(number: int, alphabet: str = LETTERS) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(number))


def github_token() -> str:
    return f"ghp_{characters(36)}"


def web_token() -> str:
    parts = (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"1","iat":1516239022}', secrets.token_bytes(32))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def private_key() -> list[str]:
    body = base64.b64encode(secrets.token_bytes(1192)).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    kind = "RSA PRIVATE KEY"
    return [f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----"]


def scan(lines: list[str]) -> dict[int, str]:
    """Kinds by line, of lines as a runner writes them. Once for many, for it takes seconds to begin."""
    text = "".join(f"{TIME}{line}\n" for line in lines).encode()
    found = SecretScanner().scan(text)[1]
    return {one.line: one.kind for one in found}


def test_secrets_are_found_where_they_are() -> None:
    token = github_token()
    key = private_key()
    lines = [
        "nothing",
        token,
        "nothing",
        f"twice {token}",
        "x " * 100_000 + github_token() + " x" * 100_000,
        f"AWS_ACCESS_KEY_ID=AKIA{characters(16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567')}",
        f"AWS_SECRET_ACCESS_KEY={characters(40)}",
        f"Authorization: Bearer {web_token()}",
        # Comments for several detectors, that would silence them.
        f"{github_token()} # kingfisher:ignore",
        f"{github_token()} // gitleaks:allow trufflehog:ignore",
        "# kingfisher:ignore",
        github_token(),
        *key,
        "nothing",
    ]
    found = scan(lines)
    assert {line: kind for line, kind in found.items() if kind == "github-pat"} == dict.fromkeys(
        (2, 4, 5, 9, 10, 12), "github-pat"
    )
    assert "aws" in found[6]
    assert found[8] == "jwt"
    assert found[13] == "private-key"
    assert not {1, 3, 11, len(lines)} & set(found)


def test_what_a_build_prints_is_no_secret() -> None:
    lines: list[str] = []
    for number in range(50):
        lines += [
            f"PCR{number % 9}: {secrets.token_hex(48)}",
            f'"PCR0": "{secrets.token_hex(48)}",',
            f"registry.example/o/r@sha256:{secrets.token_hex(32)}",
            f"--hash=sha256:{secrets.token_hex(32)}",
            f"sha512-{base64.b64encode(secrets.token_bytes(64)).decode()}",
            f"commit {secrets.token_hex(20)}, job {uuid.uuid4()}, log index {secrets.randbelow(10**9)}",
            "GITHUB_TOKEN: ***",
            "AWS_SECRET_ACCESS_KEY=***",
            "AUTHORIZATION: basic ***",
            "password=*** token=***",
        ]
    assert scan(lines) == {}


def test_who_looked_is_said() -> None:
    scan, found = SecretScanner().scan(b"nothing\n")
    assert (scan.detector, found) == ("kingfisher", ())
    assert scan.version[0].isdecimal()
    assert scan.rules > 300


# From here on a small program stands in for it.


def report(size: int, **findings: int) -> Report:
    """Of a text of ``size`` bytes, with a kind in a line each."""
    return {
        "findings": [
            {"rule": {"name": kind}, "finding": {"line": line, "snippet": "hidden"}}
            for kind, line in findings.items()
        ],
        "metadata": {
            "kingfisher_version": "9.9.9",
            "summary": {"bytes_scanned": size, "rules_applied": 7},
        },
        "audit": {"summary": {"scan_succeeded": 1, "scan_partial": 0, "scan_failed": 0, "pending": 0}},
    }


Fake = Callable[[str], SecretScanner]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """A detector in PATH, in Python; the installed one is not there."""
    monkeypatch.setitem(sys.modules, "kingfisher", None)

    def write(program: str) -> SecretScanner:
        path = tmp_path / "kingfisher"
        path.write_text(f"#!{sys.executable}\nimport os, sys\n{program}\n", encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        return SecretScanner()

    return write


def printing(said: object, status: int = 0) -> str:
    text = said if isinstance(said, str) else json.dumps(said)
    return f"print({text!r}); sys.exit({status})"


TEXT = b"one\ntwo\n"


@pytest.mark.parametrize("status", [0, 200, 205])
def test_a_report_is_read(fake: Fake, status: int) -> None:
    said = report(len(TEXT), b=2, a=2, c=1)
    scan, found = fake(printing(said, status)).scan(TEXT)
    assert scan == Scan(detector="kingfisher", version="9.9.9", rules=7)
    assert found == (FoundSecret(1, "c"), FoundSecret(2, "a"), FoundSecret(2, "b"))


def refused(scanner: SecretScanner, text: bytes = TEXT) -> str:
    with pytest.raises(UnavailableError) as error:
        scanner.scan(text)
    assert error.value.code == "log.detector.failed"
    assert error.value.exit_status == 3
    return str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said["metadata"]["summary"].update(bytes_scanned=len(TEXT) - 1),
        lambda said: said["metadata"]["summary"].update(bytes_scanned=len(TEXT) + 1),
        lambda said: said["metadata"]["summary"].update(bytes_scanned=None),
        lambda said: said["metadata"]["summary"].update(rules_applied=0),
        lambda said: said["metadata"].update(kingfisher_version="x" * 65),
        lambda said: said["audit"]["summary"].update(scan_succeeded=0),
        lambda said: said["audit"]["summary"].update(scan_succeeded=2),
        lambda said: said["audit"]["summary"].update(scan_partial=1),
        lambda said: said["audit"]["summary"].update(scan_failed=1),
        lambda said: said["audit"]["summary"].update(pending=1),
        lambda said: said["findings"].append({"rule": {"name": "a"}}),
        lambda said: said["findings"].append({"rule": {"name": "a"}, "finding": {"line": "1"}}),
        lambda said: said["findings"].append({"rule": {"name": "x" * 201}, "finding": {"line": 1}}),
        lambda said: said.pop("findings"),
        lambda said: said.pop("audit"),
        lambda said: said.pop("metadata"),
    ],
)
def test_a_report_that_does_not_say_all_of_it_is_none(fake: Fake, change: Callable[[Report], object]) -> None:
    said = report(len(TEXT))
    assert fake(printing(said)).scan(TEXT)[1] == ()
    change(said)
    refused(fake(printing(said)))


@pytest.mark.parametrize("said", ["", "no JSON", "[]", "null", "\n{}", "{" * 1000, '{"findings": NaN}'])
def test_garbage_is_no_report(fake: Fake, said: str) -> None:
    refused(fake(printing(said)))


@pytest.mark.parametrize("status", [1, 2, 3, 101, 137, 199, 201, 255])
def test_another_exit_status_is_a_failure(fake: Fake, status: int) -> None:
    assert f"status {status}" in refused(fake(printing(report(len(TEXT)), status)))


def test_a_detector_that_dies_is_a_failure(fake: Fake) -> None:
    program = f"print({json.dumps(report(len(TEXT)))!r}, flush=True); os.kill(os.getpid(), 9)"
    assert "status -9" in refused(fake(program))


def test_a_detector_that_never_stops_printing_is_stopped(fake: Fake) -> None:
    refused(fake("while True: sys.stdout.write('x' * 65536)"))


def test_a_program_that_cannot_be_run_is_a_failure(fake: Fake, tmp_path: Path) -> None:
    scanner = fake("")
    (tmp_path / "kingfisher").write_bytes(b"\x7fELF")
    refused(scanner)


def test_without_a_detector_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "kingfisher", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError) as error:
        SecretScanner()
    assert error.value.code == "log.detector.missing"
    assert "glassclave[log]" in (error.value.hint or "")


def test_it_gets_the_text_alone_and_nothing_of_this_machine(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    seen = tmp_path / "seen"
    program = (
        "import json\npath = sys.argv[-1]\n"
        "seen = [sys.argv, sorted(os.environ), os.stat(path).st_mode & 0o777, os.listdir()]\n"
        f"open({str(seen)!r}, 'w').write(json.dumps(seen))\n" + printing(report(len(TEXT)))
    )
    fake(program).scan(TEXT)
    words, environment, mode, beside = json.loads(seen.read_text(encoding="utf-8"))
    assert set(environment) - {"LC_CTYPE"} == {"HOME", "LANG", "PATH", "TMPDIR"}
    assert (mode, beside) == (0o600, ["log.txt"])
    assert {"--no-validate", "--no-update-check", "--no-ignore", "--redact"} <= set(words)
    assert not Path(words[-1]).exists()


def test_the_installed_program_may_be_run() -> None:
    """Wheels leave the bit of execution to whoever installs them."""
    scanner = SecretScanner()
    said = subprocess.run([scanner._program, "--version"], capture_output=True, text=True, check=True)
    assert "kingfisher" in said.stdout.lower()
