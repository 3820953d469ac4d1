"""A registry on loopback and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from glassclave.clients.registry import Registry
from glassclave.oci.manifest import (
    MANIFEST_MEDIA_TYPE,
)
from glassclave.oci.reference import Reference
from glassclave.oci.transport import RegistryWriter
from tests.registry_server import RegistryServer, serving
from tests.unit.clients.content import BLOB, MANIFEST


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with serving() as registry:
        registry.add_manifest(MANIFEST, MANIFEST_MEDIA_TYPE, "t")
        registry.add_blob(BLOB)
        yield registry


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the client waited between tries."""
    return []


@pytest.fixture
def registry(waits: list[float]) -> RegistryWriter:
    return Registry(sleep=waits.append)


@pytest.fixture
def ref(server: RegistryServer) -> Reference:
    return Reference(server.address, "o/r", "t")
