"""Forms of evaluation; the services decide what is right."""

from __future__ import annotations

from typing import Any

from django import forms

from acc import combinations
from acc.specs import EVAL_PARTS
from accsite.apps.datasets import selectors as datasets
from accsite.apps.datasets.models import Dataset
from accsite.apps.evaluation.selectors.asked import DIRECTIONS, ROWS, TABS
from accsite.apps.training.models import AutoEvaluate, Branch, Checkpoint
from accsite.forms import ServiceForm, choice, number

SHOWN = 60
"""Characters of combinations that a choice shows."""
NUMBERS = ("seed", "images", "seeds", "steps", "sort_images")


class RunForm(ServiceForm):
    """Which parts to measure of a checkpoint, and on which dataset."""

    suite = forms.MultipleChoiceField(
        label="Measure",
        choices=[(part, TABS[part]) for part in EVAL_PARTS],
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
        own = sorted(checkpoint.spec.get("datasets", {}))
        others = [slug for slug in fitting(checkpoint) if slug not in own]
        self.fields["dataset"].widget.choices = [
            ("", "the one whose targets name most factor groups"),
            *((slug, f"{slug} (trained on)") for slug in own),
            *((slug, slug) for slug in others),
        ]
        self.fields["rows"].widget.choices = rows_of(checkpoint)

    def payload(self) -> dict[str, Any]:
        """Return what was asked for: numbers as numbers, names as names."""
        found = super().payload()
        return {
            name: int(value) if name in NUMBERS and str(value).isdecimal() and len(str(value)) < 19 else value
            for name, value in found.items()
        }


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
