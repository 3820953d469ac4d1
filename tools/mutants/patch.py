"""Puts a change into running modules, or into a module while it is imported."""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.machinery
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tools.mutants.operators import Mutant, mutants_of

PACKAGE = "glassclave"


@dataclass(frozen=True, slots=True)
class Source:
    """A module under test. ``name``: its path below the package's folder."""

    path: Path
    name: str
    tree: ast.Module = field(repr=False)
    mutants: list[Mutant] = field(repr=False)
    functions: list[types.FunctionType] = field(repr=False)

    @classmethod
    def read(cls, path: Path, package: Path) -> Source:
        """Imported, with its changes and its live functions."""
        name = path.relative_to(package).as_posix()
        tree = ast.parse(path.read_text("utf-8"))
        importlib.import_module(_dotted(name))
        here = [one for one in gc.get_objects() if isinstance(one, types.FunctionType)]
        functions = [one for one in here if one.__code__.co_filename == str(path)]
        return cls(path, name, tree, mutants_of(tree), functions)

    def is_hot(self, mutant: Mutant) -> bool:
        """Whether running code can be exchanged: only what is in a function's body."""
        return mutant.function is not None and bool(self._targets(mutant.function))

    def _targets(self, function: str) -> list[types.FunctionType]:
        return [one for one in self.functions if one.__code__.co_qualname == function]

    def exchange(self, mutant: Mutant) -> None:
        """Gives the live functions the code of the change. There is no way back: for forked processes."""
        mutant.place.put(mutant.node)
        forget()
        function = mutant.function or ""
        codes = {
            code.co_firstlineno: code
            for code in _codes(compile(self.tree, str(self.path), "exec"))
            if code.co_qualname == function
        }
        for target in self._targets(function):
            target.__code__ = codes[target.__code__.co_firstlineno]

    def rebind(self, mutant: Mutant) -> bool:
        """Gives every module that has a constant or a default of this one the value of the change. False: it
        is neither (a class's own code), and only an import of everything anew will do."""
        before = vars(sys.modules[_dotted(self.name)])
        mutant.place.put(mutant.node)
        forget()
        after: dict[str, object] = {
            name: before[name]
            for name in ("__name__", "__file__", "__package__", "__path__")
            if name in before
        }
        exec(compile(self.tree, str(self.path), "exec"), after)
        rebound = False
        for name, new in after.items():
            old = before.get(name)
            if isinstance(new, (types.FunctionType, type)):
                rebound |= _take_defaults(old, new)
            elif not name.startswith("__") and not isinstance(new, types.ModuleType) and old != new:
                rebound = True
                for module in list(sys.modules.values()):
                    if getattr(module, "__dict__", {}).get(name) is old:
                        setattr(module, name, new)
        return rebound


def forget() -> None:
    """Empties every cache of a function: what was computed while tests were collected would hide a change."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == PACKAGE:
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def _take_defaults(old: object, new: object) -> bool:
    """Defaults of a function, of a class's methods and, in a dataclass, of its fields."""
    if isinstance(old, type) and isinstance(new, type):
        pairs = [(vars(old).get(name), value) for name, value in vars(new).items()]
        taken = [_take_defaults(left, right) for left, right in pairs]  # all of them, not up to the first
        return any(taken)
    left, right = getattr(old, "__func__", old), getattr(new, "__func__", new)
    if not isinstance(left, types.FunctionType) or not isinstance(right, types.FunctionType):
        return False
    if (left.__defaults__, left.__kwdefaults__) == (right.__defaults__, right.__kwdefaults__):
        return False
    left.__defaults__, left.__kwdefaults__ = right.__defaults__, right.__kwdefaults__
    return True


def _dotted(name: str) -> str:
    return f"{PACKAGE}." + name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)


def import_changed(path: Path, package: Path, mutant_name: str) -> None:
    """From now on the import of the module at ``path`` has the change of that name."""
    tree = ast.parse(path.read_text("utf-8"))
    mutant = next(one for one in mutants_of(tree) if one.name == mutant_name)
    mutant.place.put(mutant.node)
    changed, module = compile(tree, str(path), "exec"), _dotted(path.relative_to(package).as_posix())
    genuine = importlib.machinery.SourceFileLoader.get_code

    def get_code(loader: importlib.machinery.SourceFileLoader, fullname: str) -> types.CodeType | None:
        return changed if fullname == module else genuine(loader, fullname)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
