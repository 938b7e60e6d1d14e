"""Explicit `Any` in the public signatures of the distributions, found by griffe.

Public is what the ``__all__`` of a module without underscore lists; of a class also its
methods and attributes.  Overloads count, and so does what only type checkers see.
"""

from __future__ import annotations

from collections import Counter

import griffe
from dists import all_dists


def count_public_any() -> dict[str, int]:
    """Return how many there are in each signature, by the path of what has it."""
    found: Counter[str] = Counter()
    dists = all_dists().values()
    loader = griffe.GriffeLoader(search_paths=[dist.path / "src" for dist in dists])
    for dist in dists:
        package = loader.load(dist.import_name)
        assert isinstance(package, griffe.Module)
        loader.resolve_aliases()
    for dist in dists:
        package = loader.modules_collection[dist.import_name]
        for module in (package, *package.modules.values()):
            if module.is_alias or module.name.startswith("_"):
                continue
            for exported in module.exports or ():
                member = module.members.get(str(exported))
                if member is not None:
                    _visit(member, found)
    return {path: number for path, number in found.items() if number}


def _visit(member: griffe.Object | griffe.Alias, found: Counter[str]) -> None:
    try:
        thing = member.final_target if isinstance(member, griffe.Alias) else member
    except griffe.AliasResolutionError:
        return  # of the standard library
    path = thing.path
    if path in found:
        return
    if isinstance(thing, griffe.Function):
        functions = [thing, *(thing.overloads or ())]
        found[path] = sum(map(_in_function, functions))
    elif isinstance(thing, griffe.Attribute):
        found[path] = _in_expression(thing.annotation)
    elif isinstance(thing, griffe.Class):
        found[path] = sum(map(_in_expression, thing.bases))
        for name, overloads in thing.overloads.items():
            if overloads:  # in place of the function behind them
                found[f"{path}.{name}"] = sum(map(_in_function, overloads))
        for name, inner in thing.members.items():
            if not name.startswith("_") or name.endswith("__"):
                _visit(inner, found)


def _in_function(function: griffe.Function) -> int:
    expressions = [function.returns, *(p.annotation for p in function.parameters)]
    return sum(map(_in_expression, expressions))


def _in_expression(expression: str | griffe.Expr | None) -> int:
    if isinstance(expression, griffe.Expr):
        names = (e for e in expression.iterate() if isinstance(e, griffe.ExprName))
        return sum(name.name == "Any" for name in names)
    return 0
