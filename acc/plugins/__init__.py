"""Plugins: ``.py`` files that define tasks, generators, recipes, models and methods, loaded from source by content.

Importing this package costs nothing: torch comes with the first name that needs it, so that the watcher, which
only looks at files and leaves their loading to others, stays small.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acc.plugins.load import load_source
    from acc.plugins.registry import Change, PluginRegistry
    from acc.plugins.types import KINDS, PluginClass

__all__ = ["KINDS", "Change", "PluginClass", "PluginRegistry", "load_source"]

_PLACES = {
    "KINDS": "types",
    "Change": "registry",
    "PluginClass": "types",
    "PluginRegistry": "registry",
    "load_source": "load",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value
