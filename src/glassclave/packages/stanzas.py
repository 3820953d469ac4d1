"""Text of lines ``KEY: value`` in groups that empty lines divide: dpkg's, apk's and Python's way to write."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator

from glassclave.errors import ParseError


def stanzas(data: bytes, wanted: Collection[bytes], *, strict: bool) -> Iterator[dict[bytes, bytes]]:
    """The groups in order, each with its ``wanted`` fields (first lines of their values, blanks stripped).

    Raises `ParseError` ``packages.form`` where a wanted field stands twice in a group: one reader takes the
    first, another the last. ``strict``: also for a line that has no colon.
    """
    found: dict[bytes, bytes] = {}
    empty = True
    for line in io.BytesIO(data):
        if not line.strip():
            if not empty:
                yield found
            found, empty = {}, True
            continue
        if line[:1] in b" \t":
            if empty and strict:
                raise ParseError("packages.form", "a continued line that continues nothing")
            continue
        empty = False
        key, colon, value = line.partition(b":")
        if not colon and strict:
            raise ParseError("packages.form", "a line that has no colon")
        if colon and key in wanted:
            if key in found:
                raise ParseError("packages.form", f"{key.decode('ascii')} stands twice in one record")
            found[key] = value.strip()
    if not empty:
        yield found


def needed(record: dict[bytes, bytes], key: bytes) -> bytes:
    """A field that has to be there. `ParseError` ``packages.form``."""
    if key not in record:
        raise ParseError("packages.form", f"a record without {key.decode('ascii')}")
    return record[key]
