"""GitHub's expressions as far as our files use them; anything else is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<op>&&|\|\||==|!=|[!()])|(?P<name>[A-Za-z_][\w.-]*))")
_PLACE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_ASKS_STATUS = re.compile(r"\b(always|success|failure|cancelled)\s*\(")
STATUS = "(status)"
"""Where a context holds ``success`` or ``failure``: of the steps before, or of the jobs that are needed."""


class Expression:
    """One expression over a context such as ``{"inputs": {...}, "steps": {...}}``."""

    def __init__(self, source: str, context: Mapping[str, Any]) -> None:
        self._source = source
        self._context = context
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while source[at:].strip():
            match = _TOKEN.match(source, at)
            if match is None or match.lastgroup is None:
                raise ValueError(f"not understood: {source[at:]!r}")
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()

    def value(self) -> Any:
        found = self._or()
        if self._tokens:
            raise ValueError(f"left over in {self._source!r}: {self._tokens}")
        return found

    def _take(self, *operators: str) -> str | None:
        if self._tokens and self._tokens[0][0] == "op" and self._tokens[0][1] in operators:
            return self._tokens.pop(0)[1]
        return None

    def _or(self) -> Any:
        left = self._and()
        while self._take("||"):
            right = self._and()
            left = left or right
        return left

    def _and(self) -> Any:
        left = self._equal()
        while self._take("&&"):
            right = self._equal()
            left = right if left else left
        return left

    def _equal(self) -> Any:
        left = self._unary()
        while operator := self._take("==", "!="):
            right = self._unary()
            left = (str(left).lower() == str(right).lower()) is (operator == "==")
        return left

    def _unary(self) -> Any:
        if self._take("!"):
            return not self._unary()
        if self._take("("):
            inner = self._or()
            if not self._take(")"):
                raise ValueError(f"no closing parenthesis in {self._source!r}")
            return inner
        kind, text = self._tokens.pop(0)
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind != "name":
            raise ValueError(f"unexpected {text!r} in {self._source!r}")
        if text in ("true", "false"):
            return text == "true"
        if text in ("always", "success", "failure", "cancelled"):
            if not (self._take("(") and self._take(")")):
                raise ValueError(f"{text} is a function")
            return text == "always" or text == self._context.get(STATUS, "success")
        return self._lookup(text)

    def _lookup(self, path: str) -> Any:
        value: Any = self._context
        for name in path.split("."):
            if not isinstance(value, Mapping):
                return ""
            value = value.get(name, "")
        return value


def evaluate(text: str, context: Mapping[str, Any]) -> str:
    """``text`` with every ``${{ … }}`` replaced."""

    def shown(match: re.Match[str]) -> str:
        value = Expression(match[1], context).value()
        return str(value).lower() if isinstance(value, bool) else str(value)

    return _PLACE.sub(shown, text)


def holds(condition: object, context: Mapping[str, Any]) -> bool:
    """An ``if:``, with or without ``${{ }}``; after a failure only one that asks for it holds."""
    text = "true" if condition is True else "false" if condition is False else str(condition)
    if not _ASKS_STATUS.search(text) and context.get(STATUS, "success") != "success":
        return False
    match = _PLACE.fullmatch(text.strip())
    return bool(Expression(match[1] if match else text, context).value())
