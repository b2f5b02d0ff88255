"""The form of a new task: its class decides which datasets suit, and which fields there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.urls import reverse
from typing_extensions import override

from accsite.apps.datasets.models import Dataset
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import Plugin, PluginFile, PluginKind
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.pages import tasks as task_pages
from accsite.apps.training.pages.tasks import Choice
from accsite.apps.training.services.beginnings import RECONSTRUCTION
from accsite.apps.training.services.tasks import default_name, target_columns
from accsite.apps.training.specs import model_of
from accsite.forms import ParamsForm, carried, choice, number, text
from accsite.numbers import exact

TARGET = "params-target_name"
OTHERS = "Not for this task"


class ChoiceSelect(forms.Select):
    """A select whose options keep their identity when the page is brought up to date, and may say why they are off."""

    def __init__(self, offered: list[Choice]) -> None:
        fit = [(each.value, each.label) for each in offered if not each.why_not]
        rest = [(each.value, f"{each.label}: {each.why_not}") for each in offered if each.why_not]
        super().__init__(choices=[*fit, (OTHERS, rest)] if rest else fit)
        self.off = {value for value, _ in rest}

    @override
    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the option with an id, disabled if it cannot be chosen."""
        made = super().create_option(name, value, *args, **kwargs)
        made["attrs"]["id"] = f"task-{name}-{value}"
        if value in self.off:
            made["attrs"]["disabled"] = True
        return made


class TaskForm(ParamsForm):
    """Which loss, on which dataset, reading which part of the latent, with which weight and parameters.

    ``values`` are those of a form that is being filled in: what a change of class takes out of view is carried
    along and comes back with it. ``data`` is a form that was sent.
    """

    task_class = choice("Class", ())
    dataset = choice("Dataset", ())
    name = text("Name", maxlength=80)
    weight = number("Weight", min=0)
    factor = choice("Reads factor", ())
    latent_slice = text("or dimensions", "start:end", placeholder="0:6")

    def __init__(self, branch: Branch, data: Any = None, values: Mapping[str, Any] | None = None) -> None:
        given = data if data is not None else values or {}
        add_url = reverse("training:task-add", args=[branch.experiment.slug, branch.slug])
        model = model_of(branch)
        classes = task_pages.class_choices(model)
        used = branch.tasks.filter(removed_at__isnull=True).order_by("-pk")
        first = "" if used.filter(task_class=RECONSTRUCTION).exists() else RECONSTRUCTION
        self.plugin = _plugin(given.get("task_class") or first, classes)
        self.gone = given.get("task_class", "") if self.plugin is None or _is_gone(given, self.plugin) else ""
        datasets = task_pages.dataset_choices(self.plugin, model)
        newest = used.values_list("dataset__slug", flat=True).first()
        self.chosen = _dataset([given.get("dataset"), newest], datasets)
        params = self.plugin.params if self.plugin else []
        initial = {"weight": "1", **_as_dict(values or {})}
        initial |= {
            "task_class": self.plugin.name if self.plugin else "",
            "dataset": self.chosen.slug if self.chosen else "",
        }
        super().__init__(params, data, auto_id="task-%s", initial=initial)
        for name, widget in (
            ("task_class", ChoiceSelect(classes)),
            ("dataset", ChoiceSelect(datasets)),
            (
                "factor",
                ChoiceSelect(
                    [
                        Choice("", "whole latent"),
                        *(
                            Choice(group.name, f"{group.name} {group.start}:{group.end}")
                            for group in model.ordered_groups
                        ),
                    ]
                ),
            ),
        ):
            self.fields[name].widget = widget
        self._fit()
        asking = {"task_class", "dataset", TARGET} & self.fields.keys()
        for name in asking:  # the wrapper says from where, with what and whereto
            self.fields[name].widget.attrs |= {"hx-get": add_url, "hx-sync": "#adding:replace"}
        usual = default_name(branch, self.plugin, self.chosen, {"target_name": given.get(TARGET, "")})
        self.fields["name"].widget.attrs["placeholder"] = usual
        self.carried = carried(_as_dict(given), self.fields)
        self.description = self.plugin.description.split("\n\n", 1)[0] if self.plugin else ""

    def _fit(self) -> None:
        """Have the fields that the class needs, its target among its parameters as a choice of columns."""
        if self.plugin is None:
            return
        if self.plugin.requires.get("whole_latent"):
            del self.fields["factor"], self.fields["latent_slice"]
        if TARGET in self.fields and self.plugin.requires.get("target"):
            columns = target_columns(self.plugin, self.chosen)
            first = f"the first: {columns[0]}" if columns else "the first that fits"
            field = choice("Target column", ())
            field.widget = ChoiceSelect([Choice("", first), *(Choice(name, name) for name in columns)])
            self.fields[TARGET] = field
        wanted = ["task_class", "dataset", TARGET, "name", "weight", "factor", "latent_slice"]
        self.order_fields([name for name in wanted if name in self.fields])

    @property
    def broken(self) -> list[PluginFile]:
        """Return the task files that could not be loaded when they were saved."""
        return list(registry.broken_files(PluginKind.TASK))

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of ``services.tasks.add_task``."""
        payload = self.payload()
        found: dict[str, Any] = {
            name: payload[name]
            for name in ("task_class", "dataset", "name", "weight", "factor")
            if name in payload
        }
        if "latent_slice" in payload:
            found["latent_slice"] = payload["latent_slice"]
        if self.gone:
            found["task_class"] = self.gone
        return {"task_class": "", "dataset": "", **found, "params": self.params()}


def of_task(task: Task) -> dict[str, str]:
    """Return the values of the form that would make this task."""
    reads = "" if task.latent_start is None else f"{task.latent_start}:{task.latent_end}"
    return {
        "task_class": task.task_class,
        "dataset": task.dataset.slug,
        "name": task.name,
        "weight": exact(task.weight),
        "factor": task.factor,
        "latent_slice": reads,
        **{f"params-{name}": _as_text(value) for name, value in task.params.items()},
    }


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as_dict(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last value of each name: a plain dict of a query, too."""
    return {name: values[name] for name in values}


def _plugin(name: Any, offered: list[Choice]) -> Plugin | None:
    """Return the class that is asked for, else the first that suits."""
    names = [each.value for each in offered if not each.why_not]
    wanted = name if name in {each.value for each in offered} else next(iter(names), None)
    return Plugin.objects.filter(kind=PluginKind.TASK, name=wanted, available=True).first()


def _is_gone(given: Mapping[str, Any], plugin: Plugin) -> bool:
    """Return whether the class that was chosen cannot be chosen any more."""
    return bool(given.get("task_class")) and given["task_class"] != plugin.name


def _dataset(wanted: list[Any], offered: list[Choice]) -> Dataset | None:
    """Return the first of the datasets that are wanted that suits, else the first of all that does."""
    fit = [each.value for each in offered if not each.why_not]
    return Dataset.objects.filter(slug=next((slug for slug in [*wanted, *fit] if slug in fit), None)).first()
