"""From the text of a plugin file to its classes: a fresh module each time, named by content.

``importlib.reload`` serves stale code after an edit of the same size and time stamp, so it is never used.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
import sys
import traceback
import types
from pathlib import Path

from acc.errors import InvalidInput, PluginError
from acc.models import BUILT_IN
from acc.plugins.types import PluginClass, check, kind_of

CONTEXT_LINES = 3  # shown before and after the line at fault


def sha256_of(text: str) -> str:
    """Return the SHA-256 of a source text."""
    return hashlib.sha256(text.encode()).hexdigest()


def load_source(text: str, path: str, sha256: str = "") -> list[PluginClass]:
    """Run the source of a plugin file and return its classes, in order of definition.

    path: relative to the plugin root, for messages. Raises PluginError (sentence, line, traceback)
    for whatever the file does wrong, ``sys.exit`` and a syntax error included.
    """
    sha256 = sha256 or sha256_of(text)
    filename = f"<plugin {path} {sha256[:12]}>"
    module = types.ModuleType(f"acc_plugin_{sha256[:16]}")
    module.__file__ = filename
    # Tracebacks and inspect.getsource find the text of this very version, not what is on disk by then.
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # dataclasses and typing look their module up there
    try:
        tree = ast.parse(text, filename)
        exec(compile(tree, filename, "exec"), module.__dict__)  # noqa: S102 - plugins are trusted code
        return _classes(module, tree, text, path, sha256)
    except BaseException as error:
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
        if isinstance(error, KeyboardInterrupt | MemoryError):
            raise
        raise _plugin_error(error, filename, path) from error


def built_in_models() -> list[PluginClass]:
    """Return the architectures that come with ACC."""
    found = []
    for name, cls in sorted(BUILT_IN.items()):
        file = Path(inspect.getsourcefile(cls) or "")
        text = file.read_text(encoding="utf-8")
        found.append(
            PluginClass("model", name, cls, f"acc/models/{file.name}", sha256_of(text), text, built_in=True)
        )
    return found


def context_of(text: str, line: int | None) -> str:
    """Return the numbered source lines around ``line`` (1-based); empty without one."""
    if line is None:
        return ""
    lines = text.splitlines()
    first, last = max(1, line - CONTEXT_LINES), min(len(lines), line + CONTEXT_LINES)
    return "\n".join(
        f"{'>' if number == line else ' '} {number:4} | {lines[number - 1]}"
        for number in range(first, last + 1)
    )


def _classes(
    module: types.ModuleType, tree: ast.Module, text: str, path: str, sha256: str
) -> list[PluginClass]:
    lines = {node.name: node.lineno for node in tree.body if isinstance(node, ast.ClassDef)}
    found: list[PluginClass] = []
    abstract: list[type] = []
    for cls in vars(module).values():
        if not isinstance(cls, type) or cls.__module__ != module.__name__:
            continue
        kind = kind_of(cls)
        if kind is None or cls.__name__.startswith("_"):
            continue
        if inspect.isabstract(cls):
            abstract.append(cls)
            continue
        try:
            check(cls, kind)
        except PluginError as error:
            raise PluginError(error.message, path=path, line=lines.get(cls.__name__)) from None
        found.append(PluginClass(kind, cls.__name__, cls, path, sha256, text))
    if found:
        return found
    if abstract:
        cls = abstract[0]
        missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        raise PluginError(
            f"class {cls.__name__} is abstract: define {missing}", path=path, line=lines.get(cls.__name__)
        )
    raise PluginError(
        "the file defines no Task, DatasetGenerator, Recipe or Model; subclass one of acc.api",
        path=path,
        line=1,
    )


def _plugin_error(error: BaseException, filename: str, path: str) -> PluginError:
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, PluginError):
        # Python wraps what a descriptor's __set_name__ raises; the sentence is inside.
        line = _line_in(error, filename)
        return PluginError(error.__cause__.message, path=path, line=line, detail=_detail(error.__cause__))
    if isinstance(error, PluginError):
        line = error.line or _line_in(error, filename)
        return PluginError(error.message, path=path, line=line, detail=_detail(error))
    if isinstance(error, SyntaxError) and error.filename == filename:
        return PluginError(f"syntax error: {error.msg}", path=path, line=error.lineno, detail=_detail(error))
    if isinstance(error, SystemExit):
        message = "calls sys.exit at import; a plugin may only define things there"
    elif isinstance(error, ModuleNotFoundError):
        message = f"cannot import '{error.name}': it is not installed; install it, or import what is"
    elif isinstance(error, ImportError):
        message = f"import error: {error}"
    elif isinstance(error, InvalidInput):
        message = str(error)
    else:
        message = f"raises {type(error).__name__} at import: {error}"
    return PluginError(message, path=path, line=_line_in(error, filename), detail=_detail(error))


def _line_in(error: BaseException, filename: str) -> int | None:
    """Return the deepest line of the plugin's own file in the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == filename), None)


def _detail(error: BaseException) -> str:
    """Return the traceback from the plugin's own code on, without the loader's frames."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__, chain=False))
