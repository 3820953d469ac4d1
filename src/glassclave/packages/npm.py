"""npm, yarn and pnpm: every ``node_modules/NAME/package.json``, scoped ones and nested ones too."""

from __future__ import annotations

import re
from collections.abc import Iterator

from glassclave.errors import ParseError
from glassclave.fields import Fields, parse_json
from glassclave.packages.database import Package, Reader, package

_PATH = re.compile(rb"(?:\A|/)node_modules/(?:@[^/]+/)?[^/@.][^/]*/package\.json\Z")
_LIMIT = 1 << 20


def _concerns(path: bytes) -> bool:
    return path.endswith(b"/package.json") and _PATH.search(path) is not None


def _read(path: bytes, data: bytes) -> Iterator[Package]:
    source = path[-200:].decode("utf-8", "backslashreplace")
    try:
        fields = Fields.of(parse_json(data, source=source, limit=_LIMIT), source=source)
        name, version = fields.text("name"), fields.text("version")
    except ParseError as error:
        raise ParseError("packages.form", f"{error.field or 'package.json'}: {error.message}") from error
    yield package("npm", name, version)


READER = Reader(
    id="npm",
    reference="https://docs.npmjs.com/cli/v11/configuring-npm/package-json",
    limit=_LIMIT,
    concerns=_concerns,
    read=_read,
)
