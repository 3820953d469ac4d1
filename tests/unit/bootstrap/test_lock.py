import json
from importlib.resources import files
from typing import Any

import pytest

from glassclave.bootstrap import load_shipped, parse_lock, shipped_architectures, shipped_lock
from glassclave.errors import GlassclaveError, ParseError

LOCK = files("glassclave.bootstrap").joinpath("data/x86_64/bootstrap.lock.json").read_bytes()


def changed(**changes: Any) -> bytes:
    document = json.loads(LOCK)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = document
        for name in parents:
            place = place[name]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return json.dumps(document).encode()


def test_the_lock_names_source_and_system() -> None:
    lock = parse_lock(LOCK, source="lock")
    assert lock == shipped_lock("x86_64")
    assert (lock.os_name, lock.architecture, lock.source_package) == ("Linux", "x86_64", "linux-source-6.12")
    assert lock.source_version.startswith(lock.kernel_version + "-")
    assert lock.source_version in lock.source_file
    assert shipped_architectures() == ("x86_64",)


def test_the_shipped_bootstrap_is_the_lock_s() -> None:
    shipped, lock = load_shipped("x86_64"), shipped_lock("x86_64")
    sizes = {"bzImage": len(shipped.kernel), "cmdline": len(shipped.cmdline), "init": len(shipped.init)}
    assert sizes == {name: lock.files[name].size for name in sizes}
    assert (shipped.name, shipped.kernel_version) == (lock.name, lock.kernel_version)
    assert shipped.init.startswith(b"\x7fELF")
    assert shipped.nsm_module is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"schema": "glassclave-bootstrap-lock-2"}, "bootstrap.lock.schema"),
        ({"name": None}, "field.missing"),
        ({"results__init": None}, "field.missing"),
        ({"results__init__sha256": "00" * 31}, "hex.size"),
        ({"results__init__size": -1}, "field.range"),
        ({"source__sha256": "zz"}, "hex.syntax"),
    ],
)
def test_a_broken_lock_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_lock(changed(**changes), source="lock")
    assert caught.value.code == code


def test_an_unchanged_document_is_accepted() -> None:
    assert parse_lock(changed(), source="lock") == parse_lock(LOCK, source="lock")


@pytest.mark.parametrize("architecture", ["aarch64", "", "..", "licenses"])
def test_other_architectures_are_refused(architecture: str) -> None:
    with pytest.raises(GlassclaveError) as caught:
        load_shipped(architecture)
    assert caught.value.code == "bootstrap.architecture"
    assert "x86_64" in caught.value.message
