"""Metrics of a whole checkpoint, as the plugins that they are."""

from __future__ import annotations

from collections.abc import Mapping

from acc.results import FROM_0_TO_1, of_plugin
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import Plugin, PluginKind

OF_SUITE = "Factoring"
"""Whose numbers those of the whole representation are that come with ACC."""


class MetricPlugins:
    """All of them, those whose source was removed as well: read once for a page."""

    def __init__(self) -> None:
        self._known: Mapping[str, Plugin] = {
            row.name: row for row in Plugin.objects.filter(kind=PluginKind.METRIC)
        }

    def of(self, name: str) -> tuple[str, str]:
        """Return whose number it is in words, and what it is called there."""
        metric, number = of_plugin(name)
        if not metric:
            return OF_SUITE, number
        return self._known[metric].label if metric in self._known else metric, number

    def from_0_to_1(self, name: str) -> bool:
        """Return whether a number is on a scale from 0, nothing, to 1, all."""
        metric, number = of_plugin(name)
        if not metric:
            return name in FROM_0_TO_1
        found = self._known.get(metric)
        return found is not None and found.requires.get("ranges", {}).get(number) == [0, 1]


def offered() -> list[Plugin]:
    """Return those that can be measured now, by label."""
    return list(registry.available(PluginKind.METRIC).order_by("label"))
