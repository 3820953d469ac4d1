"""A policy written down: TOML, read strictly, so that a misspelt demand is an error, never a demand less."""

from __future__ import annotations

import tomllib

from glassclave.errors import LimitError, ParseError
from glassclave.fields import Fields
from glassclave.policy.model import (
    DEFAULT_SOURCE_REFS,
    DEFAULT_TRIGGERS,
    GITHUB_HOSTED,
    GITHUB_ISSUER,
    LOG_STATED,
    PUBLIC,
    STATEMENT_REQUIRED,
    Policy,
)

MAX_SIZE = 65536
ANY = "any"
"""What a file writes to give up a demand that has a default; nothing is given up by leaving a key out."""
KEYS = (
    "repository",
    "issuer",
    "signer-workflow",
    "source-refs",
    "source-digest",
    "triggers",
    "runner-environment",
    "visibility",
    "build-log",
    "statement",
)
_MAX_ENTRIES = 64
_MAX_DOTS = 256
"""In one line: the library keeps every beginning of a dotted key, of 30,000 parts four gigabytes."""


def load_policy(data: bytes, *, source: str) -> Policy:
    """The policy in a TOML file (keys: `KEYS`); what is left out has the default of `Policy`.

    Raises `ParseError` ``policy.toml``, ``policy.empty``, ``field.*``; `UsageError` ``policy.*`` for a value
    that no policy can have.
    """
    fields = Fields.of(_table(data, source), source=source)
    if not fields.values:
        raise ParseError(
            "policy.empty", "demands nothing", source=source, hint='begin with repository = "OWNER/NAME"'
        )
    fields.only(*KEYS)
    return Policy(
        repository=fields.text("repository"),
        issuer=_text(fields, "issuer", GITHUB_ISSUER),
        signer_workflow=fields.optional_text("signer-workflow"),
        source_refs=_texts(fields, "source-refs", DEFAULT_SOURCE_REFS),
        source_digest=fields.optional_text("source-digest"),
        triggers=_texts(fields, "triggers", DEFAULT_TRIGGERS),
        runner_environment=_unless_any(_text(fields, "runner-environment", GITHUB_HOSTED)),
        visibility=_unless_any(_text(fields, "visibility", PUBLIC)),
        build_log=_text(fields, "build-log", LOG_STATED),
        statement=_text(fields, "statement", STATEMENT_REQUIRED),
    )


def _table(data: bytes, source: str) -> dict[str, object]:
    if len(data) > MAX_SIZE:
        raise LimitError("policy.size", f"has {len(data)} bytes, at most {MAX_SIZE} are read", source=source)
    if max(line.count(b".") for line in data.split(b"\n")) > _MAX_DOTS:
        raise LimitError("policy.toml", f"has a line with more than {_MAX_DOTS} dots", source=source)
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ParseError("policy.toml", "is not UTF-8", offset=error.start, source=source) from error
    except tomllib.TOMLDecodeError as error:
        raise ParseError("policy.toml", f"is not TOML: {error}", source=source) from error
    except (RecursionError, ValueError) as error:  # brackets without end, numbers of thousands of digits
        raise ParseError(
            "policy.toml", "is nested too deeply, or holds too long a number", source=source
        ) from error


def _text(fields: Fields, name: str, default: str) -> str:
    return fields.text(name) if name in fields.values else default


def _texts(fields: Fields, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    return fields.texts(name, limit=_MAX_ENTRIES) if name in fields.values else default


def _unless_any(value: str) -> str | None:
    return None if value == ANY else value
