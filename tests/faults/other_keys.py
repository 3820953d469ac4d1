"""Sigstore's services with another key in the place of one: each answers well, and proves nothing here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from glassclave_sandbox.services import Services
from glassclave_sandbox.services.ct import CertificateLog
from glassclave_sandbox.services.fulcio import Fulcio
from glassclave_sandbox.services.server import Listener
from glassclave_sandbox.services.sigstore import Sigstore, make_sigstore, refusal
from tests.faults.proxy import Asked

FULCIO, TSA, REKOR, TOKEN = "/api/v2/signingCert", "/api/v1/timestamp", "/api/v1/log/entries", "/token"
PATHS = {"oidc": TOKEN, "fulcio": FULCIO, "fulcio-late": FULCIO, "ct": FULCIO, "tsa": TSA, "rekor": REKOR}
"""Which service has another key (``fulcio-late``: another clock), and what is asked of it."""


def _now() -> datetime:
    return datetime.now(UTC)


def _long_ago() -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC)


def _with_other_key(ours: Sigstore, other: Sigstore, which: str) -> Sigstore:
    if which == "oidc":
        other.tokens.request_token = ours.tokens.request_token
        return replace(ours, tokens=other.tokens)
    log = CertificateLog(ours.certificate_log)
    if which == "fulcio":
        return replace(ours, fulcio=Fulcio(other.authority, log, ours.tokens, _now))
    if which == "fulcio-late":
        certificates = Fulcio(ours.authority, log, ours.tokens, _long_ago)
        return replace(ours, fulcio=certificates)
    if which == "ct":
        return replace(ours, fulcio=replace(ours.fulcio, log=CertificateLog(other.certificate_log)))
    if which == "tsa":
        return replace(ours, timestamps=other.timestamps)
    return replace(ours, rekor=other.rekor)


@contextmanager
def other_key(services: Services, which: str) -> Iterator[Mapping[str, str]]:
    """Address of a Sigstore that has another key in one place."""
    ours = services._sigstore
    with ExitStack() as stack:
        listener = Listener(_with_other_key(ours, make_sigstore(_now), which).answer, refusal=refusal)
        stack.callback(listener.close)
        yield {"genuine": urlsplit(services.url).netloc, "other": listener.address}


def router(addresses: Mapping[str, str], prefix: str, *, skip: int = 0) -> Callable[[Asked], str]:
    """Requests of one path go to the other, but for the first ``skip``."""
    seen: list[Asked] = []

    def choose(asked: Asked) -> str:
        if not asked.path.startswith(prefix):
            return addresses["genuine"]
        seen.append(asked)
        return addresses["other" if len(seen) > skip else "genuine"]

    return choose
