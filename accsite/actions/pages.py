"""Actions on the pages of their objects: a form for each, by htmx or without a script."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_http_methods

from acc.errors import InvalidInput
from accsite.actions import (
    ActionType,
    actions_on,
    every,
    paragraphs,
    perform,
    place,
    summary,
    things_of,
    words,
)
from accsite.actions.forms import ActionForm
from accsite.apps.jobs.models import Job
from accsite.apps.live import selectors as live
from accsite.pages import REFUSED, actor, is_partial

KEY = "idempotency_key"
"""The field of a form that makes a job: sent twice, as a double click does, it makes one."""


def addresses(namespace: str) -> list[URLPattern]:
    """Return the addresses of the actions on objects whose pages are in a namespace."""
    return [
        path(f"{things.plural}/{things.address}/{kind.verb}/", _view(kind), name=_name(kind))
        for kind in every()
        if (things := things_of(kind.on)).namespace == namespace and not kind.button
    ]


def offered(user: Any, thing: Any) -> list[ActionType]:
    """Return what a user may do to an object in the place of its actions."""
    return [kind for kind in actions_on(type(thing)) if not kind.button and kind.may(user, thing)]


def shown(user: Any, thing: Any, asked: Mapping[ActionType, ActionForm] | None = None) -> dict[str, Any]:
    """Return what the place of actions on an object's page shows; ``asked``: forms that were sent and refused."""
    acts = [_shown(kind, thing, (asked or {}).get(kind)) for kind in offered(user, thing)]
    if things_of(type(thing)).only_possible:
        acts = [act for act in acts if act["opened"] or not act["impossible"]]
    place = f"actions-{things_of(type(thing)).name}-{thing.pk}" if among_others(thing) else "actions"
    fresh = things_of(type(thing)).fresh
    fresh_url, topic = ("", "") if fresh is None else fresh(thing)
    told = {"acts": acts, "place_of_actions": place, "replaced": f"#{place}", "thing": thing}
    return {**told, "fresh_url": fresh_url, "topic": topic}


def template(thing: Any) -> str:
    """Return the template of the place of an object's actions: a panel of its page, or of its row among others."""
    return "actions/row.html" if among_others(thing) else "actions/panel.html"


def among_others(thing: Any) -> bool:
    return things_of(type(thing)).among_others


def _shown(kind: ActionType, thing: Any, form: ActionForm | None) -> dict[str, Any]:
    things = things_of(kind.on)
    return {
        "verb": kind.verb,
        "label": kind.label,
        "what": f"{kind.label} this {things.model._meta.verbose_name}",
        "called": f"the action {kind.label}",
        "about": paragraphs(kind),
        "impossible": kind.possible(thing),
        "form": form or ActionForm(kind, thing),
        "opened": form is not None,
        "id": f"{kind.verb}-form-{thing.pk}",
        "selector": f"#{kind.verb}-form-{thing.pk}",
        "nothing": {},
        "key": ((form and form.data.get(KEY)) or uuid4().hex) if kind.makes is Job else "",
        "url": reverse(f"{things.namespace}:{_name(kind)}", args=[things.key(thing)]),
        "api": reverse(f"api:{_name(kind)}", args=[things.key(thing)]),
        "cli": things.in_a_shell(kind.verb, thing),
    }


def _name(kind: ActionType) -> str:
    return f"{things_of(kind.on).name}-{kind.verb}"


def _view(kind: ActionType) -> Callable[..., HttpResponse]:
    @require_http_methods(["GET", "POST"])
    def act(request: HttpRequest, **named: Any) -> HttpResponse:
        thing = get_object_or_404(things_of(kind.on).seen_by(request.user), **named)
        form = None
        if request.method == "POST":
            form = ActionForm(kind, thing, request.POST)
            try:
                key = request.POST.get(KEY)
                made = perform(kind, actor=actor(request), thing=thing, data=form.asked(), key=key)
            except InvalidInput as error:
                form.refuse(error)
            else:
                return _done(request, kind, thing, made)
        if form is not None:
            return _refused(request, kind, thing, form)
        return _alone(request, kind, thing, None)

    act.__doc__ = summary(kind)
    return act


def _refused(request: HttpRequest, kind: ActionType, thing: Any, form: ActionForm) -> HttpResponse:
    if is_partial(request) or things_of(kind.on).show is not None:
        return _show(request, thing, REFUSED, {"asked": {kind: form}})
    return _alone(request, kind, thing, form)


def _alone(request: HttpRequest, kind: ActionType, thing: Any, form: ActionForm | None) -> HttpResponse:
    context = {"act": _shown(kind, thing, form), "thing": thing, "back": things_of(kind.on).page(thing)}
    return render(request, "actions/page.html", context, status=200 if form is None else REFUSED)


def _done(request: HttpRequest, kind: ActionType, thing: Any, made: Any) -> HttpResponse:
    said, where = words(kind, thing, made), place(kind, made)
    if is_partial(request):
        thing.refresh_from_db()
        return _show(request, thing, 200, {"said": said, "where": where})
    messages.success(request, said)
    return redirect(where or things_of(kind.on).page(thing))


def _show(request: HttpRequest, thing: Any, status: int, told: dict[str, Any]) -> HttpResponse:
    things = things_of(type(thing))
    if things.show is not None:
        return things.show(request, thing, status, told)
    if things.fresh is not None:  # the answer is what it was to fetch, so that what was done stays said
        told["versions"] = live.versions([things.fresh(thing)[1]])
        thing.refresh_from_db()
    return render(
        request, template(thing), {**told, **shown(request.user, thing, told.get("asked"))}, status=status
    )
