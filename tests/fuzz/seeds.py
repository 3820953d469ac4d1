"""Good inputs to begin with, one folder a target: ``python -m tests.fuzz.seeds FOLDER``."""

from __future__ import annotations

import gzip
import json
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import zstandard

from glassclave.oci.manifest import Descriptor, build_index, build_manifest
from glassclave.oci.referrers import merge_fallback_index
from glassclave.provenance.predicate import predicate_json
from glassclave.provenance.statement import build_statement
from tests.fuzz.containers import BETWEEN
from tests.unit.attestation.forge import Forge as DocumentForge
from tests.unit.attestation.forge import chain
from tests.unit.clients.sigstore_forge import Forge as SigstoreForge
from tests.unit.eif.images import METADATA_TEXT, by_hand
from tests.unit.eif.signed_images import SIGNED as SIGNED_IMAGES
from tests.unit.image.archives import member, tar
from tests.unit.image.layouts import Layout, config_document, docker_tar, folder_tar
from tests.unit.provenance.predicates import SIGNED
from tests.unit.provenance.test_claims import GOOD, certificate

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
LOWER = tar(
    member("d", "d", mode=0o1777),
    member("d/f", "f", b"x", uid=1000),
    member("s", "l", "d/../d"),
    member("h", "h", "d/f"),
    form=tarfile.GNU_FORMAT,
)
UPPER = tar(member("d/.wh.f"), member("s/new", "f", b"y", pax={"SCHILY.xattr.user.a": "1"}), member("p", "p"))
SHORT = [tar(member("a", "f", b"1"), form=tarfile.USTAR_FORMAT)]
DOCKERFILE = (
    b"# escape=\\\nARG V=12\nFROM debian:${V:-11} AS a\nENV A=$V B='x y'\nADD https://e/x /\n"
    b'RUN <<E\nx\nE\nFROM scratch\nCOPY --from=a ["a", "/b"]\n'
)
POLICY = b'repository = "a/b"\nsource-refs = ["refs/tags/*"]\ntriggers = ["push"]\nvisibility = "any"\n'
ANSWER = (
    b"401\nContent-Type: application/json\nContent-Length: 35\nRetry-After: 3\nLocation: /v2/x?a=b\n"
    b'Link: </v2/o/r/referrers/x?n=1>; rel="next"\n'
    b'WWW-Authenticate: Bearer realm="https://e/token",service="s"\n\n'
    b'{"errors":[{"code":"DENIED_BY_IT"}]}'
)


def seeds() -> Iterator[tuple[str, str, bytes]]:
    """Target, name and bytes of every seed."""
    yield from (("eif", "unsigned", by_hand()), ("eif", "signed", SIGNED_IMAGES["P-256"]))
    yield "eif", "metadata", METADATA_TEXT
    yield "document", "forged", DocumentForge().document()
    genuine = sorted((VECTORS / "attestation").glob("*.bin"))
    yield from (("document", f"genuine-{n}", genuine[n].read_bytes()) for n in (0, 20, 40))
    yield "claims", "fulcio", certificate(GOOD)
    yield from (("claims", f"chain-{n}", der) for n, der in enumerate(chain()))
    yield "layers", "two", LOWER + BETWEEN + UPPER
    yield "layers", "one", SHORT[0]
    yield from (
        ("codecs", "gzip", gzip.compress(LOWER, mtime=0)),
        ("codecs", "zstd", zstandard.compress(LOWER)),
    )
    yield "codecs", "two-members", gzip.compress(b"a", mtime=0) + gzip.compress(b"b", mtime=0) + bytes(600)
    yield "codecs", "skippable", b"\x50\x2a\x4d\x18\x01\0\0\0x" + zstandard.compress(b"a" * 70000)
    yield "archives", "docker", docker_tar(SHORT)
    yield "archives", "layout", _layout()
    yield from _bundles()
    yield from _documents()
    yield from (("texts", "dockerfile", DOCKERFILE), ("texts", "policy", POLICY))
    yield "texts", "reference", b"ghcr.io:443/owner/na-me:tag@sha256:" + b"5a" * 32
    yield "texts", "json", b'{"a": [1, -2.5e3, "\\u00e9\\n", true, null], "b": {"c": {}}}'
    yield "answers", "challenge", ANSWER
    yield "answers", "redirect", b"307\nLocation: https://[::1]:8/x\nContent-Type: text/html\n\n<html>"


def _layout() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder) / "layout")
        layout.index(layout.image(SHORT))
        return folder_tar(layout.folder)


def _bundles() -> Iterator[tuple[str, str, bytes]]:
    folder = VECTORS / "sigstore"
    for name in ("real.bundle.json", "real2.bundle.json", "real2_trusted_root.json"):
        yield "bundle", name.partition(".")[0], (folder / name).read_bytes()
    signature = SigstoreForge().sign()
    layer = {
        "payload": signature.payload.decode(),
        "dev.cosignproject.cosign/signature": signature.signature,
        "dev.sigstore.cosign/certificate": signature.certificate,
        "dev.sigstore.cosign/bundle": signature.bundle,
    }
    yield "bundle", "legacy", json.dumps(layer).encode()


def _documents() -> Iterator[tuple[str, str, bytes]]:
    digest = "sha256:" + "11" * 32
    entry = Descriptor("application/vnd.oci.image.manifest.v1+json", digest, 3, {"a": "b"}, "x/y")
    eif = Descriptor("application/vnd.glassclave.nitro.eif.layer.v1", digest, 9)
    kind = "application/vnd.glassclave.nitro.eif.v1"
    yield (
        "manifest",
        "artifact",
        build_manifest(
            config=entry, layers=[eif], artifact_type=kind, subject=entry, annotations={"PCR0": "00" * 48}
        ),
    )
    yield "manifest", "index", merge_fallback_index(build_index([entry]), eif)
    yield "manifest", "config", json.dumps(config_document(SHORT)).encode()
    yield "manifest", "measurements", predicate_json(SIGNED)
    yield "manifest", "statement", build_statement("n", "11" * 32, SIGNED)


def main(folder: Path) -> None:
    """Write them all."""
    for target, name, data in seeds():
        (folder / target).mkdir(parents=True, exist_ok=True)
        (folder / target / f"seed-{name}").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
