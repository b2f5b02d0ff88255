"""From the text of a plugin file to its classes: a fresh module each time, named by content.

``importlib.reload`` serves stale code after an edit of the same size and time stamp, so it is never used.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import traceback
import types
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from acc.errors import InvalidInput, PluginError
from acc.hashes import text_sha256
from acc.models import BUILT_IN
from acc.plugins.helpers import ROOT, Linker, composed, is_ours, split, statements
from acc.plugins.source import filename_of
from acc.plugins.types import KINDS, Kind, PluginClass, check, kind_of, missing_methods
from acc.text import text_of

NOT_FOR_PLUGINS = frozenset({"accsite", "workers", "django"})
_PLUGIN_MODULE, _HELPER_MODULE = "acc_plugin", "acc_plugin_helper"


def load_source(text: str, path: str, sha256: str = "") -> list[PluginClass]:
    """Run the source of a plugin, with its helpers if it has any, and return its classes, in order of definition.

    text: as ``acc.plugins.helpers`` puts it together; ``sha256`` is of all of it. Helpers become modules with private
    names of their content. path: relative to the plugin root, for messages. Raises PluginError (sentence, line,
    traceback) for whatever the file does wrong, ``sys.exit`` and a syntax error included. What it prints goes where
    prints go.
    """
    sha256 = sha256 or text_sha256(text)
    filename = filename_of(path, sha256)
    own, parts = split(text)
    module = types.ModuleType(f"{_PLUGIN_MODULE}_{sha256[:16]}")
    before = dict(sys.modules)
    try:
        helpers = _Helpers(parts)
        tree = _run(module, own, path, filename, helpers)
        _refuse_unkept(before, path)
        return _classes(module, tree, _File(path, text, sha256, helpers.beside(path)))
    except BaseException as error:
        for name in [name for name in sys.modules if name.startswith(_PLUGIN_MODULE) or is_ours(name)]:
            if name not in before:
                del sys.modules[name]
        if module.__name__ in before:
            sys.modules[module.__name__] = before[module.__name__]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise _plugin_error(error, filename, path) from error


class _Helpers:
    """Loads helpers of one plugin from the texts that are kept with it, each once."""

    def __init__(self, parts: Mapping[str, str]) -> None:
        self._parts = parts
        self._loading: list[str] = []
        self.loaded: dict[str, str] = {}
        self.linker = Linker(parts, self.load)

    def load(self, path: str) -> str:
        """Run a helper, unless a module of its content is there already, and return the name of its module."""
        name = f"{_HELPER_MODULE}_{self._hash_of(path)[:16]}"
        if path in self._loading:
            others = [other for other in self._loading if other != path]
            what = (
                f"{path} and {' and '.join(others)} import each other" if others else f"{path} imports itself"
            )
            raise PluginError(f"{what}; let one import the other")
        self.loaded[path] = name
        if name in sys.modules:
            return name
        self._loading.append(path)
        try:
            _run(
                types.ModuleType(name), self._parts[path], path, filename_of(path, self._hash_of(path)), self
            )
        except PluginError as error:
            where = f", line {error.line}" if error.line else ""
            raise PluginError(
                f"its helper {path}{where}: {error.message}" if error.path == path else error.message
            ) from error
        except Exception as error:
            raise PluginError(f"its helper {path} {_at_import(error, path, self._hash_of(path))}") from error
        finally:
            self._loading.pop()
        return name

    def beside(self, path: str) -> frozenset[str]:
        """Return the modules of the files in a plugin's own folder, if the plugin is a folder."""
        folder, _, name = path.rpartition("/")
        if name != "__init__.py":
            return frozenset()
        return frozenset(module for part, module in self.loaded.items() if part.startswith(f"{folder}/"))

    def _hash_of(self, path: str) -> str:
        """Return a hash of a helper's text and of those of the helpers that it may import."""
        return text_sha256(composed(path, self._parts[path], self._parts.get))


def _run(module: types.ModuleType, text: str, path: str, filename: str, helpers: _Helpers) -> ast.Module:
    """Run the text of one file in its module; return what was parsed."""
    module.__file__ = filename
    # Tracebacks and inspect.getsource find the text of this very version, not what is on disk by then.
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    # Some editors begin a file with a byte order mark, which is no Python.
    tree = ast.parse(text.removeprefix("\ufeff"), filename)
    _refuse_imports(tree, path)
    helpers.linker.link(tree, path)
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # dataclasses and typing look their module up there
    try:
        # dont_inherit: the plugin's own __future__ imports count, not those of this file.
        exec(compile(tree, filename, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - trusted code
    except BaseException:
        if before is None:
            del sys.modules[module.__name__]
        raise
    return tree


def _at_import(error: Exception, path: str, sha256: str) -> str:
    """Return what a helper does wrong, and on which line."""
    line = error.lineno if isinstance(error, SyntaxError) else _line_in(error, filename_of(path, sha256))
    what = (
        f"syntax error: {error.msg}"
        if isinstance(error, SyntaxError)
        else f"raises {type(error).__name__}: {error}"
    )
    return f"cannot be imported: {what}{f', line {line}' if line else ''}"


def _refuse_unkept(before: Mapping[str, types.ModuleType], path: str) -> None:
    """Raise PluginError if something of the plugins folder was imported in another way than by its name."""
    for name in sorted(sys.modules.keys() - before.keys()):
        if is_ours(name) and name != ROOT:
            raise PluginError(
                f"imports {name} in a way that cannot be kept with it; write 'from {name} import ...'",
                path=path,
            )


def built_in_models() -> list[PluginClass]:
    """Return the architectures that come with ACC."""
    found = []
    for name, cls in sorted(BUILT_IN.items()):
        file = Path(inspect.getsourcefile(cls) or "")
        text = file.read_text(encoding="utf-8")
        found.append(
            PluginClass("model", name, cls, f"acc/models/{file.name}", text_sha256(text), text, built_in=True)
        )
    return found


def _refuse_imports(tree: ast.Module, path: str) -> None:
    for node in statements(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [] if node.level else [node.module or ""]
        else:
            continue
        for name in names:
            if name.partition(".")[0] in NOT_FOR_PLUGINS:
                raise PluginError(
                    f"imports '{name}'; a plugin imports acc.api and libraries, and nothing of the site",
                    path=path,
                    line=node.lineno,
                )


class _File(NamedTuple):
    """A plugin's path, whole text and hash. beside: modules whose classes are the plugin's own, of one in a folder."""

    path: str
    text: str
    sha256: str
    beside: frozenset[str]


def _classes(module: types.ModuleType, tree: ast.Module, file: _File) -> list[PluginClass]:
    lines = {node.name: node.lineno for node in statements(tree) if isinstance(node, ast.ClassDef)}
    own = [
        (cls, kind)
        for cls in dict.fromkeys(value for value in vars(module).values() if isinstance(value, type))
        if (cls.__module__ == module.__name__ or cls.__module__ in file.beside)
        and (kind := kind_of(cls)) is not None
        and not cls.__name__.startswith("_")
    ]
    # A class that others of the file build upon need not be complete.
    offered = [(cls, kind) for cls, kind in own if not (_incomplete(cls, kind) and _is_base(cls, own))]
    found: list[PluginClass] = []
    for cls, kind in offered or own:
        try:
            check(cls, kind)
        except PluginError as error:
            error.line = error.line or lines.get(cls.__name__)
            raise
        found.append(PluginClass(kind, cls.__name__, cls, file.path, file.sha256, file.text))
    names = [(plugin.kind, plugin.name) for plugin in found]
    for kind, name in names:
        if names.count((kind, name)) > 1:
            raise PluginError(
                f"defines class {name} twice; give one of them another name", line=lines.get(name)
            )
    if not found:
        bases = ", ".join(base.__name__ for base, _ in KINDS.values())
        more = ""
        if file.path.endswith("/__init__.py"):
            name = file.path.split("/")[-2]
            more = (
                f". Import here what the folder's files define; a folder of helpers alone is called _{name}"
            )
        raise PluginError(f"defines no class that is a {bases}; subclass one of acc.api{more}", line=1)
    return found


def _incomplete(cls: type, kind: Kind) -> bool:
    return inspect.isabstract(cls) or bool(missing_methods(cls, kind))


def _is_base(cls: type, own: list[tuple[type, Kind]]) -> bool:
    return any(other is not cls and issubclass(other, cls) for other, _ in own)


def _plugin_error(error: BaseException, filename: str, path: str) -> PluginError:
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, PluginError):
        # Python wraps what a descriptor's __set_name__ raises; the sentence is inside.
        line = _line_in(error, filename)
        return PluginError(error.__cause__.message, path=path, line=line, detail=_detail(error, filename))
    if isinstance(error, PluginError):
        cause = error.__cause__ or error
        line = _line_in(cause, filename) or error.line
        return PluginError(error.message, path=path, line=line, detail=_detail(cause, filename))
    if isinstance(error, SyntaxError) and error.filename in {filename, None}:
        return PluginError(
            f"syntax error: {error.msg}", path=path, line=error.lineno, detail=_detail(error, filename)
        )
    if isinstance(error, SystemExit):
        message = "calls sys.exit at import; a plugin may only define things there"
    elif isinstance(error, MemoryError):
        message = "asks for more memory than a plugin is given at import; do the work in a method"
    elif isinstance(error, ModuleNotFoundError):
        message = f"cannot import '{error.name}': it is not installed; install it, or import what is"
    elif isinstance(error, ImportError):
        message = f"import error: {text_of(error)}"
    elif isinstance(error, InvalidInput):
        message = text_of(error)
    else:
        message = f"raises {type(error).__name__} at import: {text_of(error)}"
    return PluginError(message, path=path, line=_line_in(error, filename), detail=_detail(error, filename))


def _line_in(error: BaseException, filename: str) -> int | None:
    """Return the deepest line of the plugin's own file in the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == filename), None)


def _detail(error: BaseException, filename: str) -> str:
    """Return the traceback from the plugin's own code on, without the loader's frames; empty if it has none."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != filename:
        frames = frames.tb_next
    if frames is None and not isinstance(error, SyntaxError):
        return ""
    return "".join(traceback.format_exception(type(error), error, frames, chain=False))
