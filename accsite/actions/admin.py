"""Actions in the admin: done to the rows that are chosen in a list, after a form where they ask something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.admin import helpers
from django.db.models import QuerySet
from django.forms import CheckboxInput, CheckboxSelectMultiple, Select
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES

from acc.errors import InvalidInput
from accsite.actions import ActionType, actions_on, perform, summary, words
from accsite.actions.forms import ActionForm
from accsite.apps.access.admin_parts import KeptAdmin, each_row
from accsite.pages import REFUSED

Chosen = tuple[Callable[..., Any], str, str]


class ActionsAdmin(KeptAdmin):
    """A list whose rows have actions."""

    def get_actions(self, request: HttpRequest) -> dict[str, Chosen]:
        """Return the actions of the list, those of its objects among them."""
        found: dict[str, Chosen] = super().get_actions(request)
        for kind in actions_on(self.model):
            found[kind.verb] = (_chosen(kind), kind.verb, kind.in_a_list or kind.label)
        return found


def on_each(kind: ActionType, description: str, done: str, **data: Any) -> Callable[..., None]:
    """Return an action of the admin of other words, which asks for the same of each row."""
    return each_row(description, done, lambda user, row: perform(kind, actor=user, thing=row, data=data))


def _chosen(kind: ActionType) -> Callable[..., HttpResponse | None]:
    def act(admin: KeptAdmin, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        sent = "asked" in request.POST
        first = rows[0]
        form = ActionForm(kind, first, request.POST if sent else None)
        if kind.model_fields and not sent:
            return _ask(admin, request, kind, form, rows)
        data = form.asked() if sent else {}
        if rows.count() == 1 and sent:
            try:
                made = perform(kind, actor=request.user, thing=first, data=data)
            except InvalidInput as error:
                form.refuse(error)
                return _ask(admin, request, kind, form, rows)
            admin.message_user(request, words(kind, first, made))
            return None
        admin.each(
            request,
            rows,
            kind.done_to or f"done: {kind.label.lower()}",
            lambda row: perform(kind, actor=request.user, thing=row, data=data),
        )
        return None

    return act


def _ask(
    admin: KeptAdmin, request: HttpRequest, kind: ActionType, form: ActionForm, rows: QuerySet[Any]
) -> HttpResponse:
    for field in form.fields.values():
        classes = SELECT_CLASSES if isinstance(field.widget, Select) else INPUT_CLASSES
        if not isinstance(field.widget, CheckboxInput | CheckboxSelectMultiple):
            field.widget.attrs["class"] = " ".join(classes)
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.model._meta,
        "title": kind.label,
        "summary": summary(kind),
        "form": form,
        "rows": rows,
        "verb": kind.verb,
        "checkbox": helpers.ACTION_CHECKBOX_NAME,
    }
    return render(request, "admin/act.html", context, status=REFUSED if form.errors else 200)
