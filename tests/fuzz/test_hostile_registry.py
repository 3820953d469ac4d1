"""A registry that lies, through `glassclave verify`: manifests, lists, signatures, statements, answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from glassclave.oci.artifact import BlobInfo, plan_artifact
from glassclave.oci.manifest import INDEX_MEDIA_TYPE, MANIFEST_MEDIA_TYPE
from glassclave.provenance.bundle import MEDIA_TYPE as BUNDLE
from tests.fuzz.command_line import PEAK_BYTES, run
from tests.registry_server import Answer, RegistryServer, Request, digest_of, serving
from tests.unit.clients.sigstore_forge import Forge
from tests.unit.eif.images import write

ROOT = Path(__file__).resolve().parents[1] / "vectors" / "sigstore" / "real2_trusted_root.json"
IMAGE, _ = write()
DIGEST = "sha256:" + "5a" * 32
ENTRY = {"mediaType": MANIFEST_MEDIA_TYPE, "digest": DIGEST, "size": 7}
BOTH = {"schemaVersion": 2, "manifests": [], "layers": []}
ELSEWHERE = '<https://evil.example/>; rel="next"'
DEEP = b"[" * 100_000
Prepare = Callable[[RegistryServer], None]


@dataclass(frozen=True)
class Row:
    """What the registry does, and how the verdict ends: status 1 with a failed check, or 3 with an error."""

    name: str
    prepare: Prepare
    code: str
    status: int = 3


def published(registry: RegistryServer) -> str:
    """A whole artifact without signatures; its digest."""
    plan = plan_artifact(BlobInfo(digest_of(IMAGE), len(IMAGE)), b"{}", b"{}", {0: bytes(48)})
    registry.add_blob(IMAGE)
    for blob in plan.blobs:
        if blob.data is not None:
            registry.add_blob(blob.data)
    return registry.add_manifest(plan.manifest, MANIFEST_MEDIA_TYPE, "1")


def artifact(data: bytes | object) -> Prepare:
    """These bytes, or this value, as the manifest."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return lambda registry: void(registry.add_manifest(raw, MANIFEST_MEDIA_TYPE, "1"))


def void(_: object) -> None:
    """Nothing: for functions whose answer nobody needs."""


def answering(part: str, answer: Callable[[RegistryServer, Request], Answer]) -> Prepare:
    """A whole artifact, and ``answer`` for every request whose path holds ``part``."""

    def prepare(registry: RegistryServer) -> None:
        published(registry)
        registry.override = lambda request: answer(registry, request) if part in request.path else None

    return prepare


def saying(part: str, status: int = 200, body: bytes = b"", **headers: str) -> Prepare:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answering(part, lambda _registry, _request: Answer(status, body, named))


def listing(entries: object, **headers: str) -> Prepare:
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX_MEDIA_TYPE, "manifests": entries}).encode()
    return saying("/referrers/", 200, body, Content_Type=INDEX_MEDIA_TYPE, **headers)


def pages(_registry: RegistryServer, request: Request) -> Answer:
    """Each page names the next, without end."""
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX_MEDIA_TYPE, "manifests": []}).encode()
    here = int(request.query.get("n", ["0"])[0])
    return Answer(200, body, {"Content-Type": INDEX_MEDIA_TYPE, "Link": f'<?n={here + 1}>; rel="next"'})


def referrer(data: bytes, **changes: Any) -> Prepare:
    """A bundle that refers to the artifact; ``changes`` are fields of its manifest."""

    def prepare(registry: RegistryServer) -> None:
        subject = published(registry)
        blob = {"mediaType": BUNDLE, "digest": registry.add_blob(data), "size": len(data)}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_MEDIA_TYPE,
            "artifactType": BUNDLE,
            "config": {**blob, "mediaType": "application/vnd.oci.empty.v1+json"},
            "layers": [blob],
            "subject": {"mediaType": MANIFEST_MEDIA_TYPE, "digest": subject, "size": 1},
        }
        registry.add_manifest(json.dumps({**manifest, **changes}).encode(), MANIFEST_MEDIA_TYPE)

    return prepare


def signature(annotations: Mapping[str, str] | None, count: int = 1, payload: bytes = b"{}") -> Prepare:
    """cosign's `.sig` manifest."""

    def prepare(registry: RegistryServer) -> None:
        subject = published(registry)
        kind = "application/vnd.dev.cosign.simplesigning.v1+json"
        blob = {"mediaType": kind, "digest": registry.add_blob(payload), "size": len(payload)}
        layer = {**blob, "annotations": dict(annotations or {})}
        manifest = {"schemaVersion": 2, "config": blob, "layers": [layer] * count}
        tag = subject.replace(":", "-") + ".sig"
        registry.add_manifest(json.dumps(manifest).encode(), MANIFEST_MEDIA_TYPE, tag)

    return prepare


def annotated() -> dict[str, str]:
    """A signature that is whole, of an authority that nobody knows."""
    made = Forge().sign()
    return {
        "dev.cosignproject.cosign/signature": made.signature,
        "dev.sigstore.cosign/certificate": made.certificate,
        "dev.sigstore.cosign/bundle": made.bundle or "",
    }


SIGNED = annotated()
SIGNATURE, CERTIFICATE, LOG = SIGNED
MANY = [{**ENTRY, "digest": f"sha256:{n:064x}"} for n in range(600)]
ROWS = (
    Row("manifest, no JSON", artifact(b"\x00\xff"), "json.encoding"),
    Row("manifest, nested deep", artifact(DEEP), "json.depth"),
    Row("manifest, cut short", artifact(b'{"schemaVersion":'), "json.syntax"),
    Row("manifest, a key twice", artifact(b'{"a":1,"a":2}'), "json.duplicate-key"),
    Row("manifest, an index too", artifact(BOTH), "manifest.kind", 1),
    Row("manifest, 5 MiB", artifact(b" " * (5 << 20)), "registry.size"),
    Row("manifest, 9,000 layers", artifact({"schemaVersion": 2, "config": ENTRY, "layers": [ENTRY] * 9000}),
        "field.size", 1),
    Row("manifest, a digest that climbs", artifact({"schemaVersion": 2, "layers": [],
        "config": {**ENTRY, "digest": "../../x"}}), "manifest.digest", 1),
    Row("manifest, a size of 10^300", artifact(
        b'{"schemaVersion": 2, "layers": [], "config": {"mediaType": "a", "digest": "' + DIGEST.encode()
        + b'", "size": 1' + b"0" * 300 + b"}}"), "field.range", 1),
    Row("answer, a loop of redirects", saying("/manifests/", 307, Location="/v2/o/r/manifests/1"),
        "registry.redirect"),
    Row("answer, leads away", saying("/manifests/", 307, Location="http://169.254.169.254/"), "registry.url"),
    Row("answer, leads nowhere", saying("/manifests/", 307, Location="http://[::1/"), "registry.url"),
    Row("answer, wait for ever", saying("/manifests/", 429, Retry_After="99999999"), "registry.rate-limited"),
    Row("answer, a challenge without end", saying("/manifests/", 401, WWW_Authenticate='Bearer a="' * 700),
        "registry.unauthorized"),
    Row("answer, a token from elsewhere", saying("/manifests/", 401,
        WWW_Authenticate='Bearer realm="http://169.254.169.254/"'), "registry.url"),
    Row("answer, an error nested deep", saying("/manifests/", 403, DEEP, Content_Type="application/json"),
        "registry.forbidden"),
    Row("list, pages without end", answering("/referrers/", pages), "registry.referrers.count"),
    Row("list, the next page elsewhere", listing([], Link=ELSEWHERE), "registry.url"),
    Row("list, 600 referrers", listing(MANY), "registry.referrers.count"),
    Row("list, 9,000 referrers", listing(MANY * 15), "field.size"),
    Row("list, nested deep", saying("/referrers/", 200, DEEP, Content_Type=INDEX_MEDIA_TYPE), "json.depth"),
    Row("list, text", saying("/referrers/", 200, b"hello", Content_Type="text/plain"), "json.syntax"),
    Row("list, what is not there", listing([ENTRY]), "registry.not-found"),
    Row("no signature", lambda registry: void(published(registry)), "signature.none", 1),
    Row("bundle, nested deep", referrer(DEEP), "signature.form", 1),
    Row("bundle, numbers", referrer(b"[" + b"1," * 500_000 + b"1]"), "signature.form", 1),
    Row("bundle, cut short", referrer(b'{"mediaType": "application/vnd.dev.sig'), "json.syntax", 1),
    Row("bundle, nothing in it", referrer(b"{}"), "signature.form", 1),
    Row("bundle, 2 MiB", referrer(b" " * (2 << 20)), "registry.blob.size", 1),
    Row(".sig, 600 signatures", signature(SIGNED, 600), "registry.signatures.count"),
    Row(".sig, without a signature", signature({}), "signature.annotation.missing", 1),
    Row(".sig, no certificate", signature({**SIGNED, CERTIFICATE: "x"}), "signature.certificate.form", 1),
    Row(".sig, two certificates", signature({**SIGNED, CERTIFICATE: SIGNED[CERTIFICATE] * 2}),
        "signature.certificate.form", 1),
    Row(".sig, no Base64", signature({**SIGNED, SIGNATURE: "*"}), "signature.form", 1),
    Row(".sig, a log entry nested deep", signature({**SIGNED, LOG: "[" * 60_000}), "json.depth", 1),
    Row(".sig, another payload", signature(SIGNED), "signature.log.mismatch", 1),
    Row(".sig, a payload nested deep", signature(SIGNED, payload=DEEP), "signature.log.mismatch", 1),
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.timeout(90)
def test_a_registry_that_lies_is_answered_in_words(row: Row, tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    with serving() as registry:
        row.prepare(registry)
        words = ["verify", f"{registry.address}/o/r:1", "--repo", "acme/hello", "--trust-config", str(ROOT)]
        ended = run([*words, "--save", "saved"], tmp_path)
    error = ended.document.get("error", {})
    failed = {check["code"] for check in ended.document.get("checks", []) if check["status"] == "fail"}
    assert (ended.status, {error["code"]} if error else failed) == (row.status, {row.code}), ended.document
    assert len(json.dumps(ended.document)) < 20_000
    assert ended.peak <= PEAK_BYTES, f"{ended.peak >> 20} MiB"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["spool"]
