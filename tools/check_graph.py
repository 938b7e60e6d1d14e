"""Check what the packages import and declare; used by ``hatch run layers``.

Every sibling that is imported is declared, and what is private to it is left alone, as
its next version may lack it; every pin admits the sibling's version; nothing goes in a
circle; and nothing imports the standard multiprocessing.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from dists import ROOT, all_dists

FORBIDDEN = {"multiprocessing", "_multiprocessing", "_posixshmem"}
IMPORTERS = {"import_module", "__import__"}


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of what is imported, also by a function."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=str(module), level=0, names=aliases):
                for alias in aliases:
                    yield node.lineno, f"{module}.{alias.name}"
            case ast.Call(
                func=ast.Name(id=function) | ast.Attribute(attr=function),
                args=[ast.Constant(value=str(module)), *_],
            ) if function in IMPORTERS:
                yield node.lineno, module


def is_private(name: str) -> bool:
    return any(p.startswith("_") and not p.endswith("__") for p in name.split("."))


def problems(root: Path = ROOT) -> list[str]:
    """Describe everything that is wrong in the repository at *root*."""
    found: list[str] = []
    dists = all_dists(root)
    by_import = {dist.import_name: name for name, dist in dists.items()}
    graph: dict[str, set[str]] = {}
    for name, dist in dists.items():
        declared = dist.extras | dist.requires
        graph[name] = declared.keys() & dists.keys()
        for sibling in sorted(graph[name]):
            version = dists[sibling].version
            if not declared[sibling].specifier.contains(version, prereleases=True):
                found.append(f"{name}: {declared[sibling]} excludes {version}")
            if not declared[sibling].specifier:
                found.append(f"{name}: {sibling} is not pinned to a range")
        for file in sorted((dist.path / "src").rglob("*.py")):
            for line, module in imports(ast.parse(file.read_bytes(), str(file))):
                where = f"{file.relative_to(root)}:{line}"
                top = module.partition(".")[0]
                sibling = by_import.get(top, name)
                if top in FORBIDDEN:
                    found.append(f"{where}: imports {top}")
                elif sibling not in {name, *graph[name]}:
                    found.append(f"{where}: {name} does not declare {sibling}")
                elif sibling != name and is_private(module):
                    found.append(f"{where}: {module} is private to {sibling}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append(f"cycle: {' -> '.join(error.args[1])}")
    return found


def main() -> int:
    found = problems()
    for problem in found:
        print(problem)
    print(f"{len(all_dists())} distributions, {len(found)} problems")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
