"""Hostile enclave images, documents, policies, roots of trust, through the command line."""

from __future__ import annotations

import base64
import json
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from glassclave.cbor import encode
from glassclave.cose import sign_sign1
from tests.fuzz.command_line import Case, check
from tests.unit.attestation.forge import PCRS, Forge, key
from tests.unit.eif.images import by_hand, with_crc
from tests.unit.eif.signed_images import SIGNED
from tests.unit.eif.signing import AT, certificate_of, key_on, key_pem

GOOD = by_hand()
KEY, CERTIFICATE, SIGNED_AT = key_pem(key_on()), certificate_of(key_on()), f"{AT:%Y-%m-%dT%H:%M:%SZ}"
DEEP = b"[" * 100_000
WIDE = b"[" + b"0," * 1_900_000 + b"0]"
TWICE = b'{"a": 1, "a": 2}'
PCR_WORDS = [f"--pcr={index}={value.hex()}" for index, value in PCRS.items()]


def given(data: bytes, *words: str) -> Callable[[Path], Sequence[str | Path]]:
    """A file ``it``, and the words with ``@`` for its path."""

    def make(folder: Path) -> Sequence[str | Path]:
        (folder / "it").write_bytes(data)
        return [word.replace("@", str(folder / "it")) for word in words]

    return make


def image(name: str, data: bytes, code: str, place: str = "offset", status: int = 3) -> Case:
    return Case(f"eif, {name}", given(data, "describe", "@"), code, place, status)


def cell(data: bytes, offset: int, value: int) -> bytes:
    """An image with one number of its table replaced, and its checksum right."""
    return with_crc(data[:offset] + struct.pack(">Q", value) + data[offset + 8 :])


def document(name: str, data: bytes, code: str, place: str = "source", status: int = 3) -> Case:
    words = ["attestation", "verify", "@", "--historical", *PCR_WORDS]
    return Case(f"document, {name}", given(data, *words), code, place, status)


def signed(payload: bytes) -> bytes:
    return sign_sign1(payload, key(4))


def policy(name: str, data: bytes, code: str, place: str = "source", status: int = 3) -> Case:
    words = ["verify", "127.0.0.1:1/o/r:1", "--policy", "@"]
    return Case(f"policy, {name}", given(data, *words), code, place, status)


def trust(name: str, data: bytes, code: str) -> Case:
    words = ["verify", "127.0.0.1:1/o/r:1", "--repo", "a/b", "--trust-config", "@"]
    return Case(f"trust, {name}", given(data, *words), code)


def root(name: str, data: bytes, code: str, place: str = "source") -> Case:
    words = ["attestation", "verify", os.devnull, "--historical", *PCR_WORDS, "--attestation-root", "@"]
    return Case(f"root, {name}", given(data, *words), code, place)


def publish(name: str, eif: bytes, measurements: bytes, code: str, place: str = "source") -> Case:
    """Nothing listens at that address: it ends before anything is sent."""

    def make(folder: Path) -> Sequence[str | Path]:
        (folder / "app.eif").write_bytes(eif)
        (folder / "app.measurements.json").write_bytes(measurements)
        return ["publish", folder / "app.eif", "127.0.0.1:1/o/r:1", "--unsigned"]

    return Case(f"publish, {name}", make, code, place)


def measurements(name: str, data: bytes, code: str, place: str = "source") -> Case:
    words = ["attestation", "verify", os.devnull, "--historical", "--measurements", "@"]
    return Case(f"measurements, {name}", given(data, *words), code, place)


def sign(
    name: str, code: str, *, key: bytes = KEY, certificate: bytes = CERTIFICATE, status: int = 3
) -> Case:
    def make(folder: Path) -> Sequence[str | Path]:
        for file, data in (("app.eif", GOOD), ("key.pem", key), ("certificate.pem", certificate)):
            (folder / file).write_bytes(data)
        words: list[str | Path] = [
            "--key",
            folder / "key.pem",
            "--certificate",
            folder / "certificate.pem",
            "--at",
            SIGNED_AT,
        ]
        return ["sign-eif", folder / "app.eif", *words, "-o", folder.parent / "out" / "app.eif"]

    return Case(f"sign-eif, {name}", make, code, status=status)


def pem(label: str, der: bytes) -> bytes:
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (
        label.encode(),
        base64.b64encode(der),
        label.encode(),
    )


def fifo(folder: Path) -> Sequence[str | Path]:
    os.mkfifo(folder / "it")
    return ["describe", folder / "it"]


def sparse(folder: Path) -> Sequence[str | Path]:
    with (folder / "it").open("wb") as file:
        file.truncate(64 << 30)
    return ["attestation", "describe", folder / "it"]


PEM = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
HUGE = (1 << 64) - 1
METADATA_DEEP = by_hand([(1, b"K"), (2, b"c"), (5, DEEP), (3, b"r")])
SIGNATURE_WIDE = by_hand([(1, b"K"), (2, b"c"), (5, b"null"), (3, b"r"), (4, b"\x9b" + b"\xff" * 8)])
SIGNATURE_MANY = by_hand(
    [(1, b"K"), (2, b"c"), (5, b"null"), (3, b"r"), (4, b"\x99\x75\x30" + b"\x80" * 30000)]
)
CASES = (
    image("nothing", b"", "eif.truncated"),
    image("half a header", GOOD[:547], "eif.truncated"),
    image("another file", b"\x7fELF" + GOOD[4:], "eif.magic"),
    image("65,535 sections", GOOD[:0x1A] + b"\xff\xff" + GOOD[0x1C:], "eif.section-count"),
    image("cut short", GOOD[:-1], "eif.section.truncated", status=1),
    image("more behind", with_crc(GOOD + b"\0"), "eif.trailing", status=1),
    image("a section of 2^64-1 bytes", cell(GOOD, 0x11C, HUGE), "eif.section.size-mismatch", status=1),
    image("an offset of 2^64-1", cell(GOOD, 0x1C, HUGE), "eif.section.offset", status=1),
    image("two entries, one section", cell(GOOD, 0x24, 548), "eif.walks-disagree", status=1),
    image("metadata nested 100,000 deep", METADATA_DEEP, "json.depth", status=0),
    image("a signature of 2^64-1 items", SIGNATURE_WIDE, "cbor.truncated", status=1),
    image("a signature of 30,000 arrays", SIGNATURE_MANY, "eif.signature.shape", status=1),
    image("a signature of another image", with_crc(SIGNED["P-256"].replace(b"KERNEL", b"KERNEM")),
          "eif.signature.payload", status=1),
    Case("eif, a pipe that nobody writes to", fifo, "file.kind"),
    Case("eif, a device without end", lambda _: ["describe", "/dev/zero"], "file.kind"),
    document("nothing", b"", "attestation.armor"),
    document("text without end", b"A" * (1 << 20), "file.size"),
    document("66 KB of it", b"\x81" * 66_000, "attestation.document.size"),
    document("arrays nested 1,000 deep", b"\x81" * 1000, "cbor.depth", "offset"),
    document("an array of 2^63 items", b"\x9b\x7f" + b"\xff" * 7, "cbor.truncated", "offset"),
    document("a text of 2^63 bytes", b"\x84\x5b\x7f" + b"\xff" * 7, "cbor.truncated", "offset"),
    document("60,000 items", b"\x99\xea\x60" + b"\xf6" * 60_000, "cbor.items", "offset"),
    document("more behind", Forge().document() + b"\0", "cbor.trailing", "offset"),
    document("open lengths", b"\x9f" + Forge().document()[1:] + b"\xff", "cbor.indefinite", "offset"),
    document("a payload with a key twice", signed(b"\xa2\x61a\x01\x61a\x02"), "cbor.duplicate-key", "offset"),
    document("a payload without fields", signed(b"\xa0"), "attestation.document.missing", "field"),
    document("60 KB of payload", signed(encode({"x" * 60_000: 1})), "attestation.document.payload", "field"),
    document("9 certificates", Forge(bend_bundle=lambda bundle: bundle * 3).document(),
             "attestation.document.cabundle", "field"),
    document("DER that is none", Forge(fields={"certificate": b"\x30\x84\xff\xff\xff\xff"}).document(),
             "attestation.chain.certificate", "field"),
    document("DER nested 500 deep", Forge(fields={"certificate": b"\x30\x80" * 500}).document(),
             "attestation.chain.certificate", "field"),
    document("whole, of a root nobody knows", Forge().document(), "attestation.chain.root", status=1),
    Case("document, 64 GiB of zeros", sparse, "file.size"),
    Case("document, standard input without end", lambda _: ["attestation", "describe", "-"],
         "attestation.document.size", stdin="/dev/zero"),
    policy("nested deep", b"a = " + b"[" * 30_000, "policy.toml"),
    policy("a dotted key of 30,000 parts", b"a." * 30_000 + b"a = 1", "policy.toml"),
    policy("a key twice", b'repository = "a/b"\nrepository = "a/c"', "policy.toml"),
    policy("a number of 9,000 digits", b"a = " + b"9" * 9000, "policy.toml"),
    policy("bytes that are no text", b"\xff\xfe", "policy.toml", "offset"),
    policy("70 KB", b"#" * 70_000, "file.size"),
    policy("a demand misspelt", b'repository = "a/b"\nsource_refs = []', "field.unknown", "field"),
    trust("nested deep", DEEP, "trust.form"),
    trust("1,900,000 values", WIDE, "trust.form"),
    trust("a key twice", TWICE, "json.duplicate-key"),
    trust("a number of 9,000 digits", b'{"a": ' + b"9" * 9000 + b"}", "json.number"),
    trust("half a character", b'{"mediaType": "\\ud800"}', "json.encoding"),
    trust("something else", b'{"mediaType": 7}', "field.type"),
    trust("10 MiB", b" " * (10 << 20), "file.size"),
    publish("half an image", GOOD[:600], b"{}", "eif.section.offset", "offset"),
    publish("measurements nested deep", GOOD, DEEP, "json.depth"),
    publish("measurements of 2 MiB", GOOD, b" " * (2 << 20), "file.size"),
    measurements("nested deep", DEEP, "json.depth"),
    measurements("a register of 1 MB", json.dumps({"PCR0": "0" * 1_000_000}).encode(), "field.size", "field"),
    measurements("1 MiB and one byte", bytes((1 << 20) + 1), "file.size"),
    sign("a key that is none", "eif.sign.key.form", key=b"\0" * 1000),
    sign("a key of 3 MB", "file.size", key=b"A" * 3_000_000),
    sign("a key of 500 sequences", "eif.sign.key.form", key=pem("PRIVATE KEY", b"\x30\x80" * 500)),
    sign("no certificate", "eif.certificate.pem", certificate=b""),
    sign("a certificate of 3 MB", "file.size", certificate=b"A" * 3_000_000),
    sign("two certificates", "eif.certificate.count", certificate=CERTIFICATE * 2, status=2),
    sign("DER that is none", "eif.certificate.der", certificate=pem("CERTIFICATE", b"\x30\x84\xff\xff")),
    sign("DER nested 500 deep", "eif.certificate.der", certificate=pem("CERTIFICATE", b"\x30\x80" * 500)),
    root("no certificate", b"\x30\x82\xff\xff", "attestation.root.syntax"),
    root("two", PEM * 2, "attestation.root.count"),
    root("70 KB", bytes(70_000), "file.size"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.timeout(90)
def test_hostile_files_end_in_words(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_json_that_is_cut_anywhere_ends_in_words(tmp_path: Path) -> None:
    whole = json.dumps({"mediaType": "x", "a": [1.5, {"é": None}]}, ensure_ascii=False).encode()
    for end in (1, 13, len(whole) - 9, len(whole) - 1):
        (tmp_path / str(end)).mkdir()
        check(trust("cut", whole[:end], "json.encoding" if whole[end - 1] > 0x7F else "json.syntax"),
              tmp_path / str(end))  # fmt: skip
