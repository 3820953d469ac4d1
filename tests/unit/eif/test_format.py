"""What stands in a header, as bytes."""

from __future__ import annotations

import pytest

from glassclave.eif.format import Architecture, Header
from glassclave.errors import UsageError
from tests.unit.eif.images import read, write


@pytest.mark.parametrize(("architecture", "flags"), [("x86_64", b"\0\0"), ("aarch64", b"\0\1")])
def test_bit_0_of_the_flags_names_the_machine(architecture: str, flags: bytes) -> None:
    data = write(architecture=Architecture(architecture))[0]
    assert data[6:8] == flags
    assert read(data).header.architecture == architecture


def test_the_machine_of_a_container_image() -> None:
    assert Architecture.of_oci("amd64") is Architecture.X86_64
    assert Architecture.of_oci("arm64") is Architecture.AARCH64
    with pytest.raises(UsageError) as caught:
        Architecture.of_oci("riscv64")
    assert caught.value.code == "eif.architecture"


def test_what_a_header_holds_where_nothing_else_is_said() -> None:
    header = Header(section_count=0, section_offsets=(0,) * 32, section_sizes=(0,) * 32)
    memory, cpus = (1 << 30).to_bytes(8, "big"), (2).to_bytes(8, "big")
    assert header.pack() == b".eif\0\4\0\0" + memory + cpus + bytes(524)
