"""The forms of a tree: what is said of a checkpoint, what is made from it, and what pruning keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django import forms
from django.db.models import QuerySet
from django.http import QueryDict

from acc.errors import InvalidInput
from acc.expansion import STAGES, ExpansionSpec
from acc.specs import ModelSpec
from accsite.apps.training import measures
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Visibility
from accsite.apps.training.services.expansion import check_grows
from accsite.apps.training.services.experiments import ALL_TASKS, NO_TASKS
from accsite.apps.training.services.marks import MAX_NOTE_LENGTH
from accsite.apps.training.services.retention import policy_of
from accsite.forms import ServiceForm, choice, number, text

PLACES = {
    "encoder_stage": "encoder: more stages",
    "decoder_stage": "decoder: more stages",
    "latent": "latent: more dimensions",
    "factor_group": "latent: a new factor group",
}


class MarkForm(ServiceForm):
    """Tag and note."""

    tag = text("Tag", "a tag keeps it from being pruned", maxlength=80)
    note = forms.CharField(
        label="Note",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 3, "maxlength": MAX_NOTE_LENGTH}),
    )

    def __init__(self, checkpoint: Checkpoint, data: Any = None) -> None:
        initial = {"tag": checkpoint.tag, "note": checkpoint.note}
        super().__init__(data, auto_id=f"mark-{checkpoint.pk}-%s", initial=initial)

    def changes(self) -> dict[str, Any]:
        """Return the fields that were sent, also those that were emptied."""
        self.full_clean()
        return {name: self.cleaned_data.get(name, "") for name in self.fields if name in self.data}


class ForkForm(ServiceForm):
    """The name of a new branch, and which of the checkpoint's tasks it takes along."""

    name = text("Name of the new branch", maxlength=80)
    tasks = forms.Field(
        label="Tasks, as it was trained with them", required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, checkpoint: Checkpoint, data: Any = None) -> None:
        super().__init__(data, auto_id=f"fork-{checkpoint.pk}-%s")
        found = [(task["key"], task["name"]) for task in checkpoint.spec.get("tasks", [])]
        self.fields["tasks"].widget.choices = found
        self.fields["tasks"].initial = [key for key, _ in found]
        if not found:
            del self.fields["tasks"]

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of ``create_branch``."""
        return {"name": self.payload().get("name", ""), "tasks": self._tasks()}

    def _tasks(self) -> str | list[str]:
        """Return what the boxes say; an empty value goes with them, so that none ticked is told from none shown."""
        sent = cast("QueryDict", self.data).getlist("tasks")
        if len(sent) == 1:
            return sent[0] or NO_TASKS
        return [key for key in sent if key] if sent else ALL_TASKS


class ExpandForm(ServiceForm):
    """Where a model grows, by how much, and how the new part begins; only what fits the model is offered."""

    where = choice("Where", ())
    amount = number("Amount", "stages, or latent dimensions", min=1, step=1)
    start = choice(
        "Begins as",
        [("identity", "identity: no output changes"), ("random", "random: drawn from the seed")],
    )
    name = text("Name of the factor group", "only for a new factor group", maxlength=64)
    seed = number("Seed", "of random weights", min=0, step=1)
    branch_name = text("New branch", "empty: its own branch, whose head it must be", maxlength=80)

    def __init__(self, checkpoint: Checkpoint, data: Any = None) -> None:
        initial: dict[str, Any] = {"amount": 1, "start": "identity", "seed": 0}
        if checkpoint.branch.head_id != checkpoint.pk:
            initial["branch_name"] = f"grown-{checkpoint.pk}"
        super().__init__(data, auto_id=f"expand-{checkpoint.pk}-%s", initial=initial)
        self.places = places(ModelSpec.model_validate(checkpoint.spec["model"]))
        self.fields["where"].widget.choices = self.places

    def arguments(self) -> dict[str, Any]:
        """Return ``expansion`` and ``branch_name`` of ``submit_expansion``."""
        payload = self.payload()
        return {"branch_name": payload.pop("branch_name", None), "expansion": payload}


def places(model: ModelSpec) -> list[tuple[str, str]]:
    """Return (where, words) of the places at which a model can grow; all for one that only its plugin knows."""
    return [(where, words) for where, words in PLACES.items() if _can_grow(model, where)]


def _can_grow(model: ModelSpec, where: str) -> bool:
    if model.architecture not in STAGES:
        return True
    taken = {group.name for group in model.factor_groups}
    name = next(name for name in (f"new{i}" for i in range(len(taken) + 1)) if name not in taken)
    fields = {"where": where, "amount": 1, **({"name": name} if where == "factor_group" else {})}
    try:
        check_grows(model, ExpansionSpec.model_validate(fields))
    except InvalidInput:
        return False
    return True


class LoadForm(ServiceForm):
    """The branch that is to go on from a checkpoint."""

    branch = choice("Branch", ())

    def __init__(self, checkpoint: Checkpoint, branches: QuerySet[Branch], data: Any = None) -> None:
        super().__init__(data, auto_id=f"load-{checkpoint.pk}-%s", initial={"branch": checkpoint.branch_id})
        self.fields["branch"].widget.choices = [(branch.pk, branch.name) for branch in branches]


class RetentionForm(ServiceForm):
    """What pruning keeps besides tags, stars and what is needed."""

    last = number("Newest of each branch", min=0, step=1)
    best = number("Best of the experiment", min=0, step=1)
    metric = choice("By", ())

    def __init__(self, experiment: Experiment, data: Mapping[str, Any] | None = None) -> None:
        policy = policy_of(experiment)
        super().__init__(data, auto_id="retention-%s", initial=policy.model_dump())
        known = list(dict.fromkeys([policy.metric, *measures.names(experiment.pk)]))
        self.fields["metric"].widget.choices = [(name, name) for name in known]


class ImportForm(ServiceForm):
    """A file that another installation exported."""

    file = forms.FileField(
        label="File", help_text="an .acc.zip that ACC exported", required=False, allow_empty_file=True
    )
    name = text("Name", "empty: as it was called", maxlength=80)
    visibility = choice("Visible to", Visibility.choices)
