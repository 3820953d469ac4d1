"""Two enclave images file by file: what differs in their application ramdisks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from glassclave.eif.format import SectionType
from glassclave.eif.reader import EnclaveImage, measure_image, read_image
from glassclave.escaping import escape_bytes
from glassclave.ramdisk.listing import ListedEntry, list_archive
from glassclave.results import FileDifference, Measurements
from glassclave.streams import FileSource, open_source


@dataclass(frozen=True, slots=True)
class Comparison:
    """``same_bytes``: the files are equal. ``same_pcrs``: what is measured is. ``files``: the differences."""

    same_bytes: bool
    same_pcrs: bool
    files: tuple[FileDifference, ...]


def compare_images(left: Path, right: Path) -> Comparison:
    """Compare two images that `build` wrote. Raises `ParseError` ``eif.*``, ``ramdisk.cpio.*``."""
    with open_source(left) as one, open_source(right) as other:
        if _same(one, other):
            return Comparison(same_bytes=True, same_pcrs=True, files=())
        images = read_image(one, name=str(left)), read_image(other, name=str(right))
        same_pcrs = _measured(images[0]) == _measured(images[1])
        files = () if same_pcrs else differing_files(*images, names=("first build", "second build"))
        return Comparison(same_bytes=False, same_pcrs=same_pcrs, files=files)


def differing_files(
    left: EnclaveImage, right: EnclaveImage, *, names: tuple[str, str]
) -> tuple[FileDifference, ...]:
    """What differs in their ramdisks, sorted by path; ``names`` of the two, for the words.

    Raises `ParseError` ``ramdisk.cpio.*``.
    """
    return tuple(_differences(_listing(left), _listing(right), names))


def _measured(image: EnclaveImage) -> Measurements:
    return measure_image(image).measurements


def _same(left: FileSource, right: FileSource) -> bool:
    if left.size != right.size:
        return False
    step = 1 << 20
    return all(
        left.read_at(at, min(step, left.size - at)) == right.read_at(at, min(step, left.size - at))
        for at in range(0, left.size, step)
    )


def _listing(image: EnclaveImage) -> dict[bytes, ListedEntry]:
    found: dict[bytes, ListedEntry] = {}
    for section in image.of_type(SectionType.RAMDISK):
        for entry in list_archive(image.source, section.data_offset, section.size, name=image.name):
            found[entry.name] = entry
    return found


def _differences(
    left: dict[bytes, ListedEntry], right: dict[bytes, ListedEntry], names: tuple[str, str]
) -> Iterator[FileDifference]:
    for name in sorted(left.keys() | right.keys()):
        one, other = left.get(name), right.get(name)
        what = _what(one, other, names)
        if what:
            yield FileDifference(escape_bytes(name.removeprefix(b"rootfs") or b"/", limit=300), what)


def _what(one: ListedEntry | None, other: ListedEntry | None, names: tuple[str, str]) -> str:
    if one is None or other is None:
        return f"only in the {names[1] if one is None else names[0]}"
    parts = []
    if one.mode != other.mode:
        parts.append(f"mode {one.mode:o} and {other.mode:o}")
    if (one.uid, one.gid) != (other.uid, other.gid):
        parts.append(f"owner {one.uid}:{one.gid} and {other.uid}:{other.gid}")
    if one.mtime != other.mtime:
        parts.append("time")
    if one.device != other.device:
        parts.append("device number")
    if (one.size, one.sha256) != (other.size, other.sha256):
        sizes = "" if one.size == other.size else f" ({one.size:,} and {other.size:,} bytes)"
        parts.append(f"content{sizes}")
    return ", ".join(parts)
