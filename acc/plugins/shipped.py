"""The plugins that are installed here: those of ``$ACC_PLUGINS``, or of the ``plugins`` folder beside the package."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from acc.plugins.registry import PluginRegistry
from acc.plugins.types import Kind
from acc.training.plugin_set import PluginSet


@functools.cache
def shipped_plugins() -> PluginSet:
    """Return their tasks, models, methods and metrics."""
    registry = PluginRegistry(Path(os.environ.get("ACC_PLUGINS") or Path(__file__).parents[2] / "plugins"))
    registry.scan()
    kinds: tuple[Kind, ...] = ("task", "model", "method", "metric")
    loaded = [found for kind in kinds for found in registry.classes(kind).values()]
    return PluginSet(*loaded)
