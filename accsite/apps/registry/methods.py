"""What a method makes for a dataset, found by its own code, which runs in the watcher's fork server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acc.errors import InvalidInput
from acc.methods import Setup
from acc.params import clean_params
from acc.specs import DatasetSpec, parse
from accsite.apps.registry import params as declared
from accsite.apps.registry import questions, selectors
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.errors import WrongState

PREFIX = "method_params."
"""Of the fields of a method's parameters in errors."""


@dataclass(frozen=True)
class MethodSetup:
    """A method with its parameters, and what it makes of them for a dataset."""

    plugin: Plugin
    params: dict[str, Any]
    setup: Setup

    def record(self) -> dict[str, Any]:
        """Return what an experiment keeps of it: name, parameters, source, paper, and settings of trainings."""
        return {
            "name": self.plugin.name,
            "label": self.plugin.label,
            "params": self.params,
            "sha256": self.plugin.source_id,
            "paper": self.plugin.requires.get("paper", {}),
            "train": self.setup.train,
        }


def find(name: object) -> Plugin:
    """Return a method by its name, whatever its spelling (``beta_vae``); raises InvalidInput (method), NotApproved."""
    found = declared.find(PluginKind.METHOD, name) if isinstance(name, str) and name else None
    return selectors.get(PluginKind.METHOD, found.name if found else name)


def set_up(*, who: str, method: object, params: Mapping[str, Any] | None, data: DatasetSpec) -> MethodSetup:
    """Return what a method makes for ``data``, for ``who``, a name of the page or person that asks.

    Raises InvalidInput naming each wrong field (``method``, ``method_params.*``), NotApproved for a source that may
    not run here, and WrongState when the same page has asked for another meanwhile, or nobody answers.
    """
    plugin = find(method)
    cleaned = clean_params(plugin.params, {} if params is None else params, prefix=PREFIX)
    try:
        _, report = questions.ask(
            "setup",
            who=who,
            sha256=plugin.source_id,
            asked={"name": plugin.name, "params": cleaned, "data": data.model_dump(mode="json")},
            field="method",
            without="Model and tasks can be chosen without a method",
        )
    except questions.NoAnswer as error:
        raise WrongState({"method": str(error)}) from error
    if report.get("superseded"):
        raise WrongState({"method": "another method was asked for meanwhile"})
    if report["error"]:
        fields: Mapping[str, list[str]] = report.get("fields") or {}
        named = {name.replace("params.", PREFIX, 1): said for name, said in fields.items()}
        raise InvalidInput(named or {"method": report["error"]})
    return MethodSetup(plugin, cleaned, parse(Setup, report["setup"]))
