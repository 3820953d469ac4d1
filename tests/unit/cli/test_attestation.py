"""The command as people call it: lines, JSON and exit statuses."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from glassclave.cli import main
from tests.unit.attestation.forge import NONCE, PCRS, ROOT, Forge
from tests.unit.attestation.vectors import DEBUG, HOSTILE, NITROTPM, PRODUCTION, Genuine, Hostile
from tests.unit.eif.images import write

SIGNED = next(one for one in PRODUCTION if one.path.name.startswith("evervault_attestation"))
AT = ("--at", "2026-11-23T12:00:03Z")


class Run:
    """One call of the command line."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *words: str) -> int:
        with pytest.raises(SystemExit) as caught:
            main(["attestation", *words])
        self.out, self.err = self._capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "100")
    return Run(capsys)


@pytest.fixture
def forged(tmp_path: Path) -> list[str]:
    """A good document of our own authority, with the words that make it pass live."""
    (tmp_path / "document.bin").write_bytes(Forge().document())
    (tmp_path / "root.der").write_bytes(ROOT.der)
    return [str(tmp_path / "document.bin"), *words(PCRS), "--attestation-root", str(tmp_path / "root.der")]


def words(pcrs: dict[int, bytes]) -> list[str]:
    return [word for index, value in pcrs.items() for word in ("--pcr", f"{index}={value.hex()}")]


@pytest.mark.parametrize("one", PRODUCTION, ids=lambda one: one.path.stem)
def test_every_genuine_document_is_accepted_historically(one: Genuine, run: Run) -> None:
    assert run("verify", str(one.path), *words(one.pcrs), "--historical") == 0
    assert run.out.splitlines()[-1].startswith("ATTESTED AT 20")
    assert "verified" not in run.out.lower()
    assert "CUSTOM TRUST" not in run.out
    assert run("describe", str(one.path)) == 0
    assert run.out.startswith("claims of the document, nothing verified\n")


@pytest.mark.parametrize(
    "one", [one for one in HOSTILE if one.expect == "reject"], ids=lambda one: one.path.stem
)
def test_every_reject_vector_is_rejected(one: Hostile, run: Run) -> None:
    at = one.at.isoformat()
    assert run("verify", str(one.path), *words(SIGNED.pcrs), "--historical", "--at", at) in (1, 3)
    assert run("verify", str(one.path), *words(SIGNED.pcrs), "--historical", "--at", at, "--json") in (1, 3)
    answer = json.loads(run.out)
    assert "error" in answer or answer["passed"] is False


def test_debug_and_nitrotpm_are_refused_by_name(run: Run) -> None:
    for one in DEBUG:
        assert run("verify", str(one.path), *words(SIGNED.pcrs), "--historical") == 1
        assert "attestation.debug-mode" in run.out
        assert run.out.splitlines()[-1].startswith("REFUSED: the enclave runs in debug mode")
    for one in NITROTPM:
        assert run("verify", str(one.path), *words(SIGNED.pcrs), "--historical") == 1
        assert "NitroTPM" in run.out
        assert run("describe", str(one.path)) == 1
        assert "attestation.nitrotpm" in run.err


def test_what_a_person_sees(run: Run) -> None:
    run("verify", str(SIGNED.path), *words(SIGNED.pcrs), "--historical")
    assert run.out.splitlines() == [
        "✓ root        AWS Nitro Enclaves Root-G1, sha256 641a0321a3e2",
        "✓ chain       5 certificates, each issued by the one before",
        "✓ validity    all valid at 2023-01-18 13:07:19Z, until 2023-01-18 16:07:16Z",
        "✓ signature   ES384 by i-0ec0e572c8263d8ff-enc0185c4fd382eeb25.us-east-1.aws",
        "✓ mode        not debug",
        "✓ PCR0        image: d265a83faa7b, as expected",
        "✓ PCR1        kernel or init: bcdf05fefcca, as expected",
        "✓ PCR2        application: e4f634d24ad8, as expected",
        "– PCR3        not compared, nothing was expected (role of the parent instance: ae9d5fad927d)",
        "– PCR4        not compared, nothing was expected (parent instance: bb2238278449)",
        "– PCR8        not compared, nothing was expected (signing certificate of the image: 97c5395a83c0)",
        "– nonce       not compared: judged at the document's own time, which proves nothing about now",
        "– age         not judged: made at 2023-01-18 13:07:19Z",
        "– connection  not checked: the document came from a file, anybody may have carried it",
        "",
        "ATTESTED AT 2023-01-18 13:07:19Z: an enclave with these measurements existed then."
        " Whether it runs now, and who built the image, was not checked.",
    ]


def test_live_with_our_nonce_under_a_custom_root_says_so_first_and_last(run: Run, forged: list[str]) -> None:
    assert run("verify", *forged, "--nonce", NONCE.hex(), *AT) == 0
    first, last = run.out.splitlines()[0], run.out.splitlines()[-1]
    assert first == f'UNDER CUSTOM TRUST "test.nitro-enclaves", sha256 {ROOT.sha256}'
    assert last.startswith("LIVE, UNBOUND: an enclave with these measurements answered our question")
    assert "3 s before 2026-11-23 12:00:03Z." in last
    assert f'UNDER CUSTOM TRUST "test.nitro-enclaves", sha256 {ROOT.sha256[:12]}.' in last
    assert run("verify", *forged, "--nonce", NONCE.hex(), *AT, "--json") == 0
    answer = json.loads(run.out)
    assert answer["trust"] == {"name": "test.nitro-enclaves", "sha256": ROOT.sha256, "custom": True}
    assert (answer["level"], answer["passed"], answer["required"]) == ("live-unbound", True, "live-unbound")
    assert answer["at"] == "2026-11-23T12:00:03Z"
    assert answer["checks"][-1]["code"] == "attestation.binding"
    assert answer["checks"][-1]["status"] == "not-checked"
    assert answer["subject"]["pcrs"]["0"] == PCRS[0].hex()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--nonce", NONCE[::-1].hex(), *AT], "attestation.nonce.mismatch"),
        (["--nonce", NONCE.hex(), "--at", "2026-11-23T12:06:00Z"], "attestation.age.too-old"),
        (
            ["--nonce", NONCE.hex(), "--at", "2026-11-23T12:06:00Z", "--max-age", "359"],
            "attestation.age.too-old",
        ),
        (["--nonce", NONCE.hex(), "--at", "2026-11-23T19:00:00Z"], "attestation.chain.expired"),
        (["--pcr", f"3={'33' * 48}", "--historical"], "attestation.pcr3.mismatch"),
    ],
)
def test_negative_judgements(more: list[str], code: str, run: Run, forged: list[str]) -> None:
    assert run("verify", *forged, *more) == 1
    assert code in run.out
    assert run.out.splitlines()[-1].startswith("REFUSED: ")
    assert run("verify", *forged, *more, "--json") == 1
    answer = json.loads(run.out)
    assert (answer["level"], answer["passed"]) == (None, False)
    assert [check["code"] for check in answer["checks"] if check["status"] == "fail"] == [code]


def test_a_greater_age_may_be_allowed(run: Run, forged: list[str]) -> None:
    late = ["--nonce", NONCE.hex(), "--at", "2026-11-23T12:06:00Z"]
    assert run("verify", *forged, *late, "--max-age", "360") == 0


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--historical"], "attestation.expected.incomplete"),
        (["--historical", "--pcr", f"0={'11' * 48}"], "attestation.expected.incomplete"),
        ([*words(PCRS)], "attestation.mode"),
        ([*words(PCRS), "--historical", "--nonce", "00" * 32], "attestation.mode"),
        ([*words(PCRS), "--historical", "--max-age", "3"], "attestation.mode"),
        ([*words(PCRS), "--nonce", "00" * 15], "attestation.nonce.size"),
        ([*words(PCRS), "--nonce", "xyz"], "hex.syntax"),
        ([*words(PCRS), "--historical", "--at", "yesterday"], "attestation.time.syntax"),
        ([*words(PCRS), "--historical", "--at", "2026-01-01T00:00:00"], "attestation.time.naive"),
        ([*words({**PCRS, 0: bytes(48)}), "--historical"], "attestation.expected.zero"),
        ([*words(PCRS), "--historical", "--pcr", f"0={'11' * 48}"], "attestation.expected.contradiction"),
        ([*words(PCRS), "--historical", "--pcr", "8=00"], "hex.size"),
        ([*words(PCRS), "--historical", "--pcr", "eight"], "attestation.expected.index"),
        (["--historical", "--eif", "a", "--measurements", "b"], "attestation.expected.contradiction"),
    ],
)
def test_an_incomplete_question_is_usage(more: list[str], code: str, run: Run) -> None:
    assert run("verify", str(SIGNED.path), *more) == 2
    assert run.out == ""
    assert code in run.err
    assert run("verify", str(SIGNED.path), *more, "--json") == 2
    assert json.loads(run.out)["error"]["code"] == code


def test_a_document_may_come_as_text_or_on_standard_input(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "document.b64"
    text.write_bytes(base64.encodebytes(SIGNED.data))
    assert run("verify", str(text), *words(SIGNED.pcrs), "--historical") == 0
    assert run.err == "note: the document was base64 text\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SIGNED.data.hex().encode())))
    assert run("describe", "-", "--json") == 0
    answer = json.loads(run.out)
    assert answer["verified"] is False
    assert answer["module_id"] == SIGNED.entry["module_id"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"A" * 1_000_000)))
    assert run("describe", "-") == 3


def test_measurements_of_a_build_may_be_expected(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "app.measurements.json"
    eight = str(SIGNED.entry["pcr8"])
    hexes = {f"PCR{index}": value.hex() for index, value in SIGNED.pcrs.items()}
    path.write_text(json.dumps({"Measurements": {**hexes, "PCR8": eight}}))
    assert run("verify", str(SIGNED.path), "--measurements", str(path), "--historical") == 0
    assert "✓ PCR8" in run.out
    path.write_text(json.dumps({"Measurements": hexes}))
    assert run("verify", str(SIGNED.path), "--measurements", str(path), "--historical") == 1
    assert "attestation.pcr8.mismatch" in run.out


def test_what_cannot_be_judged_is_status_3_and_names_the_file(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.bin"
    broken.write_bytes(SIGNED.data[:-1])
    for verb in (["describe"], ["verify", *words(SIGNED.pcrs), "--historical"]):
        assert run(verb[0], str(broken), *verb[1:]) == 3
        assert "broken.bin" in run.err
        assert "cbor.truncated" in run.err
    assert run("describe", str(tmp_path / "absent")) == 3
    assert (
        run(
            "verify", str(SIGNED.path), *words(SIGNED.pcrs), "--historical", "--attestation-root", str(broken)
        )
        == 3
    )


def test_the_govcloud_root_is_another_trust(run: Run) -> None:
    more = [*words(SIGNED.pcrs), "--historical", "--attestation-root", "aws-us-gov"]
    assert run("verify", str(SIGNED.path), *more) == 1
    assert run.out.startswith('UNDER CUSTOM TRUST "AWS us-gov root, fingerprint not confirmed"')
    assert "attestation.chain.root" in run.out


def test_an_image_file_may_be_expected(run: Run, forged: list[str], tmp_path: Path) -> None:
    data, written = write()
    eif = tmp_path / "app.eif"
    eif.write_bytes(data)
    pcrs = written.measurements.by_index()
    Path(forged[0]).write_bytes(Forge(fields={"pcrs": {**pcrs, 8: bytes(48)}}).document())
    question = [forged[0], *forged[-2:], "--historical"]
    assert run("verify", *question, "--eif", str(eif)) == 0
    assert "✓ PCR8        signing certificate of the image: zero, as an unsigned image has it" in run.out
    Path(forged[0]).write_bytes(Forge(fields={"pcrs": {**pcrs, 8: b"8" * 48}}).document())
    assert run("verify", *question, "--eif", str(eif)) == 1
    assert "attestation.pcr8.mismatch" in run.out
    eif.write_bytes(data[:-1] + b"?")
    assert run("verify", *question, "--eif", str(eif)) == 1
    assert run.out == ""
    assert "eif.crc" in run.err
    eif.write_bytes(b"not an image")
    assert run("verify", *question, "--eif", str(eif)) == 3
    assert "eif." in run.err


SPEC = Path(__file__).resolve().parents[3] / "docs" / "spec"


def schema(name: str) -> Draft202012Validator:
    text = (SPEC / f"attestation-{name}.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


@pytest.mark.parametrize("one", [PRODUCTION[0], DEBUG[0], NITROTPM[0]], ids=lambda one: one.path.stem)
def test_json_is_what_the_published_schemas_say(one: Genuine, run: Run) -> None:
    run("verify", str(one.path), *words(SIGNED.pcrs), "--historical", "--json")
    schema("verdict").validate(json.loads(run.out))
    if run("describe", str(one.path), "--json") == 0:
        schema("document").validate(json.loads(run.out))


def test_every_code_in_the_source_is_in_the_published_list() -> None:
    sources = SPEC.parents[1] / "src" / "glassclave"
    files = [*(sources / "attestation").rglob("*.py"), sources / "cli" / "attestation.py"]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    codes = set(re.findall(r'"(attestation\.[a-z0-9.-]+)"', text))
    published = (SPEC / "attestation.md").read_text(encoding="utf-8")
    assert len(codes) > 30
    assert {code for code in codes if f"`{code}`" not in published} == set()


def test_output_is_ascii_where_the_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    with pytest.raises(SystemExit) as caught:
        main(["attestation", "verify", str(SIGNED.path), *words(SIGNED.pcrs), "--historical"])
    assert caught.value.code == 0
    out.seek(0)
    assert out.read().startswith("ok   root        AWS Nitro Enclaves Root-G1")


def test_colour_is_a_choice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    question = ["verify", str(SIGNED.path), *words(SIGNED.pcrs), "--historical"]
    assert run(*question, "--color", "always") == 0
    assert "\x1b[32m✓\x1b[0m root" in run.out
    for extra in ([], ["--color", "never"]):
        assert run(*question, *extra) == 0
        assert "\x1b" not in run.out


@pytest.mark.parametrize("seconds", ["-5", "0", "-99999999999999999999"])
def test_a_greatest_age_of_nothing_is_a_usage_error(seconds: str, forged: list[str], run: Run) -> None:
    assert run("verify", *forged, "--nonce", NONCE.hex(), f"--max-age={seconds}") == 2
    assert "attestation.max-age" in run.err
