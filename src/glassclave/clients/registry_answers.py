"""Answers of registries that are not the thing asked for, as errors; and where a list goes on."""

from __future__ import annotations

import re
from contextlib import suppress

from glassclave.clients.http import Reply, joined, target_of
from glassclave.errors import LimitError, ParseError, UnavailableError
from glassclave.fields import Fields, parse_json

_MAX_LINK = 8192
_ERROR_CODE = re.compile(r"[A-Z][A-Z_]{1,39}\Z")
_MAX_ERROR = 64 << 10
_TAG_STANDS = frozenset({409, 412})
"""Answers to an overwritten tag; the second is Harbor's."""
_TAG_CODES = frozenset({"TAG_INVALID", "TAG_IMMUTABLE"})
"""Whatever the status; the first is ECR's, with 400."""
_NOT_TAKEN = frozenset({400, 405, 415, 422})


def next_page(reply: Reply) -> str | None:
    """URL of the next page (RFC 8288), which must be on the same server: it gets the login too."""
    target = _next_target(reply.header("link"))
    if target is None:
        return None
    url = joined(reply.url, target)
    if target_of(url) != reply.target:
        raise UnavailableError(
            "registry.url", "the next page is on another host; it is not followed", source=reply.target.shown
        )
    return url


def _next_target(header: str) -> str | None:
    """The target of the link whose relation is ``next``."""
    if len(header) > _MAX_LINK:
        raise LimitError("registry.size", "answers with a Link header of more than 8 KiB")
    for part in header.split("<")[1:]:
        target, _, parameters = part.partition(">")
        for parameter in parameters.replace(",", ";").split(";"):
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "rel" and value.strip().strip('"').lower() == "next":
                return target
    return None


def refused(reply: Reply, what: str, source: str, hint: str | None = None) -> UnavailableError:
    """The error for an answer that is not the one wanted."""
    told = _error_code(reply)
    status = f"{reply.status} {told}" if told else str(reply.status)
    if reply.status == 401:
        return UnavailableError(
            "registry.unauthorized",
            f"the registry does not accept the login ({status})",
            source=source,
            hint="log in again, with an account that may do this",
        )
    if reply.status == 403:
        return UnavailableError(
            "registry.forbidden",
            f"the registry forbids it ({status})",
            source=source,
            hint="the account may not do this here, nobody may without a login, or the login has expired",
        )
    if reply.status == 404:
        return not_found(f"the registry does not know {what} ({status})", source, hint)
    return _answer(status, what, source, hint)


def refused_upload(reply: Reply, source: str) -> UnavailableError:
    """The error for a blob that may not even begin to be sent."""
    create = "the repository may have to be created first: not every registry makes it at the first push"
    return refused(reply, "an upload", source, create if reply.status == 404 else None)


def refused_manifest(reply: Reply, source: str, *, by_tag: bool) -> UnavailableError:
    """The error for a manifest that was not taken: its tag may not change, or its kind is not known there."""
    if reply.status in (401, 403, 404):
        return refused(reply, "the manifest", source)
    told = _error_code(reply)
    status = f"{reply.status} {told}" if told else str(reply.status)
    if by_tag and (reply.status in _TAG_STANDS or told in _TAG_CODES):
        return UnavailableError(
            "registry.tag-immutable",
            f"the registry does not let the tag change ({status})",
            source=source,
            hint="use another tag; tags that begin with sha256- must stay free to change for signatures",
        )
    hint = None
    if reply.status in _NOT_TAKEN:
        hint = "it may not know OCI 1.1 manifests (artifactType, subject)"
        hint += ", or the tag exists and is immutable there" if by_tag else ""
    return _answer(status, "the manifest", source, hint)


def _answer(status: str, what: str, source: str, hint: str | None) -> UnavailableError:
    return UnavailableError(
        "registry.answer", f"the registry answers {status} to {what}", source=source, hint=hint
    )


def _error_code(reply: Reply) -> str | None:
    """The specification's error code in the body; never its free text, which may repeat what we sent."""
    if reply.content_type != "application/json":
        return None
    with suppress(ParseError, UnavailableError):
        document = Fields.of(parse_json(reply.body(_MAX_ERROR), source="error"))
        for error in document.objects("errors"):
            code = error.optional_text("code")
            return None if code is None or _ERROR_CODE.match(code) is None else code
    return None


def not_found(message: str, source: str, hint: str | None = None) -> UnavailableError:
    """The registry knows no such thing."""
    return UnavailableError("registry.not-found", message, source=source, hint=hint)


def other_digest(source: str) -> UnavailableError:
    """What came is not what the digest names."""
    return UnavailableError(
        "registry.digest",
        "the registry answers with other bytes than the digest names",
        source=source,
        hint="the registry's storage or a cache on the way is damaged, or somebody lies",
    )
