"""Questions that `verify` does not take: they are refused before anything is asked of anybody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glassclave.cli import main
from tests.unit.attestation.forge import NONCE, Forge

# Nobody listens there: any attempt to fetch would be status 3.
REFERENCE = "127.0.0.1:1/o/r:1.0"
ASKED = (REFERENCE, "--repo", "acme/hello")
NONCE_WORDS = ("--nonce", NONCE.hex())


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["verify", *words])
    out, err = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, out, err


@pytest.fixture
def document(tmp_path: Path) -> str:
    path = tmp_path / "document.bin"
    path.write_bytes(Forge().document())
    return str(path)


def test_without_a_policy_nothing_is_judged_and_both_ways_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, out, err = ask(capsys, REFERENCE)
    assert (status, out) == (2, "")
    assert "--repo" in err
    assert "--policy" in err
    assert "verify.policy.missing" in err
    status, out, err = ask(capsys, REFERENCE, "--json")
    assert status == 2
    assert json.loads(out)["error"]["code"] == "verify.policy.missing"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--nonce", "00" * 32), "verify.document.missing"),
        (("--historical",), "verify.document.missing"),
        (("--at", "2026-11-23T12:00:00Z"), "verify.document.missing"),
        (("--attestation-root", "root.pem"), "verify.document.missing"),
        (("--repo", "hello"), "policy.repository"),
        (("--signer-workflow", "build.yml"), "policy.signer-workflow"),
        (("--signer-workflow", "acme/hello"), "policy.signer-workflow"),
        (("--source-ref", ""), "policy.empty"),
        (("--source-digest", "0123456"), "policy.source-digest"),
        (("--require", "verified"), "usage"),
    ],
)
def test_incomplete_and_contradictory_questions_are_usage_errors(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: str
) -> None:
    status, out, _ = ask(capsys, *ASKED, *words, "--json")
    assert (status, json.loads(out)["error"]["code"]) == (2, code)


def test_a_policy_file_stands_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('repository = "acme/hello"\n', encoding="ascii")
    status, out, _ = ask(capsys, *ASKED, "--policy", str(path), "--json")
    assert (status, json.loads(out)["error"]["code"]) == (2, "verify.policy.twice")
    status, out, _ = ask(capsys, REFERENCE, "--policy", str(path), "--accept-unstated", "--json")
    assert (status, json.loads(out)["error"]["code"]) == (2, "verify.policy.twice")
    path.write_text('repositroy = "acme/hello"\n', encoding="ascii")
    status, out, _ = ask(capsys, REFERENCE, "--policy", str(path), "--json")
    error = json.loads(out)["error"]
    assert (status, error["code"], error["source"]) == (3, "field.unknown", str(path))


@pytest.mark.parametrize("words", [(), ("--historical", *NONCE_WORDS)])
def test_a_document_is_judged_for_now_or_for_its_own_time(
    capsys: pytest.CaptureFixture[str], document: str, words: tuple[str, ...]
) -> None:
    status, out, _ = ask(capsys, *ASKED, "--document", document, *words, "--json")
    assert (status, json.loads(out)["error"]["code"]) == (2, "attestation.mode")


def test_a_short_nonce_proves_nothing(capsys: pytest.CaptureFixture[str], document: str) -> None:
    status, out, _ = ask(capsys, *ASKED, "--document", document, "--nonce", "00" * 15, "--json")
    assert (status, json.loads(out)["error"]["code"]) == (2, "attestation.nonce.size")


def test_bytes_that_are_no_document_end_the_question_at_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "document.bin"
    path.write_bytes(Forge().document()[:-1])
    status, out, _ = ask(capsys, *ASKED, "--document", str(path), *NONCE_WORDS, "--json")
    error = json.loads(out)["error"]
    assert (status, error["source"]) == (3, str(path))
    assert error["code"].startswith(("cbor.", "cose.", "attestation."))


@pytest.mark.parametrize("reference", ["hello", "acme/hello:1.0", "127.0.0.1:1/o/r@sha256:00", "ghcr.io/O/r"])
def test_references_name_a_registry(capsys: pytest.CaptureFixture[str], reference: str) -> None:
    status, out, _ = ask(capsys, reference, "--repo", "acme/hello", "--json")
    assert status == 2
    assert json.loads(out)["error"]["code"].startswith("reference.")


def test_a_trust_configuration_that_is_none_is_no_verdict(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "trust.json"
    path.write_text("{}", encoding="ascii")
    status, out, _ = ask(capsys, *ASKED, "--trust-config", str(path), "--json")
    assert status == 3
    assert json.loads(out)["error"]["source"] == str(path)
