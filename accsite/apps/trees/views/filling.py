"""The form of a new experiment filled in by a method: its model, and the tasks that the branch begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from acc.errors import InvalidInput
from acc.methods import Setup
from accsite.apps.datasets.models import Dataset
from accsite.apps.registry import methods, params
from accsite.apps.registry.methods import MethodSetup
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.specs import dataset_spec
from accsite.apps.trees.forms.experiments import METHOD, ExperimentForm
from accsite.numbers import exact
from accsite.pages import actor


@dataclass(frozen=True)
class Filled:
    """What a method gives for a form. refused: in words, why it gives nothing; fills: whether fields are to change."""

    method: Plugin | None = None
    made: MethodSetup | None = None
    tasks: tuple[Mapping[str, Any], ...] = ()
    refused: str = ""
    fills: bool = False

    @property
    def fields(self) -> MethodSetup | None:
        """What goes into the fields, if they are to change."""
        return self.made if self.fills else None


def fill(request: HttpRequest) -> Filled:
    """Return what the method of a request gives for the dataset that its form names; nothing without a method.

    The fields change when a method is chosen anew, or when the form asks for it (``fill``); what was typed stays
    otherwise.
    """
    given = request.POST if request.method == "POST" else request.GET
    before = given.get(METHOD, "")
    named = before if request.method == "POST" else given.get("method", before)
    method = params.find(PluginKind.METHOD, named) if named else None
    if method is None:
        return Filled(refused=f"{named} is gone from the plugins; choose another." if named else "")
    datasets = Dataset.objects.order_by("-id")
    asked = given.get("dataset")
    dataset = datasets.filter(slug=asked).first() if asked else datasets.first() if asked is None else None
    if dataset is None:
        return Filled(method, refused="A method makes model and tasks for a dataset; choose one.")
    typed = (
        ExperimentForm([], values=given, method=method).method_params(given) if method.name == before else {}
    )
    try:
        who = f"{actor(request).pk}:method"
        found = methods.set_up(who=who, method=method.name, params=typed, data=dataset_spec(dataset))
    except InvalidInput as error:
        said = " ".join(sentence for each in error.fields.values() for sentence in each)
        return Filled(method, refused=said)
    fills = "fill" in given or method.name != before
    return Filled(method, found, tuple(shown_tasks(found.setup)), fills=fills)


def shown_tasks(setup: Setup) -> list[dict[str, Any]]:
    """Return the tasks of a setup as the form shows them: label, weight, parameters in words."""
    labels = dict(Plugin.objects.filter(kind=PluginKind.TASK).values_list("name", "label"))
    return [
        {
            "label": task.get("name") or labels.get(task["task_class"], task["task_class"]),
            "weight": exact(float(task.get("weight", 1.0))),
            "params": ", ".join(f"{name} {value}" for name, value in task.get("params", {}).items()),
        }
        for task in setup.tasks
    ]
