"""The identity token of the GitHub job that this runs in, asked of the job's token service.

GitHub, "OpenID Connect", section "Methods for requesting the OIDC token": an address and a bearer token in
the environment. Asked over our own bounded HTTP: nothing that the service answers stands in an error, as it
may hold either token.
"""

from __future__ import annotations

import os
import re
import time
from urllib.parse import urlencode, urlsplit, urlunsplit

from glassclave.clients.http import Web, refuse_outage
from glassclave.clients.retries import retrying
from glassclave.errors import GlassclaveError, UnavailableError, UsageError
from glassclave.fields import Fields, parse_json

AUDIENCE = "sigstore"
MAX_ANSWER = 1 << 17
_SENDABLE = re.compile(r"[\x21-\x7e]+\Z")
_SOURCE = "the job's token service"


def ambient_token() -> str:
    """The identity token of the job this runs in, for Sigstore.

    Raises `UsageError` ``sign.identity.none`` outside of a job, `UnavailableError`
    ``sign.identity.unavailable``.
    """
    if not os.environ.get("GITHUB_ACTIONS"):
        raise UsageError(
            "sign.identity.none",
            "there is no identity to sign with",
            hint="run in a GitHub Actions job with id-token: write, or give --identity-token FILE",
        )
    url = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL", "")
    shown = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
    if not url or _SENDABLE.match(shown) is None:
        raise _unavailable("the job may not ask for one")
    web = Web()
    try:
        return retrying(lambda: _ask(web, _for_audience(url), shown), time.sleep)
    except GlassclaveError as error:
        if error.code == "sign.identity.unavailable":
            raise
        why = "its address is none that is asked" if error.code == "registry.url" else error.message
        raise _unavailable(f"{_SOURCE} {why}") from error


def _for_audience(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _unavailable(f"{_SOURCE} has no address") from error
    query = "&".join(part for part in (parts.query, urlencode({"audience": AUDIENCE})) if part)
    return urlunsplit(parts._replace(query=query))


def _ask(web: Web, url: str, shown: str) -> str:
    with web.send("GET", url, {"Authorization": f"bearer {shown}", "Accept": "application/json"}) as reply:
        refuse_outage(reply)
        if reply.status != 200:
            raise _unavailable(f"{_SOURCE} answers {reply.status}")
        answer = reply.body(MAX_ANSWER)
    token = Fields.of(parse_json(answer, source=_SOURCE), source=_SOURCE).text("value", limit=MAX_ANSWER)
    if _SENDABLE.match(token) is None:
        raise _unavailable(f"{_SOURCE} answers with a token that cannot be sent")
    return token


def _unavailable(why: str) -> UnavailableError:
    return UnavailableError(
        "sign.identity.unavailable",
        f"the job's identity token cannot be had: {why}",
        hint="give the job the permission id-token: write; if it has that, try again later",
    )
