"""Finds circles of imports: modules of which none can be read, tested or moved without the others.

Every import counts, those within functions and those for type checkers alone as well. ``python -m scripts.circles``
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

import grimp

PACKAGES = ("acc", "accsite", "workers")
KNOWN: tuple[frozenset[str], ...] = ()
"""Circles that are still to be broken: there is none, and none is to be added."""


def imports() -> dict[str, set[str]]:
    """Return what each module of the product imports of the product."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def circles(imported: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or by way of others."""
    below = {module: _below(module, imported) for module in imported}
    groups = {
        tuple(sorted(other for other in below[module] if module in below.get(other, ())))
        for module in imported
        if module in below[module]
    }
    return [list(group) for group in sorted(groups)]


def _below(module: str, imported: Mapping[str, Iterable[str]]) -> set[str]:
    """Return what a module imports, and what that imports, and so on."""
    found: set[str] = set()
    left = [module]
    while left:
        new = set(imported.get(left.pop(), ())) - found
        found |= new
        left += new
    return found


def complaints(found: Iterable[Iterable[str]], known: Iterable[frozenset[str]] = KNOWN) -> list[str]:
    """Return in words the circles that are not known, and the known modules that are in none any more."""
    groups, known = [frozenset(group) for group in found], list(known)
    said = [
        f"a circle of imports: {', '.join(sorted(group))}"
        for group in groups
        if not any(group <= each for each in known)
    ]
    out = frozenset().union(*known) - frozenset().union(*groups)
    if out:
        said.append(
            f"in no circle any more, take out of KNOWN in scripts/circles.py: {', '.join(sorted(out))}"
        )
    return said


def main() -> int:
    """Print what is wrong and return the exit status: 0 if nothing is."""
    found = circles(imports())
    said = complaints(found)
    print("\n".join(said) or f"{len(found)} circles of imports")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
