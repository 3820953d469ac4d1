"""What the tests of the registry client store and ask."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from glassclave.errors import GlassclaveError
from glassclave.oci.manifest import (
    EMPTY_DESCRIPTOR,
    Descriptor,
    build_manifest,
)
from tests.registry_server import Answer, Request, digest_of

MANIFEST = build_manifest(config=EMPTY_DESCRIPTOR, layers=[])
BLOB = bytes(range(256)) * 8192  # 2 MiB: several reads


def once(answer: Answer, times: int = 1) -> Callable[[Request], Answer | None]:
    """``answer`` to the first ``times`` requests, the registry's own after that."""
    left = [answer] * times
    return lambda request: left.pop() if left else None


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(GlassclaveError) as caught:
        call()
    assert "free text" not in f"{caught.value} {caught.value.hint}"
    return caught.value.code


def descriptor(data: bytes) -> Descriptor:
    return Descriptor("a/b", digest_of(data), len(data))
