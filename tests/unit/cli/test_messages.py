"""Mistakes that people make: each message says what is wrong and ends in what to do."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from glassclave.cli import main
from tests.images.layout import Entry, write_layout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image in several damaged forms, and files that are none."""
    write_layout(tmp_path / "good", [{"app": Entry(b"app")}], {"Cmd": ["/app"]})
    layout = write_layout(tmp_path / "short", [{"app": Entry(b"app" * 1000)}], {"Cmd": ["/app"]})
    for blob in (layout / "blobs" / "sha256").iterdir():
        if blob.read_bytes()[:2] == b"\x1f\x8b":
            blob.write_bytes(blob.read_bytes()[:-9])
    (tmp_path / "zip").write_bytes(b"PK\x03\x04" + bytes(range(256)) * 4)
    (tmp_path / "zip.gz").write_bytes(gzip.compress(b"PK\x03\x04" + bytes(range(256)) * 4))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_bytes(b"hello, world")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "status", "code", "hint"),
    [
        ("build oci:zip -o a.eif", 3, "image.layout.missing", "oci-archive:FILE"),
        ("build oci:nothing -o a.eif", 3, "image.layout.missing", None),
        ("build oci-archive:zip -o a.eif", 3, "image.tar.form", None),
        ("build docker-archive:zip.gz -o a.eif", 3, "image.tar.form", None),
        ("build oci:short -o a.eif", 3, "image.layer.size", None),
        ("build oci:good -o nowhere/a.eif", 3, "file.unwritable", "make its folder first: nowhere"),
        ("build oci:good -o a.eif --bootstrap nowhere", 3, "bootstrap.directory.missing", None),
        ("attestation describe empty", 3, "attestation.armor", "gave no document"),
        ("attestation describe zip", 3, "cbor", "the document of a Nitro enclave is wanted"),
        ("attestation verify zip --pcr 0=zz --historical", 2, "hex.syntax", None),
        ("attestation verify zip --nonce 00 --at 2026-01-01", 2, "attestation.time.naive", "01T00:00:00Z"),
        ("verify 127.0.0.1:9/o/r:t --repo o/r --trust-config text", 3, "json.syntax", "trusted_root.json"),
        ("publish nothing 127.0.0.1:9/o/r:t", 3, "file.unreadable", None),
        ("publish text 127.0.0.1:9/o/r", 2, "publish.tag", None),
    ],
)  # fmt: skip
def test_a_mistake(
    folder: Path, capsys: pytest.CaptureFixture[str], words: str, status: int, code: str, hint: str | None
) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(SystemExit) as stopped:
        main([*words.split(), "--json"])
    said = json.loads(capsys.readouterr().out)["error"]
    assert (stopped.value.code, said["code"].startswith(code)) == (status, True), said
    if hint is not None:
        assert hint in said["hint"]
    assert sorted(folder.iterdir()) == before
