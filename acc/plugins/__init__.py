"""Plugins: ``.py`` files that define tasks, generators, recipes and models, loaded from source by content."""

from acc.plugins.load import load_source
from acc.plugins.registry import Change, PluginRegistry
from acc.plugins.types import KINDS, PluginClass

__all__ = ["KINDS", "Change", "PluginClass", "PluginRegistry", "load_source"]
