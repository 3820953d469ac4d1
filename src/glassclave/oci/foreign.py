"""An enclave image in an artifact that is not ours: found by its first bytes (``docs/spec/artifact.md``).

Other tools push an EIF under types of their own, or under none (``oras push``). What a layer calls itself
says nothing then. The first bytes are not held to any digest before the whole layer is: so they only choose
which layer to fetch, and a registry that lies about them is found out by the digests.
"""

from __future__ import annotations

from collections.abc import Callable

from glassclave.errors import RefusedError
from glassclave.oci.artifact import ArtifactLayers, kind_of, pcr_hints
from glassclave.oci.manifest import Descriptor, Manifest

MAX_LAYERS = 16
"""Layers of an artifact of another type that are looked at."""
MAX_BESIDE = 4 << 20
"""Bytes of a layer beside the image: each has to be read whole to know that it is not another image."""


def read_foreign(manifest: Manifest, begins_as_image: Callable[[Descriptor], bool]) -> ArtifactLayers:
    """The layers of an artifact of another type, exactly one of which ``begins_as_image``.

    Raises `RefusedError` ``artifact.type`` (more layers than are looked at), ``artifact.eif.none``,
    ``artifact.eif.several``, ``artifact.layer.size`` (what is too large might be a second image).
    """
    kind, layers = kind_of(manifest), manifest.layers
    if len(layers) > MAX_LAYERS:
        raise RefusedError(
            "artifact.type",
            f"is no enclave image of ours but {kind}, of {len(layers)} layers: {MAX_LAYERS} are looked at",
            field="layers",
        )
    images = [layer for layer in layers if begins_as_image(layer)]
    if len(images) != 1:
        code = "artifact.eif.several" if images else "artifact.eif.none"
        raise RefusedError(
            code,
            f"is no enclave image of ours but {kind}; exactly one layer must begin as an EIF does, "
            f"{len(images)} of its {len(layers)} do",
            field="layers",
        )
    others = tuple(layer for layer in layers if layer is not images[0])
    large = next((layer for layer in others if layer.size > MAX_BESIDE), None)
    if large is not None:
        raise RefusedError(
            "artifact.layer.size",
            f"has a layer of {large.size:,} bytes beside the image, at most {MAX_BESIDE:,} are looked into",
            field="layers",
        )
    return ArtifactLayers(images[0], None, None, pcr_hints(manifest), kind, others)
