"""A glance into a sigstore bundle before it is judged: what it says that it is about. Nothing is believed."""

from __future__ import annotations

import base64

from glassclave.errors import ParseError
from glassclave.fields import Fields, parse_json

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_MAX_TYPE = 1024


def claimed_predicate_type(bundle: bytes) -> str | None:
    """Predicate type of the in-toto statement inside; ``None`` where there is none to be read.

    Other people attach attestations of other kinds, some under trust roots of their own. They are told
    apart by this, so that their failing says nothing about ours.
    """
    try:
        top = Fields.of(parse_json(bundle, source="bundle"), source="bundle")
        payload = base64.b64decode(
            top.child("dsseEnvelope").text("payload", limit=len(bundle)), validate=True
        )
        statement = Fields.of(parse_json(payload, source="statement"), source="statement")
        return statement.text("predicateType", limit=_MAX_TYPE)
    except (ParseError, ValueError):  # base64's error is a ValueError
        return None
