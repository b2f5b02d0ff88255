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
from pathlib import Path

from acc.errors import InvalidInput, PluginError
from acc.models import BUILT_IN
from acc.plugins.source import filename_of, sha256_of
from acc.plugins.types import KINDS, Kind, PluginClass, check, kind_of, missing_methods

NOT_FOR_PLUGINS = frozenset({"accsite", "workers", "django"})


def load_source(text: str, path: str, sha256: str = "") -> list[PluginClass]:
    """Run the source of a plugin file and return its classes, in order of definition.

    path: relative to the plugin root, for messages. Raises PluginError (sentence, line, traceback) for whatever
    the file does wrong, ``sys.exit`` and a syntax error included. What it prints goes where prints go.
    """
    sha256 = sha256 or sha256_of(text)
    filename = filename_of(path, sha256)
    module = types.ModuleType(f"acc_plugin_{sha256[:16]}")
    module.__file__ = filename
    # Tracebacks and inspect.getsource find the text of this very version, not what is on disk by then.
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # dataclasses and typing look their module up there
    try:
        # Some editors begin a file with a byte order mark, which is no Python.
        tree = ast.parse(text.removeprefix("\ufeff"), filename)
        _refuse_imports(tree, path)
        # dont_inherit: the plugin's own __future__ imports count, not those of this file.
        exec(compile(tree, filename, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - trusted code
        return _classes(module, tree, text, path, sha256)
    except BaseException as error:
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
        if isinstance(error, KeyboardInterrupt):
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


def _refuse_imports(tree: ast.Module, path: str) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise PluginError(
                    "imports from beside itself; a plugin is one file, and it is all that jobs keep of it",
                    path=path,
                    line=node.lineno,
                )
            names = [node.module or ""]
        else:
            continue
        for name in names:
            if name.partition(".")[0] in NOT_FOR_PLUGINS:
                raise PluginError(
                    f"imports '{name}'; a plugin imports acc.api and libraries, and nothing of the site",
                    path=path,
                    line=node.lineno,
                )


def _classes(
    module: types.ModuleType, tree: ast.Module, text: str, path: str, sha256: str
) -> list[PluginClass]:
    lines = {node.name: node.lineno for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    own = [
        (cls, kind)
        for cls in dict.fromkeys(value for value in vars(module).values() if isinstance(value, type))
        if cls.__module__ == module.__name__
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
        found.append(PluginClass(kind, cls.__name__, cls, path, sha256, text))
    names = [(plugin.kind, plugin.name) for plugin in found]
    for kind, name in names:
        if names.count((kind, name)) > 1:
            raise PluginError(
                f"defines class {name} twice; give one of them another name", line=lines.get(name)
            )
    if not found:
        bases = ", ".join(base.__name__ for base, _ in KINDS.values())
        raise PluginError(f"defines no class that is a {bases}; subclass one of acc.api", line=1)
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
        message = f"import error: {error}"
    elif isinstance(error, InvalidInput):
        message = str(error)
    else:
        message = f"raises {type(error).__name__} at import: {error}"
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
