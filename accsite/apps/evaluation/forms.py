"""Forms of evaluation; the services decide what is right."""

from __future__ import annotations

from typing import Any

from django import forms

from acc import combinations
from acc.specs import EVAL_PARTS
from accsite.apps.datasets import selectors as datasets
from accsite.apps.datasets.models import Dataset
from accsite.apps.evaluation.selectors.asked import DIRECTIONS, ROWS, TABS
from accsite.apps.evaluation.selectors.metric_plugins import offered
from accsite.apps.registry.models import Plugin
from accsite.apps.training.models import AutoEvaluate, Branch, Checkpoint
from accsite.forms import ServiceForm, choice, number, param_field

SHOWN = 60
"""Characters of combinations that a choice shows."""
NUMBERS = ("seed", "images", "seeds", "steps", "sort_images")


class RunForm(ServiceForm):
    """Which parts and metrics of plugins to measure of a checkpoint, and on which dataset."""

    suite = forms.MultipleChoiceField(
        label="Measure",
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    dataset = choice("Dataset", (), "metrics and reconstructions are always of the tasks' own datasets")
    rows = choice("Measure on", (), "of data that was trained on; of any other, all rows are looked at")
    direction = choice(
        "Traverse and sort along", [("", "the default: principal direction"), *DIRECTIONS.items()]
    )
    shown = choice("Reconstruct", [("", "the fixed images"), ("worst", "those that come out worst")])
    seed = number("Seed of the images shown", "empty: the fixed ones", min=0, step=1)

    def __init__(self, checkpoint: Checkpoint, data: Any = None, **options: Any) -> None:
        super().__init__(data, auto_id="run-%s", **options)
        self.initial.setdefault("suite", list(EVAL_PARTS))
        self.metrics = offered()
        suite = self.fields["suite"]
        assert isinstance(suite, forms.MultipleChoiceField)
        parts = [(part, TABS[part]) for part in EVAL_PARTS]
        suite.choices = [*parts, *((plugin.name, plugin.label) for plugin in self.metrics)]
        for plugin in self.metrics:
            for param in plugin.params:
                self.fields[f"params.{plugin.name}.{param['name']}"] = param_field(param)
        own = sorted(checkpoint.spec.get("datasets", {}))
        others = [slug for slug in fitting(checkpoint) if slug not in own]
        self.fields["dataset"].widget.choices = [
            ("", "the one whose targets name most factor groups"),
            *((slug, f"{slug} (trained on)") for slug in own),
            *((slug, slug) for slug in others),
        ]
        self.fields["rows"].widget.choices = rows_of(checkpoint)

    @property
    def of_metrics(self) -> list[tuple[Plugin, list[forms.BoundField], bool]]:
        """Return the metrics of plugins that have parameters, with their fields, and whether one was refused."""
        found = []
        for plugin in self.metrics:
            fields = [self[f"params.{plugin.name}.{param['name']}"] for param in plugin.params]
            if fields:
                found.append((plugin, fields, any(field.errors for field in fields)))
        return found

    def payload(self) -> dict[str, Any]:
        """Return what was asked for: numbers as numbers, names as names; parameters of metrics that are ticked."""
        found: dict[str, Any] = {}
        params: dict[str, Any] = {}
        given = super().payload()
        for name, value in given.items():
            if name.startswith("params."):
                if name.split(".")[1] in given.get("suite", ()):
                    params[name.removeprefix("params.")] = value
            elif name in NUMBERS and str(value).isdecimal() and len(str(value)) < 19:
                found[name] = int(value)
            else:
                found[name] = value
        return {**found, **({"params": params} if params else {})}


class AutoForm(ServiceForm):
    """When a branch is measured by itself."""

    auto_evaluate = choice("Measure", AutoEvaluate.choices)
    evaluate_every = number("Every so many steps", "if that is chosen", min=1, step=1)

    def __init__(self, branch: Branch, data: Any = None) -> None:
        initial = {"auto_evaluate": branch.auto_evaluate, "evaluate_every": branch.evaluate_every}
        super().__init__(data, initial=initial, auto_id="auto-%s")


def rows_of(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Return the rows that can be measured on, those that there are in each dataset that was trained on, with words."""
    own = list(Dataset.every.filter(slug__in=checkpoint.spec.get("datasets", {})))
    train = checkpoint.spec.get("train") or {}
    found = [("", "the default: rows held out from training")]
    given = bool(own) and train.get("split") != "drawn"
    if given and all("test" in (datasets.split_of(each) or {}) for each in own):
        found.append(("test", ROWS["test"]))
    told = str(train.get("combinations") or "")
    names = [[target["name"] for target in each.targets] for each in own]
    if told and names and all(combinations.applies(told, each) for each in names):
        which = f": {told}" if len(told) <= SHOWN else ""
        found.append(("combinations", f"{ROWS['combinations']}{which}"))
    return [*found, ("all", ROWS["all"])]


def fitting(checkpoint: Checkpoint) -> list[str]:
    """Return the slugs of the datasets whose images the checkpoint's model can look at."""
    image = checkpoint.spec.get("model", {}).get("image", {})
    names = ("channels", "height", "width")
    rows = Dataset.objects.filter(**{name: image[name] for name in names if name in image})
    return list(rows.order_by("slug").values_list("slug", flat=True)[:200])
