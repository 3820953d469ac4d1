"""One file per source of variation: what it matches, its canonical form, why that is safe.

A rule is a module of this folder that exports ``RULE``; it needs cases in ``tests/vectors/normalizers`` and a
row in ``docs/spec/layout-glassclave-1.md`` (`tests/unit/normalizers/test_contract.py` insists).
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

from glassclave.normalizers.rule import Rule

__all__ = ["Rule", "rule_names", "rules"]


def rule_names() -> tuple[str, ...]:
    """Names of the modules that hold a rule, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "rule"))


@functools.cache
def rules(profile: str) -> tuple[Rule, ...]:
    """The rules that the layout ``profile`` applies, in the order of their modules' names."""
    return tuple(rule for rule in _all_rules() if rule.profile == profile)


@functools.cache
def _all_rules() -> tuple[Rule, ...]:
    found = []
    for name in rule_names():
        rule = importlib.import_module(f"{__name__}.{name}").RULE
        if not isinstance(rule, Rule):
            raise TypeError(f"{__name__}.{name}.RULE is not a Rule")
        found.append(rule)
    return tuple(found)
