"""The smallest changes that weaken, strengthen or drop a check, one at a time, on the syntax tree.

Left alone, because no check is in them: docstrings, messages and hints, annotations, decorators, imports.
A statement is dropped by ``if False:`` in front of it, so that a generator stays one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

MESSAGE_KEYWORDS = frozenset(
    {"hint", "field", "message", "offset", "source", "expected", "actual", "path", "repr"}
)
BOUND_KEYWORDS = frozenset({"limit", "most", "least", "size", "max_depth", "max_items", "validate"})
REPORTERS = re.compile(
    r"_?(failed|refused|refused_log|missing|inconsistent|wrong|passed|escape_untrusted|shown|Finding|Check"
    r"|not_checked|\w+Error)\Z"
)
"""Who writes what a person reads: of a call, only the reason code and the status decide anything."""
CODE = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9-]+)+\Z")
LONGEST_TEXT = 110
STRIPPED_METHODS = frozenset({"lower", "strip", "removeprefix", "removesuffix", "casefold"})
SWAPPED_CALLS = {"all": "any", "any": "all", "min": "max", "max": "min", "sorted": "list"}
SWAPPED_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
SWAPPED_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Mod: ast.FloorDiv, ast.FloorDiv: ast.Mod,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node hangs in its tree."""

    parent: ast.AST
    name: str
    index: int | None

    def put(self, node: ast.AST) -> None:
        """Another node in its place."""
        if self.index is None:
            setattr(self.parent, self.name, node)
        else:
            getattr(self.parent, self.name)[self.index] = node


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change. ``function``: outermost function that it is in the body of, ``None``: of the module's or
    a class's own code. ``name``: in which only one change of a module reads so."""

    place: Place = field(repr=False)
    node: ast.AST = field(repr=False)
    function: str | None
    scope: str
    lines: tuple[int, int]
    text: str
    name: str


@dataclass(frozen=True, slots=True)
class _At:
    """Where the walk is. ``statement``: first and last line whose execution reaches the node."""

    scope: str = ""
    function: str | None = None
    statement: tuple[int, int] = (0, 0)


def mutants_of(tree: ast.Module) -> list[Mutant]:
    """All changes of a module, in the order of its lines."""
    found: list[Mutant] = []
    seen: dict[str, int] = {}
    for place, node, new, at in _module(tree):
        text = _short(_text(node, new))
        name = f"{at.scope or 'module'}: {text}"
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            name += f" #{seen[name]}"
        ast.copy_location(new, node)
        ast.fix_missing_locations(new)
        found.append(Mutant(place, new, at.function, at.scope, at.statement, text, name))
    return found


def _text(old: ast.AST, new: ast.AST) -> str:
    written = ast.unparse(old)
    if isinstance(new, ast.If):
        return f"drop: {written}"
    before = _parts(old)
    after = [ast.unparse(new)] if isinstance(old, ast.BoolOp) and len(before) == 2 else _parts(new)
    if len(after) == len(before) - 1 and not isinstance(new, ast.Constant):
        gone = next((one for one, kept in zip(before, [*after, ""], strict=True) if one != kept), "")
        return f"without {gone}: {written}"
    return f"{written} → {ast.unparse(new)}"


def _parts(node: ast.AST) -> list[str]:
    """What can be left out of a literal or a call, in its order."""
    match node:
        case ast.Tuple(elts=elements) | ast.BoolOp(values=elements):
            return [ast.unparse(one) for one in elements]
        case ast.Dict(keys=keys):
            return [ast.unparse(one) for one in keys if one is not None]
        case ast.Call(args=arguments, keywords=keywords):
            return [ast.unparse(one) for one in (*arguments, *keywords)]
    return []


def _short(text: str) -> str:
    text = " ".join(text.split())
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]} … {text[-half:]}"


Found = Iterator[tuple[Place, ast.AST, ast.AST, _At]]


def _module(tree: ast.Module) -> Found:
    yield from _children(tree, _At())


def _children(node: ast.AST, at: _At) -> Found:
    for name, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            yield from _visit(Place(node, name, None), value, at)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, ast.AST):
                    yield from _visit(Place(node, name, index), item, at)


def _visit(place: Place, node: ast.AST, at: _At) -> Found:
    if _is_left_alone(place, node):
        return
    at = _moved(place, node, at)
    for new in _changes(place, node):
        yield place, node, new, at
    if isinstance(node, ast.Call) and REPORTERS.match(_called(node)):
        yield from _reported(node, at)
        return
    yield from _children(node, at)


def _is_left_alone(place: Place, node: ast.AST) -> bool:
    if place.name in ("annotation", "returns", "decorator_list", "bases"):
        return True
    if isinstance(
        node, (ast.Import, ast.ImportFrom, ast.JoinedStr, ast.operator, ast.cmpop, ast.expr_context)
    ):
        return True
    if isinstance(node, ast.keyword) and node.arg in MESSAGE_KEYWORDS:
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    targets = [one.id for one in getattr(node, "targets", ()) if isinstance(one, ast.Name)]
    return "__all__" in targets


def _moved(place: Place, node: ast.AST, at: _At) -> _At:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        scope = f"{at.scope}.{node.name}" if at.scope else node.name
        return _At(scope, at.function, (node.lineno, node.end_lineno or node.lineno))
    if isinstance(node, ast.stmt):
        function = at.function
        if function is None and isinstance(place.parent, ast.FunctionDef) and place.name == "body":
            function = at.scope
        return _At(at.scope, function, _span(node))
    return at


def _span(node: ast.stmt) -> tuple[int, int]:
    """Of a compound statement only its head: its body may never be reached."""
    body = getattr(node, "body", None)
    last = body[0].lineno - 1 if body else (node.end_lineno or node.lineno)
    return node.lineno, max(node.lineno, last)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _reported(node: ast.Call, at: _At) -> Found:
    for index, argument in enumerate(node.args):
        if isinstance(argument, ast.Constant):
            yield from _visit(Place(node, "args", index), argument, at)
    for keyword in node.keywords:
        if keyword.arg in ("code", "status", "severity"):
            yield from _visit(Place(keyword, "value", None), keyword.value, at)


def _changes(place: Place, node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.expr):
        yield from _of_truth(place, node)
        yield from _of_expression(place, node)
    elif isinstance(node, ast.stmt) and _can_be_dropped(place, node):
        yield ast.If(test=ast.Constant(False), body=[node], orelse=[])


def _can_be_dropped(place: Place, node: ast.stmt) -> bool:
    # The one statement below an `if` without `else` is dropped by `if False` already.
    parent = place.parent
    if isinstance(parent, ast.If) and not parent.orelse and len(parent.body) == 1:
        return False
    if isinstance(node, ast.Return):
        return not isinstance(parent, ast.FunctionDef)
    called = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    return called or isinstance(node, (ast.Raise, ast.AugAssign, ast.Continue, ast.Break))


def _of_truth(place: Place, node: ast.expr) -> Iterator[ast.expr]:
    """A condition that always or never holds."""
    parent = place.parent
    if place.name in ("test", "ifs"):
        if not isinstance(parent, ast.While):
            yield ast.Constant(True)
        yield ast.Constant(False)
    elif _is_condition(node) and (
        isinstance(parent, (ast.Return, ast.keyword, ast.Assign, ast.GeneratorExp))
        and place.name != "targets"
    ):
        yield ast.Constant(True)
        yield ast.Constant(False)


def _is_condition(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return _called(node) in ("all", "any", "bool", "isinstance", "startswith", "endswith", "same_bytes")
    negated = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    return negated or isinstance(node, ast.Compare)


def _of_expression(place: Place, node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.BoolOp(op=op, values=values):
            for index in range(len(values)):
                rest = [*values[:index], *values[index + 1 :]]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(op=op, values=rest)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Compare():
            yield from _of_comparison(place, node)
        case ast.Constant():
            yield from _of_constant(node)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in SWAPPED_OPERATORS:
            if not any(isinstance(one, ast.JoinedStr) or _is_text(one) for one in (left, right)):
                yield ast.BinOp(left=left, op=SWAPPED_OPERATORS[type(op)](), right=right)
        case ast.Tuple(elts=elements, ctx=ast.Load()) if not isinstance(
            place.parent, (ast.Return, ast.Subscript)
        ):
            yield from _without_each(elements, lambda rest: ast.Tuple(elts=rest, ctx=ast.Load()))
        case ast.Dict(keys=keys, values=values) if len(keys) > 1:
            for index in range(len(keys)):
                yield ast.Dict(
                    keys=[*keys[:index], *keys[index + 1 :]], values=[*values[:index], *values[index + 1 :]]
                )
        case ast.Call():
            yield from _of_call(node)


def _without_each(
    elements: list[ast.expr], build: Callable[[list[ast.expr]], ast.expr]
) -> Iterator[ast.expr]:
    if len(elements) > 1:
        for index in range(len(elements)):
            yield build([*elements[:index], *elements[index + 1 :]])


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _of_comparison(place: Place, node: ast.Compare) -> Iterator[ast.expr]:
    for index, one in enumerate(node.ops):
        # `a == b` as a whole condition is covered by True and False.
        if (
            len(node.ops) == 1
            and place.name == "test"
            and not isinstance(one, (ast.Lt, ast.LtE, ast.Gt, ast.GtE))
        ):
            continue
        ops = [*node.ops[:index], SWAPPED_COMPARISONS[type(one)](), *node.ops[index + 1 :]]
        yield ast.Compare(left=node.left, ops=ops, comparators=node.comparators)
    if len(node.ops) == 2:
        yield ast.Compare(left=node.left, ops=node.ops[:1], comparators=node.comparators[:1])
        yield ast.Compare(left=node.comparators[0], ops=node.ops[1:], comparators=node.comparators[1:])


def _of_constant(node: ast.Constant) -> Iterator[ast.expr]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
        yield ast.Constant(value - 1)
    elif isinstance(value, str) and CODE.match(value):
        yield ast.Constant(value + "-")
    elif isinstance(value, str) and r"\Z" in value:
        yield ast.Constant(value.replace(r"\Z", ""))


def _of_call(node: ast.Call) -> Iterator[ast.expr]:
    name = _called(node)
    if isinstance(node.func, ast.Name) and name in SWAPPED_CALLS:
        other = ast.Name(id=SWAPPED_CALLS[name], ctx=ast.Load())
        yield ast.Call(func=other, args=node.args, keywords=[] if name == "sorted" else node.keywords)
    if isinstance(node.func, ast.Attribute) and name in STRIPPED_METHODS:
        yield node.func.value
    if name == "only":
        yield from _without_each(
            node.args, lambda rest: ast.Call(func=node.func, args=rest, keywords=node.keywords)
        )
    for index, keyword in enumerate(node.keywords):
        if keyword.arg in BOUND_KEYWORDS:
            kept = [*node.keywords[:index], *node.keywords[index + 1 :]]
            yield ast.Call(func=node.func, args=node.args, keywords=kept)
