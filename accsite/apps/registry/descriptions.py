"""What a model is made of, found by the code of its architecture, which runs in the watcher's fork server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acc.description import ModelDescription
from acc.errors import InvalidInput
from acc.specs import ModelSpec
from accsite.apps.registry import approval, questions
from accsite.apps.registry.models import PluginSource
from accsite.apps.registry.questions import NoAnswer as NoDescription
from accsite.errors import WrongState

__all__ = ["NoDescription", "describe"]

BUILT_IN_PATH = "acc/models/"


def describe(*, who: str, model: ModelSpec, sha256: str) -> ModelDescription:
    """Return what the model of a complete specification is made of, for ``who``, a name of the page that asks.

    sha256: of the kept source of its architecture. Raises InvalidInput naming each wrong field (``model.params.*``,
    ``model.architecture``), also for a source that may not run here, WrongState when the same page has asked for
    another meanwhile, and NoDescription when none came in time.
    """
    own = "" if _is_built_in(sha256) else sha256
    approval.require([own], field="model.architecture")
    _, report = questions.ask(
        "describe",
        who=who,
        sha256=own,
        asked={"model": {**model.model_dump(mode="json"), "seed": 0}},  # of no account for shapes
        field="model.architecture",
        without="The model can be trained without",
    )
    return _description(report)


def _is_built_in(sha256: str) -> bool:
    """Return whether a source is of ACC itself: then it is that of this version, whichever it was."""
    rows = PluginSource.objects.filter(pk=sha256, path__startswith=BUILT_IN_PATH)
    return not sha256 or rows.exclude(on_disk_at=None).exists()


def _description(report: Mapping[str, Any]) -> ModelDescription:
    if report.get("superseded"):
        raise WrongState({"model": "another drawing was asked for meanwhile"})
    if report["error"]:
        fields: Mapping[str, list[str]] = report.get("fields") or {}
        named = {f"model.{name}": said for name, said in fields.items() if not name.startswith("model.")}
        kept = {name: said for name, said in fields.items() if name.startswith("model.")}
        raise InvalidInput({**named, **kept} or {"model.architecture": report["error"]})
    return ModelDescription.model_validate(report["description"])
