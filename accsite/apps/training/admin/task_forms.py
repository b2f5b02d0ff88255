"""Tasks in the admin: a form for a new one, and one for what may change, both through the services."""

from __future__ import annotations

from functools import partial
from typing import Any

from django import forms
from django.http import HttpRequest
from typing_extensions import override
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from acc.errors import InvalidInput
from accsite.apps.access.permissions import may_change
from accsite.apps.datasets.models import Dataset
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Branch, Experiment, Task
from accsite.apps.training.services import tasks as services

CHANGEABLE = ["weight", "enabled", "position"]
SHOWN = [
    "branch",
    "task_class",
    "learned_from",
    "name",
    "weight",
    "enabled",
    "factor",
    "latent_start",
    "latent_end",
    "params",
]


class _ServiceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form that a service fulfils: what the service refuses stands beside its field, and nothing is saved."""

    actor: Any = None

    def serve(self) -> Task:
        """Return the task as the service left it; raises InvalidInput."""
        raise NotImplementedError(f"{type(self).__name__} names no service that fulfils it")

    def _post_clean(self) -> None:
        if self.errors:
            return
        try:
            self.instance = self.serve()
        except InvalidInput as error:
            for name, sentences in error.fields.items():
                field = {"latent_slice": "latent_start", "dataset": "learned_from"}.get(
                    name, name.split(".")[0]
                )
                self.add_error(field if field in self.fields else None, list(sentences))


class NewTaskForm(_ServiceForm):
    """Attaches a task to a branch."""

    task_class = forms.ChoiceField(label="Class", widget=UnfoldAdminSelectWidget)
    # Not "dataset": the theme takes a form with that name for an action on a list of its own.
    learned_from = forms.ModelChoiceField(
        Dataset.objects.all(), label="Dataset", widget=UnfoldAdminSelectWidget
    )
    name = forms.CharField(
        required=False,
        help_text="Empty: its target, or the label of its class.",
        widget=UnfoldAdminTextInputWidget,
    )
    params = forms.JSONField(
        required=False, initial=dict, help_text="Its parameters, as JSON.", widget=UnfoldAdminTextareaWidget
    )

    class Meta:
        model = Task
        fields = ["branch", "weight", "enabled", "factor", "latent_start", "latent_end"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the classes that can be chosen now, and the branches that the user may change."""
        super().__init__(*args, **kwargs)
        offered = Plugin.objects.filter(kind=PluginKind.TASK, available=True).values_list("name", "label")
        choices = [(name, f"{label} ({name})") for name, label in offered]
        self.fields["task_class"].choices = choices  # type: ignore[attr-defined]
        seen = Experiment.objects.visible_to(self.actor)
        self.fields["branch"].queryset = Branch.objects.filter(experiment__in=seen)  # type: ignore[attr-defined]

    @override
    def serve(self) -> Task:
        given = self.cleaned_data
        if not may_change(self.actor, given["branch"]):
            raise InvalidInput({"branch": f"{given['branch']} is not yours to change"})
        start, end = given["latent_start"], given["latent_end"]
        return services.add_task(
            actor=self.actor,
            latent_slice=None if start is None and end is None else (start or 0, end or 0),
            params=given["params"] or {},
            dataset=given["learned_from"],
            **{name: given[name] for name in ("branch", "task_class", "name", "weight", "enabled", "factor")},
        )


class ChangeTaskForm(_ServiceForm):
    """Changes weight, switch and place; a running job applies them between two of its steps."""

    class Meta:
        model = Task
        fields = CHANGEABLE

    @override
    def serve(self) -> Task:
        task = Task.objects.select_related("branch__experiment", "dataset").get(pk=self.instance.pk)
        given = {name: self.cleaned_data[name] for name in self.changed_data}
        place = given.pop("position", None)
        if given:
            task = services.change_task(actor=self.actor, task=task, **given)
        if place is not None:
            task = services.move_task(task=task, position=place)
        return task


class TaskForms:
    """Lets a ModelAdmin of tasks add and change them by these forms; it lists ``shown`` as its read-only fields."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(self.has_module_permission(request))  # type: ignore[attr-defined]

    def has_change_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:
        """Return whether the user may change the task; one that was removed is restored first."""
        if obj is None:
            return bool(self.has_module_permission(request))  # type: ignore[attr-defined]
        return obj.removed_at is None and may_change(request.user, obj)

    def get_form(self, request: HttpRequest, obj: Task | None = None, **_: Any) -> type[_ServiceForm]:
        """Return the form of a new task, or of one there is, for this user."""
        base = NewTaskForm if obj is None else ChangeTaskForm
        made: type[_ServiceForm] = forms.modelform_factory(  # type: ignore[assignment]
            Task,
            form=type(base.__name__, (base,), {"actor": request.user}),
            fields=[name for name in base.Meta.fields if name not in base.declared_fields],
            formfield_callback=partial(self.formfield_for_dbfield, request=request),  # type: ignore[attr-defined]
        )
        return made

    def get_fields(self, request: HttpRequest, obj: Task | None = None) -> list[str]:  # noqa: ARG002
        shown = [field.name for field in Task._meta.fields if field.name not in ("id", *CHANGEABLE)]
        return SHOWN if obj is None else [*CHANGEABLE, *shown]

    def get_readonly_fields(self, request: HttpRequest, obj: Task | None = None) -> list[str]:
        """Return what cannot be changed."""
        if obj is None:
            return []
        fixed = [name for name in self.get_fields(request, obj) if name not in CHANGEABLE]
        return fixed if self.has_change_permission(request, obj) else [*CHANGEABLE, *fixed]

    def save_form(self, request: HttpRequest, form: _ServiceForm, change: bool) -> Task:  # noqa: ARG002
        saved: Task = form.instance
        return saved

    def save_model(self, *_: Any) -> None:
        """Do nothing more: the service has saved it."""

    def save_related(self, *_: Any) -> None:
        """Do nothing more: a task has no rows below it here."""
