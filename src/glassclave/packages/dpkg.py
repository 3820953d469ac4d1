"""dpkg: one file for all packages, or one file each where there is no dpkg to keep them (distroless images).

The file's form is in dpkg's manual, dpkg(1) "FILES" and deb-control(5).
"""

from __future__ import annotations

from collections.abc import Iterator

from glassclave.errors import ParseError
from glassclave.packages.database import Package, Reader, package
from glassclave.packages.stanzas import needed, stanzas

_STATUS = b"var/lib/dpkg/status"
_FOLDER = b"var/lib/dpkg/status.d/"
_WANTED = frozenset({b"Package", b"Version", b"Status", b"Architecture", b"Multi-Arch"})
_ABSENT = frozenset({b"not-installed", b"config-files"})
_PRESENT = frozenset(
    {
        b"half-installed",
        b"unpacked",
        b"half-configured",
        b"triggers-awaited",
        b"triggers-pending",
        b"installed",
    }
)


def _concerns(path: bytes) -> bool:
    if path == _STATUS:
        return True
    name = path.removeprefix(_FOLDER)
    return name != path and b"/" not in name and not name.endswith(b".md5sums")


def _read(path: bytes, data: bytes) -> Iterator[Package]:
    for record in stanzas(data, _WANTED, strict=True):
        if path != _STATUS or _installed(needed(record, b"Status")):
            yield package("dpkg", _name(record), needed(record, b"Version"))


def _installed(status: bytes) -> bool:
    """The third word, "status"; the others are wishes (dpkg(1), "INFORMATION ABOUT PACKAGES")."""
    words = status.split()
    if len(words) != 3 or words[2] not in _ABSENT | _PRESENT:
        raise ParseError("packages.form", "a Status that dpkg does not know")
    return words[2] in _PRESENT


def _name(record: dict[bytes, bytes]) -> bytes:
    """With the architecture where several may be there at once, as ``dpkg -l`` prints it."""
    name = needed(record, b"Package")
    if record.get(b"Multi-Arch") == b"same":
        return name + b":" + needed(record, b"Architecture")
    return name


READER = Reader(
    id="dpkg",
    reference="https://manpages.debian.org/stable/dpkg/dpkg.1.en.html",
    limit=32 << 20,
    concerns=_concerns,
    read=_read,
)
