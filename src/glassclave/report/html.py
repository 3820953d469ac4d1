"""A verdict as one page for the person who decides: no script, no outside request, everything escaped."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from glassclave import __version__
from glassclave.escaping import escape_untrusted
from glassclave.policy.verdict import Verdict
from glassclave.report.page import page_of

_LIMIT = 65536
"""Characters of one value that are shown: a statement fits whole, nothing makes the page endless."""


def verdict_page(verdict: Verdict, *, at: datetime) -> str:
    """The page as HTML text, in UTF-8 when written; ``at``: when it was judged.

    Its Content-Security-Policy allows nothing but the one style that is in it, by digest.
    """
    style = _resource("verdict.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_shown, keep_trailing_newline=True
    )
    return environment.from_string(_resource("verdict.html")).render(
        page=page_of(verdict, at=at),
        style=Markup(style),  # noqa: S704 - our own file
        csp=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        version=__version__,
    )


def _shown(value: object) -> object:
    """Whatever the template puts out passes here: control and bidi characters are written out."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(escape_untrusted(line, limit=_LIMIT) for line in value.split("\n"))
    return value


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")
