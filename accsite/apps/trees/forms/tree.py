"""The forms of a tree: what is said of a checkpoint, what is made from it, and what pruning keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.db.models import QuerySet

from accsite.apps.training.models import Branch, Checkpoint, Experiment, Visibility
from accsite.apps.trees import measures
from accsite.apps.trees.services.marks import MAX_NOTE_LENGTH
from accsite.apps.trees.services.retention import policy_of
from accsite.forms import ServiceForm, choice, number, text


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
