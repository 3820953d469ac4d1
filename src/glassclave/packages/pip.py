"""Python's distributions: ``NAME-VERSION.dist-info/METADATA``, and the older ``.egg-info``.

"Core metadata specifications" and "Recording installed projects" of the Python Packaging User Guide. A
directory whose file is missing is taken by its name.
"""

from __future__ import annotations

from collections.abc import Iterator

from glassclave.errors import ParseError
from glassclave.packages.database import Package, Reader, package
from glassclave.packages.stanzas import needed, stanzas

_METADATA = b".dist-info/METADATA"
_PKG_INFO = b".egg-info/PKG-INFO"
_DIST_INFO = b".dist-info"
_EGG_INFO = b".egg-info"


def _concerns(path: bytes) -> bool:
    return path.endswith((_METADATA, _PKG_INFO, _EGG_INFO))


def _directory(path: bytes) -> bytes | None:
    if path.endswith(_DIST_INFO):
        return path + b"/METADATA"
    return path + b"/PKG-INFO" if path.endswith(_EGG_INFO) else None


def _read(path: bytes, data: bytes) -> Iterator[Package]:
    if not data and path.endswith((_DIST_INFO, _EGG_INFO)):
        yield _named(path.rpartition(b"/")[2])
        return
    # The description may follow behind an empty line: only the head has fields.
    for record in stanzas(data, (b"Name", b"Version"), strict=False):
        yield package("pip", needed(record, b"Name"), needed(record, b"Version"))
        return
    raise ParseError("packages.form", "no metadata")


def _named(folder: bytes) -> Package:
    """``NAME-VERSION``; an egg's may go on with ``-pyX.Y``."""
    name, dash, rest = folder.removesuffix(_DIST_INFO).removesuffix(_EGG_INFO).partition(b"-")
    if not dash:
        raise ParseError("packages.form", "no metadata, and no version in the directory's name")
    return package("pip", name, rest.partition(b"-py")[0])


READER = Reader(
    id="pip",
    reference="https://packaging.python.org/en/latest/specifications/recording-installed-packages/",
    limit=4 << 20,
    concerns=_concerns,
    read=_read,
    directory=_directory,
)
