"""An artifact made the way of the time before ours: any tool's push of an EIF and a text about it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from glassclave.digests import sha256_digest
from glassclave.eif.describe import describe_measurements
from glassclave.flows.measure import measure_file
from glassclave.oci.artifact import TITLE
from glassclave.oci.manifest import MANIFEST_MEDIA_TYPE, Descriptor, build_manifest
from glassclave.policy.model import STATEMENT_OPTIONAL, Policy
from glassclave.progress import Silent
from glassclave.streams import BytesSource
from tests.unit.flows.published import IMAGE, Published

ACCEPTING = Policy(repository="acme/hello", statement=STATEMENT_OPTIONAL)
MEASURED = measure_file(BytesSource(IMAGE), name="image", progress=Silent()).measured.measurements
ANNOTATIONS = {f"PCR{index}": MEASURED.by_index()[index].hex() for index in range(3)}


def info(**changes: str) -> bytes:
    """What nitro-cli prints at the end of a build, its messages before."""
    printed = {"Measurements": {**describe_measurements(MEASURED), **changes}}
    said = "Start building the Enclave Image...\nEnclave Image successfully created.\n"
    return (said + json.dumps(printed, indent=2) + "\n").encode()


class Seed(Published):
    """``files``: the layers, in order, each under a name and no type of its own."""

    def __init__(
        self,
        files: Sequence[tuple[str, bytes]] = (("enclave.eif", IMAGE), ("enclave.info", info())),
        *,
        annotations: dict[str, str] | None = None,
        artifact_type: str | None = "application/vnd.unknown.artifact.v1",
    ) -> None:
        super().__init__()
        layers = [
            self.registry.put_blob("application/vnd.oci.image.layer.v1.tar", data, {TITLE: name})
            for name, data in files
        ]
        config = self.registry.put_blob("application/vnd.oci.empty.v1+json", b"{}")
        manifest = build_manifest(
            config=config,
            layers=layers,
            artifact_type=artifact_type,
            annotations=ANNOTATIONS if annotations is None else annotations,
        )
        self.digest = self.registry.put_manifest(manifest, "1.2")
        self.subject = Descriptor(MANIFEST_MEDIA_TYPE, self.digest, len(manifest))
        self.eif = next(
            (layer for layer in layers if layer.digest == sha256_digest(IMAGE)), Descriptor("a/b", "", 0)
        )
