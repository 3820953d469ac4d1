"""Which layer of an artifact is the enclave image: ours says so, in another one it is found."""

from __future__ import annotations

from functools import partial

from glassclave.eif.format import MAGIC
from glassclave.errors import ParseError, RefusedError, UnavailableError
from glassclave.escaping import escape_untrusted
from glassclave.flows.case import Case
from glassclave.oci.artifact import TITLE, ArtifactLayers, is_ours, read_artifact
from glassclave.oci.foreign import MAX_BESIDE, read_foreign
from glassclave.oci.manifest import Descriptor, parse_manifest
from glassclave.oci.reference import Reference
from glassclave.oci.transport import RegistryReader
from glassclave.policy.checks.image import Hints, read_info

MAX_COMPANION = 4 << 20
"""Bytes of a file beside the image that are read."""
_SHORT = len("sha256:") + 12


def find_image(case: Case, reference: Reference, registry: RegistryReader) -> ArtifactLayers | None:
    """What ``reference`` names, as a check of ``case``; ``None`` where that is no enclave image."""
    stored = registry.resolve(reference)
    case.digest = stored.digest
    try:
        manifest = parse_manifest(stored.data, source=str(reference))
        if is_ours(manifest):
            layers = read_artifact(manifest)
        else:
            layers = read_foreign(manifest, partial(_begins_as_image, registry, reference))
    except (ParseError, RefusedError) as error:
        if reference.digest is None and error.code.startswith("json."):
            raise  # no registry takes that for a manifest: it was cut off, or is somebody else's page
        look_again(reference, stored.digest, registry)
        case.failed("artifact", error.code, error.message)
        return None
    # Enough digits to compare by eye; the whole digest is in the verdict.
    said = f"{reference.name}@{stored.digest[:_SHORT]}{_tag_said(reference)}"
    case.passed("artifact", "artifact", said)
    if layers.kind is not None:
        kind = (
            f"is no artifact of glassclave publish but {layers.kind}: its image was found by its first bytes"
        )
        case.note("artifact.foreign", kind)
    return layers


def look_again(reference: Reference, digest: str, registry: RegistryReader) -> None:
    """Before what a tag named is refused: does the registry have it, or was its answer damaged on the way?

    Raises `UnavailableError` ``registry.*`` where it has no such manifest.
    """
    if reference.digest is None:
        registry.fetch_manifest(reference, digest)


def _tag_said(reference: Reference) -> str:
    if reference.tag is None:
        return ""
    if reference.digest is not None:
        return f" (tag {reference.tag} not read, the digest decides)"
    return f" (tag {reference.tag} read once)"


def _begins_as_image(registry: RegistryReader, reference: Reference, layer: Descriptor) -> bool:
    """By its first bytes, and no more of it is fetched."""
    if layer.size < len(MAGIC):
        return False
    return registry.fetch_blob_head(reference, layer, len(MAGIC)) == MAGIC


def read_hints(
    case: Case,
    registry: RegistryReader,
    reference: Reference,
    layers: ArtifactLayers,
    measured_as: dict[str, str],
) -> Hints:
    """What the artifact says of its image without a signature of its own. What cannot be read is said."""
    infos = []
    for layer in layers.others:
        data = registry.fetch_small_blob(reference, layer, MAX_BESIDE)
        if data.startswith(MAGIC):  # its first bytes were others when they were asked for alone
            raise UnavailableError(
                "registry.digest",
                "the registry answers with other bytes than the digest names",
                source=f"{reference.name}@{layer.digest}",
            )
        info = read_info(data)
        if info is None:
            name = escape_untrusted(layer.annotations.get(TITLE, layer.digest[:_SHORT]), limit=120)
            case.note("image.beside.unread", f"{name} beside the image holds no PCRs that could be compared")
        else:
            infos.append(info)
    return Hints(
        annotations=layers.pcr_hints,
        measurements=_beside(registry, reference, layers.measurements),
        described=_beside(registry, reference, layers.describe),
        measured_as=measured_as,
        infos=tuple(infos),
    )


def _beside(registry: RegistryReader, reference: Reference, layer: Descriptor | None) -> bytes | None:
    """A small file of the artifact; what is too large to be one of ours says nothing right."""
    if layer is None:
        return None
    if layer.size > MAX_COMPANION:
        return b""
    return registry.fetch_small_blob(reference, layer, MAX_COMPANION)
