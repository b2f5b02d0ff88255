"""A plugin file and the helpers beside it as one text with one hash, so that all of it is kept wherever it is kept.

A helper is another ``.py`` file of the plugins folder that the plugin imports (``from plugins.models._nets import
mlp``, ``from ._nets import mlp``), or that such a helper imports. The text of a plugin is that of its file, and behind
it, each after a line ``# acc: helper models/_nets.py``, those of its helpers. A plugin without helpers is its file.
Torch-free.
"""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from acc.errors import PluginError

ROOT = "plugins"
MARK = "# acc: helper "
_MARKED = re.compile(rf"^{re.escape(MARK)}(\S+\.py)\n", re.MULTILINE)


@dataclass(frozen=True)
class Import:
    """An import from the plugins folder: ``module`` by its dotted name below it, '' for the folder itself."""

    node: ast.Import | ast.ImportFrom
    module: str
    level: int


def composed(path: str, text: str, read: Callable[[str], str | None]) -> str:
    """Return a plugin's text with those of its helpers; ``read`` gives the text of a file, or None.

    What cannot be found is left out: whoever loads the text says so, with the line.
    """
    found: dict[str, str] = {}
    waiting = [(path, text)]
    while waiting:
        for helper in _helpers_of(*waiting.pop(), read):
            content = read(helper)
            if helper != path and helper not in found and content is not None:
                found[helper] = content
                waiting.append((helper, content))
    return "".join([_ended(text) if found else text, *(_part(name, found[name]) for name in sorted(found))])


def split(text: str) -> tuple[str, dict[str, str]]:
    """Return the text of the plugin's own file, and path -> text of its helpers."""
    first, *rest = _MARKED.split(text)
    return first, dict(zip(rest[::2], rest[1::2], strict=True))


def is_marked(text: str) -> bool:
    """Return whether a text has a line that marks a helper, as no file of a plugin must have."""
    return _MARKED.search(_ended(text)) is not None


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield all statements of a file, those inside of others too; expressions, most of a file, are not walked."""
    waiting: deque[ast.AST] = deque([tree])
    while waiting:
        node = waiting.popleft()
        for inside in ("body", "handlers", "cases", "orelse", "finalbody"):
            waiting.extend(getattr(node, inside, ()))
        if isinstance(node, ast.stmt):
            yield node


def imports_of(tree: ast.Module, path: str) -> Iterator[Import]:
    """Yield the imports of a file from the plugins folder; raises PluginError for one that leads out of it."""
    package = path.split("/")[:-1]
    for node in statements(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            up = node.level - 1
            if up > len(package):
                raise PluginError(
                    f"imports from above the {ROOT} folder; a plugin keeps what lies in that folder",
                    path=path,
                    line=node.lineno,
                )
            start = package[: len(package) - up]
            yield Import(node, ".".join([*start, *([node.module] if node.module else [])]), node.level)
        elif isinstance(node, ast.ImportFrom) and is_ours(node.module or ""):
            yield Import(node, (node.module or "").partition(".")[2], 0)
        elif isinstance(node, ast.Import) and any(is_ours(alias.name) for alias in node.names):
            yield Import(node, "", 0)


def file_of(module: str, exists: Callable[[str], bool]) -> str | None:
    """Return the file of a module by its dotted name below the plugins folder, or None."""
    place = module.replace(".", "/")
    return next((name for name in (f"{place}.py", f"{place}/__init__.py") if module and exists(name)), None)


class Linker:
    """Puts the names of private modules in place of a plugin's imports from the plugins folder.

    ``module_of``: loads a helper by its path and returns the name of its module.
    """

    def __init__(self, parts: Mapping[str, str], module_of: Callable[[str], str]) -> None:
        self._parts, self._module_of = parts, module_of

    def link(self, tree: ast.Module, path: str) -> None:
        """Change the imports of ``tree``; raises PluginError, with the line, for what is no kept helper."""
        changed: dict[int, list[ast.stmt]] = {}
        for each in imports_of(tree, path):
            try:
                changed[id(each.node)] = list(self._linked(each))
            except PluginError as error:
                raise PluginError(error.message, path=path, line=each.node.lineno) from error
        if changed:
            _Replacer(changed).visit(tree)

    def _linked(self, each: Import) -> Iterator[ast.stmt]:
        node = each.node
        if isinstance(node, ast.Import):
            for alias in node.names:
                if not is_ours(alias.name):
                    yield ast.Import([alias])
                    continue
                if alias.name == ROOT:
                    raise _no_file(node)
                if alias.asname is None:
                    raise PluginError(
                        f"'import {alias.name}' cannot be kept; write 'from {alias.name} import ...', or give it a "
                        f"name: 'import {alias.name} as helper'"
                    )
                name = self._module_of(self._file(alias.name.partition(".")[2]))
                yield ast.Import([ast.alias(name, alias.asname)])
            return
        found = file_of(each.module, self._parts.__contains__)
        own = list(node.names)
        if found is not None:
            inside = {
                alias.name: file_of(f"{each.module}.{alias.name}", self._parts.__contains__) for alias in own
            }
            plain = [alias for alias in own if inside[alias.name] is None]
            own = [alias for alias in own if inside[alias.name] is not None]
            if plain:
                yield ast.ImportFrom(self._module_of(found), plain, 0)
        for alias in own:
            if alias.name == "*":
                raise _no_file(node)
            name = f"{each.module}.{alias.name}" if each.module else alias.name
            module = self._module_of(self._file(name, each.module))
            yield ast.Import([ast.alias(module, alias.asname or alias.name)])

    def _file(self, module: str, package: str = "") -> str:
        """Return the file of a module; ``package``: what it was imported from, which may be the file that is meant."""
        found = file_of(module, self._parts.__contains__)
        if found is None:
            places = [f"{ROOT}/{name.replace('.', '/')}.py" for name in (package, module) if name]
            there = f"is neither {' nor '.join(places)}" if len(places) > 1 else f"is no {places[0]}"
            raise PluginError(
                f"imports {ROOT}.{module}, and there {there}; a plugin keeps .py files of the {ROOT} folder that it "
                "imports by name"
            )
        return found


def _no_file(node: ast.stmt) -> PluginError:
    return PluginError(
        f"'{ast.unparse(node)}' names no file; name the file: from {ROOT}.models._nets import mlp"
    )


class _Replacer(ast.NodeTransformer):
    def __init__(self, changed: Mapping[int, list[ast.stmt]]) -> None:
        self._changed = changed

    def _replaced(self, node: ast.stmt) -> ast.stmt | list[ast.stmt]:
        new = self._changed.get(id(node))
        if new is None:
            return node
        return [ast.fix_missing_locations(ast.copy_location(each, node)) for each in new]

    visit_Import = visit_ImportFrom = _replaced  # noqa: N815 - names that ast calls


def is_ours(name: str) -> bool:
    """Return whether a module's name is that of the plugins folder or of something in it."""
    return name == ROOT or name.startswith(f"{ROOT}.")


def _helpers_of(path: str, text: str, read: Callable[[str], str | None]) -> Iterator[str]:
    """Yield the files that a file imports from the plugins folder, as far as there are such."""

    def exists(name: str) -> bool:
        return read(name) is not None

    try:
        found = list(imports_of(ast.parse(text.removeprefix("\ufeff")), path))
    except (SyntaxError, ValueError, PluginError, RecursionError):
        return  # told by whoever loads it
    for each in found:
        if isinstance(each.node, ast.Import):
            names = [alias.name.partition(".")[2] for alias in each.node.names if is_ours(alias.name)]
        else:
            start = f"{each.module}." if each.module else ""
            names = [each.module, *(start + alias.name for alias in each.node.names)]
        for name in names:
            file = file_of(name, exists)
            if file is not None:
                yield file


def _ended(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _part(name: str, text: str) -> str:
    return f"{MARK}{name}\n{_ended(text)}"
