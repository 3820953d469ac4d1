"""The one error hierarchy: what was wrong, where, and what to do.

Every error carries a stable dotted ``code`` (the same words that a verdict uses) and maps to one exit
status of the command line (``docs/spec/verdict.md``, "Exit codes").
"""

from __future__ import annotations

from typing import ClassVar


class GlassclaveError(Exception):
    """Base of all errors that Glassclave raises on purpose.

    ``code``: stable dotted reason, e.g. ``eif.section.overlap``.
    ``message``: one sentence, what was wrong.
    ``offset``: byte offset in the input, where one is known.
    ``field``: path of the field in the input, e.g. ``pcrs[3]``, where one is known.
    ``source``: name of the input as the user gave it (a file, a reference), where one is known.
    ``hint``: what to do about it.
    """

    exit_status: ClassVar[int] = 3

    def __init__(
        self,
        code: str,
        message: str,
        *,
        offset: int | None = None,
        field: str | None = None,
        source: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.offset = offset
        self.field = field
        self.source = source
        self.hint = hint

    def __str__(self) -> str:
        where = [
            text
            for text in (
                self.source,
                None if self.field is None else f"field {self.field}",
                None if self.offset is None else f"offset {self.offset}",
            )
            if text is not None
        ]
        place = f" ({', '.join(where)})" if where else ""
        return f"{self.message}{place} [{self.code}]"


class ParseError(GlassclaveError):
    """Input bytes are not what their format demands. Nothing could be judged."""


class LimitError(ParseError):
    """Input is larger, deeper or longer than this tool is willing to hold."""


class UnavailableError(GlassclaveError):
    """Something outside (a file, a registry, a service, a program) could not be had."""


class RefusedError(GlassclaveError):
    """The input was understood and is refused: a judgement, not a failure to judge."""

    exit_status = 1


class UsageError(GlassclaveError):
    """The request itself is incomplete or contradictory; nothing was tried."""

    exit_status = 2
