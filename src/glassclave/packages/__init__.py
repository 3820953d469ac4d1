"""Package databases of container images: one file for each, each exporting one ``READER``.

To add one, write a module here that exports ``READER`` (`glassclave.packages.database.Reader`), cases in
``tests/vectors/packages/ID.json`` and a row in ``docs/outside.md``
(`tests/unit/packages/test_contract.py` insists). Everything here is pure: bytes to packages.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

from glassclave.packages.database import Package, Reader

__all__ = ["Package", "Reader", "reader_names", "readers"]

_SHARED = ("changes", "database", "stanzas")


def reader_names() -> tuple[str, ...]:
    """Names of the modules that hold a reader, sorted."""
    return tuple(
        sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _SHARED)
    )


@functools.cache
def readers() -> tuple[Reader, ...]:
    """All readers, in the order of their modules' names."""
    found = []
    for name in reader_names():
        reader = importlib.import_module(f"{__name__}.{name}").READER
        if not isinstance(reader, Reader):
            raise TypeError(f"{__name__}.{name}.READER is not a Reader")
        found.append(reader)
    return tuple(found)
