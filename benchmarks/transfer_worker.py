"""Pushes or pulls the file ``blob`` with our client of registries, as `publish` and `verify` do."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from glassclave.clients.registry import Registry
from glassclave.digests import sha256_digest
from glassclave.oci.manifest import MANIFEST_MEDIA_TYPE, parse_manifest
from glassclave.oci.reference import Reference, parse_reference
from glassclave.progress import Silent
from glassclave.streams import open_source

EMPTY = b"{}"


def push(registry: Registry, reference: Reference) -> None:
    with open("blob", "rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        size = file.tell()
    with open_source(Path("blob")) as source:
        registry.push_blob(reference, source, digest)
    registry.push_blob(reference, EMPTY, sha256_digest(EMPTY))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_MEDIA_TYPE,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": sha256_digest(EMPTY),
            "size": len(EMPTY),
        },
        "layers": [{"mediaType": "application/octet-stream", "digest": digest, "size": size}],
    }
    registry.push_manifest(reference, reference.tag or "", json.dumps(manifest).encode(), MANIFEST_MEDIA_TYPE)


def pull(registry: Registry, reference: Reference) -> None:
    manifest = parse_manifest(registry.resolve(reference).data, source=str(reference))
    with open("blob", "w+b") as file:
        registry.fetch_blob_to(reference, manifest.layers[0], file, Silent())


if __name__ == "__main__":
    {"push": push, "pull": pull}[sys.argv[1]](Registry(), parse_reference(sys.argv[2]))
